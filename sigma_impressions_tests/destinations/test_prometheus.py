"""The metrics for operators: as Prometheus reads them, equal to queries, for another user, and never in the way."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from sigma_impressions.cli import main
from sigma_impressions.destinations.prometheus import HELP, LastRun, Recorded, write_metrics
from sigma_impressions.errors import MetricsNotWritten
from sigma_impressions.lake.schemas import EXPORT_FILES, RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.owner_only import for_owner_only
from sigma_impressions.publish.database import DATABASE_NAME, publish_database
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.commands import add_instance, without_settings
from sigma_impressions_tests.destinations.exposition import read
from sigma_impressions_tests.exports.bucket import DAY, NOON, Bucket, scanned

NAME = 'Acme "EU"\nof\\all'
HEADER = b"request_time,user_email,workbook_url_id\n"
RECORDED = Recorded(
    LastRun(NOON, NOON + timedelta(minutes=1.5), True), NOON + timedelta(minutes=1.5), NOON, NOON - timedelta(hours=1)
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some exports, one of them refused, another one of long ago, and a published database."""
    tables, bucket = Tables(tmp_path_factory.mktemp("stored") / "data"), Bucket()
    bucket.put(
        "a.csv",
        HEADER
        + b"2026-11-20T10:00:00Z,a@example.com,w\n" * 3
        + b"2026-11-19T10:00:00Z,b@example.com,x\n,a@example.com,w\n",
    )
    bucket.put("b.csv", b"nothing,of,it\n1,2,3\n", NOON + timedelta(hours=1))
    long_ago = NOON - timedelta(days=100)
    bucket.put("c.csv", HEADER + b"2026-08-12T10:00:00Z,a@example.com,w\n" * 3, long_ago)
    scanned(tables, bucket, DAY, long_ago.date())
    resources = [{"resource_type": "sigma_workbook", "workbook_url_id": name} for name in ("w", "unused")]
    capture_snapshot(tables, conform(pl.DataFrame(resources), "the test"), "the test", NOON)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [DAY])
    publish_database(tables, DAY)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path / "data"))


def written(tables: Tables, target: Path, recorded: Recorded = RECORDED) -> list[str]:
    """Write the file; what is told."""
    said: list[str] = []
    with for_owner_only():
        write_metrics(target, NAME, tables, recorded, said.append)
    return said


def one(database: Path, query: str) -> float:
    with duckdb.connect(str(database), read_only=True) as connection:
        ((value,),) = connection.execute(query).fetchall()
        return float(value)


def test_what_prometheus_reads_is_what_queries_say(tables: Tables, tmp_path: Path) -> None:
    target = tmp_path / "collector" / "sigma_impressions.prom"
    target.parent.mkdir()
    assert written(tables, target) == []
    found = read(target, NAME)
    assert {name if isinstance(name, str) else name[0] for name in found} == HELP.keys()
    database = tmp_path / "data" / DATABASE_NAME
    for name, query in {
        "published_timestamp_seconds": "SELECT epoch(published_at) FROM publication",
        "as_of_timestamp_seconds": "SELECT epoch(as_of_date) FROM publication",
        "last_complete_day_timestamp_seconds": "SELECT max(epoch(last_complete_day)) FROM usage_summary",
        "impressions_60d": "SELECT sum(impressions) FROM daily_impressions",
        "unmatched_impressions_60d": "SELECT sum(total_impressions_60d) FROM unmatched_impressions",
        "users_60d": "SELECT count(DISTINCT user_email) FROM user_activity",
        "resources": "SELECT count(*) FROM resource_impressions",
    }.items():
        assert found[name] == pytest.approx(one(database, query)), name
    share = "SELECT (SELECT sum(total_impressions_60d) FROM unmatched_impressions) / sum(impressions) FROM "
    assert found["unmatched_impressions_ratio"] == pytest.approx(one(database, f"{share} daily_impressions"))
    files = tables.read(EXPORT_FILES)
    assert found["files", "read"] == files.filter(pl.col("status") == "read").collect().height == 2
    assert [found["files_60d", status] for status in ("read", "refused", "unreadable", "missing")] == [1, 1, 0, 0]
    assert found["files", "not_captured"] == 0
    for outcome in ("accepted", "rejected", "skipped"):
        assert found["rows", outcome] == files.select(outcome).sum().collect().item()
    assert [found["rows_60d", outcome] for outcome in ("accepted", "rejected", "skipped")] == [4, 1, 0]
    newest = tables.read(RAW_EXPORT_FILES).select(pl.col("last_modified").max()).collect().item()
    assert found["newest_export_timestamp_seconds"] == newest.timestamp()
    assert found["resources_timestamp_seconds"] - found["members_timestamp_seconds"] == 3600
    assert found["last_run_timestamp_seconds"] == found["last_success_timestamp_seconds"] == NOON.timestamp() + 90
    assert (found["last_run_duration_seconds"], found["last_run_succeeded"]) == (90, 1)


