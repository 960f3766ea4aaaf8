"""Every command in folders of any name: with the results of a plain one, or refused before anything is written."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sigma_impressions_tests import cases
from sigma_impressions_tests.commands import add_instance, environment
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.servers.processes import sigma_impressions

CASE = cases.load("overlap")
TODAY = datetime.now(UTC).date()
USER = next(row["user_email"] for row in CASE.expected["user_activity"])

NAME = "My Prøject [1] {a,b} 100% it's"
PARTITION = "event_date=2026-01-01"
MORE_NAMES = {
    "like a partition": PARTITION,
    "for shells and patterns": 'a**b "q" #h ^c |p $HOME & ~ ; = :x <i> `t` !',
    "of another script": "प्रोजेक्ट 日本\u00a0語",
}


def use_everything(folder: Path, bucket: Any, **settings: str) -> None:
    """Run every command in a project folder, whose results are those that the case must give anywhere."""
    for file in CASE.files:
        bucket.put(file["key"], CASE.data(file))
    given = {
        "SIGMA_IMPRESSIONS_BUCKET_URI": bucket.uri,
        "SIGMA_IMPRESSIONS_RESOURCES": CASE.write_resources(folder).name,
    }
    env = environment(folder, {**bucket.environment(), **CASE.settings, **given, **settings})

    def run(*arguments: str) -> None:
        done = sigma_impressions(*arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr

    before = set(folder.iterdir())
    run("check")
    # The cache of tables in a bucket stays.
    assert set(folder.iterdir()) - {folder / "data" if "SIGMA_IMPRESSIONS_STORAGE" in settings else None} == before
    run("run")
    run("backfill", "--from", str(TODAY - timedelta(days=1)), "--to", str(TODAY))
    run("run", "--as-of", str(CASE.as_of))
    (database,) = folder.rglob("sigma_impressions.duckdb")
    cases.assert_as_expected(CASE, database)
    exported = folder / "exported" / folder.name
    run("export", "tables", "--to", str(exported))
    run("export", "tables", "--to", str(exported), "--format", "parquet")
    (activity,) = (pl.read_csv(path.read_bytes()) for path in exported.glob("user_activity.csv"))
    assert activity.height == pl.read_parquet((exported / "user_activity.parquet").read_bytes()).height > 0
    run("export", "datahub", "--to", str(exported / "usage.json"))
    assert "usageStatistics" in (exported / "usage.json").read_text(encoding="utf-8").replace("Usage", "usage")
    run("report", "--to", str(exported / "report.html"))
    assert "</html>" in (exported / "report.html").read_text(encoding="utf-8")
    run("maintain", "--keep-days", "1")
    run("forget", USER)
    after = cases.published(database)["user_activity"]
    assert USER not in {row["user_email"] for row in after}
    assert set(folder.parent.iterdir()) == {folder}


def test_everything_works_in_a_folder_of_all_kinds_below_one_like_a_partition(s3_bucket: Any, tmp_path: Path) -> None:
    folder = tmp_path / PARTITION / NAME
    folder.mkdir(parents=True)
    use_everything(folder, s3_bucket)


@pytest.mark.soak
@pytest.mark.parametrize("name", MORE_NAMES.values(), ids=MORE_NAMES)
def test_everything_works_in_more_folders(name: str, s3_bucket: Any, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    use_everything(folder, s3_bucket)


@pytest.mark.soak
@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_everything_works_in_a_folder_with_the_tables_in_a_bucket(
    s3_bucket: Any, remote_storage: RemoteStorage, tmp_path: Path
) -> None:
    folder = tmp_path / NAME
    folder.mkdir()
    use_everything(folder, s3_bucket, SIGMA_IMPRESSIONS_STORAGE=f"{remote_storage.uri}/{NAME[:-5]}")


@pytest.mark.soak
def test_a_question_mark_is_no_matter_but_to_dagster(s3_bucket: Any, tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "what?" / "project", tmp_path / "dagster"
    folder.mkdir(parents=True)
    elsewhere.mkdir()
    add_instance(elsewhere)
    use_everything(folder, s3_bucket, DAGSTER_HOME=str(elsewhere))


REFUSED = {
    "percent": ("100%41", "holds %41, which Delta Lake takes for 'A'"),
    "backslash": ("back\\slash", "holds a backslash"),
    "line end": ("two\nlines", "holds the control character U+000A"),
    "no UTF-8": ("caf\udce9", "holds bytes that are no UTF-8"),
}


@pytest.mark.parametrize(("name", "fault"), REFUSED.values(), ids=REFUSED)
def test_a_folder_that_cannot_be_expressed_is_refused_before_anything_is_written(
    name: str, fault: str, s3_bucket: Any, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / name, tmp_path / "dagster"
    folder.mkdir()
    env = environment(folder, {"SIGMA_IMPRESSIONS_BUCKET_URI": s3_bucket.uri, "DAGSTER_HOME": str(elsewhere)})
    before = sorted(map(os.fsencode, tmp_path.rglob("*")))
    for command in ("check", "run"):
        done = sigma_impressions(command, env=env)
        assert done.returncode == 1
        assert f"SIGMA_IMPRESSIONS_STORAGE: leads to a path that {fault}" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert sorted(map(os.fsencode, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize(
    ("name", "fault"), [("what?", "holds a question mark (?)"), ("100%41", "holds %41, which Dagster takes for 'A'")]
)
def test_a_dagster_home_that_cannot_be_expressed_is_refused(
    name: str, fault: str, s3_bucket: Any, tmp_path: Path
) -> None:
    settings = {"SIGMA_IMPRESSIONS_BUCKET_URI": s3_bucket.uri, "DAGSTER_HOME": str(tmp_path / name)}
    for command in ("check", "run"):
        done = sigma_impressions(command, env=environment(tmp_path, settings))
        assert done.returncode == 1
        assert f"DAGSTER_HOME: leads to a path that {fault}" in done.stdout + done.stderr
    assert not (tmp_path / name).exists()
