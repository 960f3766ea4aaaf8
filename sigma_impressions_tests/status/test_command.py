"""`sigma-impressions status`: of nothing, of what is damaged, and of real runs, at a terminal and for programs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sigma_impressions.cli import main
from sigma_impressions.exports.source import Source, claim_tables
from sigma_impressions.lake.schemas import EXPORT_FILES
from sigma_impressions.lake.storage import Storage
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.wiring import storage
from sigma_impressions_tests.at_terminal import at_terminal
from sigma_impressions_tests.commands import add_instance, environment, sigma_impressions, without_settings
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.exports.bucket import Bucket, scanned
from sigma_impressions_tests.report.published import publish
from sigma_impressions_tests.servers.results import TODAY, fill, settings

Invoke = Callable[..., Result]

pytestmark = pytest.mark.slow

SETTINGS = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports"}


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call `status` in this process; project, storage and instance lie in `tmp_path`."""
    without_settings(monkeypatch)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    return lambda *arguments, **env: CliRunner().invoke(main, ["status", *arguments], env={**SETTINGS, **env})


def found_by(invoke: Invoke, **env: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the JSON says, and what it says of each finding; the text says the same."""
    result = invoke("--json", **env)
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if found["status"] == "red" else 0)
    said = {finding["name"]: finding["said"] for finding in found["findings"]}
    text = invoke(**env)
    assert text.exit_code == result.exit_code
    for name, sentence in said.items():
        assert name in text.stdout
        assert sentence.replace(" ", "") in "".join(text.stdout.split())
    return found, said


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def capture(storage: Path | Storage) -> None:
    """Some exports, one of them refused, as a run would capture them."""
    bucket, tables = Bucket(), Tables(storage)
    bucket.put("exports/a.csv", b"request_time,user_email,workbook_url_id\n2026-11-20T10:00:00Z,a@example.com,w\n")
    bucket.put("exports/b.csv", b"nothing,of,it\n1,2,3\n")
    claim_tables(tables, Source("s3://bucket/exports/", "bucket", "exports/"))
    scanned(tables, bucket)


def test_before_anything_was_captured_it_says_what_comes_next(invoke: Invoke, tmp_path: Path) -> None:
    found, said = found_by(invoke)
    assert said == {"published": "Nothing is captured yet. Next: sigma-impressions check, then sigma-impressions run."}
    assert (found["status"], found["captured"]["files"], found["published"], found["recorded"]) == (
        "red",
        0,
        None,
        None,
    )
    assert tree(tmp_path) == {}


def test_settings_that_cannot_be_used_are_told_as_ever(invoke: Invoke) -> None:
    result = invoke(SIGMA_IMPRESSIONS_BUCKET_URI="http://x/y")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("SIGMA_IMPRESSIONS_BUCKET_URI: ")


def test_what_is_captured_and_published(invoke: Invoke, tmp_path: Path) -> None:
    capture(tmp_path / "data")
    found, said = found_by(invoke)
    captured = found["captured"]
    assert (captured["files"], captured["refused"], captured["not_captured"]) == (2, 1, 0)
    assert set(said) == {"published"}
    publish(tmp_path / "data" / DATABASE_NAME, workbooks=3, elements_each=1, users=3)
    add_instance(tmp_path / "dagster_home")
    before = tree(tmp_path)
    found, said = found_by(invoke)
    assert found["published"]["as_of"] == "2026-11-20"
    assert found["sizes"]["tables"].keys() >= {"export_files", "raw_export_files"}
    assert found["sizes"]["others"]["database"] == (tmp_path / "data" / DATABASE_NAME).stat().st_size
    assert tree(tmp_path) == before


def test_another_source_is_red(invoke: Invoke, tmp_path: Path) -> None:
    capture(tmp_path / "data")
    found, said = found_by(invoke, SIGMA_IMPRESSIONS_BUCKET_URI="s3://bucket/other")
    assert "holds export files of s3://bucket/exports/" in said["source"]
    assert found["captured"]["files"] == 2


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder / "data")
    (folder / "data").write_text("a file")


def no_log(folder: Path) -> None:
    for entry in (folder / "data" / EXPORT_FILES.name / "_delta_log").iterdir():
        entry.write_text("nothing")


def lost_files(folder: Path) -> None:
    for file in (folder / "data" / EXPORT_FILES.name).glob("*.parquet"):
        file.unlink()


def no_database(folder: Path) -> None:
    (folder / "data" / DATABASE_NAME).write_text("nothing")


def no_yaml(folder: Path) -> None:
    (folder / "dagster_home" / "dagster.yaml").write_text("a: [")


def no_sqlite(folder: Path) -> None:
    (folder / "dagster_home" / "history" / "runs.db").write_text("no database at all" * 100)


def other_dagster(folder: Path) -> None:
    index = folder / "dagster_home" / "history" / "runs" / "index.db"
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("ALTER TABLE asset_check_executions RENAME TO of_another_version")


DAMAGES: Mapping[str, tuple[Callable[[Path], None], str, str]] = {
    "the storage is a file": (no_folder, "database", "cannot be read: Not a directory"),
    "a broken log": (no_log, "storage", "lacks entries, or has broken ones"),
    "a lost data file": (lost_files, "storage", "What is stored is damaged"),
    "a database that is none": (no_database, "database", "cannot be read: it is damaged"),
    "settings of Dagster": (no_yaml, "dagster", "is no YAML with settings"),
    "databases of Dagster": (no_sqlite, "dagster", "file is not a database"),
    "another version of Dagster": (other_dagster, "dagster", "are those of another version of Dagster"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_damaged_is_red_and_hides_nothing_else(name: str, invoke: Invoke, tmp_path: Path) -> None:
    damage, part, expected = DAMAGES[name]
    capture(tmp_path / "data")
    add_instance(tmp_path / "dagster_home")
    publish(tmp_path / "data" / DATABASE_NAME, workbooks=3, elements_each=1, users=3)
    damage(tmp_path)
    before = tree(tmp_path)
    found, said = found_by(invoke)
    assert found["status"] == "red"
    assert expected in said[part]
    assert "Traceback" not in said[part]
    assert (found["captured"] is None) == (part == "storage")
    assert (found["recorded"] is None) == (part == "dagster")
    assert tree(tmp_path) == before


def test_a_storage_in_a_bucket_is_looked_at_where_it_is(
    remote_storage: RemoteStorage, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {**remote_storage.environment, "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri}.items():
        monkeypatch.setenv(name, text)
    where = storage(read_settings(environment_values({**os.environ, **SETTINGS})))
    capture(where)
    database = publish(tmp_path / "new.duckdb", workbooks=3, elements_each=1, users=3)
    size = database.stat().st_size
    where.publish(DATABASE_NAME, database, None)
    found, _ = found_by(invoke)
    assert (found["captured"]["files"], found["published"]["as_of"]) == (2, "2026-11-20")
    assert found["sizes"]["others"]["database"] == size
    assert found["sizes"]["others"]["cache"] > size

    shutil.rmtree(where.local.parent)
    before = tree(tmp_path)
    found, _ = found_by(invoke)
    assert (found["captured"]["files"], found["published"]["as_of"]) == (2, None)
    assert "sigma-impressions report brings it to this machine" in " ".join(invoke().stdout.split())
    assert tree(tmp_path) == before

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        for name in ("AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{held.getsockname()[1]}")
        monkeypatch.setattr("sigma_impressions.status.gather._PATIENCE", 0.5)
        result = invoke()
    assert "Captured   cannot be read, see below\nPublished  cannot be read" in result.stdout
    assert result.stdout.count("RED    ") == 2


def test_real_runs_at_a_terminal_and_for_programs(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 2)
    env = environment(tmp_path, settings(s3_bucket, tmp_path))
    done = sigma_impressions("run", "--days-back", "6", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    before = tree(tmp_path)
    # No bucket is asked.
    offline = {**env, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    done = sigma_impressions("status", "--json", env=offline)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    names = {finding["name"]: finding["colour"] for finding in found["findings"]}
    assert names["files_are_readable"] == "red"
    assert "yellow" in names.values()
    assert done.returncode == 1
    assert found["published"]["as_of"] == TODAY.isoformat()
    assert found["published"]["users_60d"] > 0
    last = found["recorded"]["last_run"]
    assert (last["outcome"], last["trigger"], last["last_day"]) == ("succeeded", "cli run", TODAY.isoformat())
    written = datetime.fromisoformat(found["published"]["published_at"])
    assert datetime.now(UTC) - written < timedelta(minutes=5)

    with at_terminal(["status"], env=offline, cwd=Path.cwd(), columns=80, lines=24) as screen:
        assert screen.ended() == 1
        assert len(screen.lines) == 24
        lines = screen.text.splitlines()
        assert lines[0] == f"Sigma Impressions: {found['source']}"
        assert lines[1].startswith("RED    1 red, ")
        for label in ("Captured", "Published", "Last run", "Next", "Storage"):
            assert sum(line.startswith(f"{label:<11}") for line in lines) == 1
        for name in names:
            assert sum(f" {name}, since " in line for line in lines) == 1
    assert tree(tmp_path) == before