def test_names_follow_the_rules_of_prometheus() -> None:
    for name, said in HELP.items():
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_info", "_age", "_days", "_percent"))
        assert said.endswith(".")


def test_another_user_reads_it_and_no_person_is_in_it(tables: Tables, tmp_path: Path) -> None:
    target = tmp_path / "collector" / "sigma_impressions.prom"
    target.parent.mkdir()
    written(tables, target)
    assert target.stat().st_mode & 0o777 == 0o644
    assert "@" not in target.read_text(encoding="utf-8")
    assert list(target.parent.iterdir()) == [target]
    # Who reads a file that is replaced reads the one before to its end; its owner may have opened it to a group only.
    target.chmod(0o640)
    with target.open(encoding="utf-8") as before:
        written(tables, target, Recorded())
        assert "last_run_succeeded" in before.read()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "last_run_succeeded" not in target.read_text(encoding="utf-8")


def test_what_cannot_be_read_is_left_out(tables: Tables, tmp_path: Path) -> None:
    target, database = tmp_path / "sigma_impressions.prom", tmp_path / "data" / DATABASE_NAME
    database.chmod(0o600)
    database.write_text("nothing")
    (said,) = written(tables, target)
    assert said.startswith(f"Not all metrics for operators can be told: {database} cannot be read")
    assert read(target, NAME)["files_60d", "refused"] == 1
    assert "resources" not in read(target, NAME)
    assert written(Tables(tmp_path / "empty"), target, Recorded(LastRun(None, None, False))) == []
    found = read(target, NAME)
    assert (found["last_run_succeeded"], found["files", "read"], found["rows", "accepted"]) == (0, 0, 0)
    assert not {"newest_export_timestamp_seconds", "last_run_duration_seconds", "users_60d"} & found.keys()


def test_a_file_that_cannot_be_written_is_told(tables: Tables, tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "sigma_impressions.prom"
    with pytest.raises(MetricsNotWritten, match=f"cannot be written to {target}: No such file.* Make its folder"):
        written(tables, target)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    without_settings(monkeypatch)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    return {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports", "SIGMA_IMPRESSIONS_NAME": "Acme"}


def test_the_command_writes_it_too(tables: Tables, project: Mapping[str, str], tmp_path: Path) -> None:
    def export(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["export", "prometheus", *arguments], env=project)
        return result.exit_code, result.output

    code, said = export()
    assert code == 1
    assert "SIGMA_IMPRESSIONS_PROMETHEUS: is not set" in said
    target = tmp_path / "acme.prom"
    assert export("--to", str(target)) == (0, f"{target}\n")
    assert read(target, "Acme")["files", "refused"] == 1
    add_instance(tmp_path / "dagster_home")
    assert export("--to", str(target))[0] == 0
    code, said = export("--to", str(tmp_path / "acme.txt"))
    assert code == 1
    assert "is not a local file that ends in .prom" in said
