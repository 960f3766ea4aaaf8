"""Maintenance, restore and the way up from an older schema: what is read afterwards is what was read before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as changed
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from sigma_impressions.errors import TablesError
from sigma_impressions.lake import engine, schemas, upgrades
from sigma_impressions.lake import tables as tables_module
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    DAILY_TABLES,
    EVENT_DATES,
    METRIC_TABLES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upkeep.compact import Maintained, maintain
from sigma_impressions.upstream.contract import SCHEMA
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests import cases
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.upkeep.ages import age

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)
WEEK = timedelta(days=7)
DERIVED = (*DAILY_TABLES, EVENT_DATES, *METRIC_TABLES, AS_OF_DATES)


def row(day: int, user: str, workbook: str = "wb1") -> Row:
    return Row(datetime(2026, 11, day, 9, tzinfo=UTC), user, workbook, None, 1, None)


def snapshot(tables: Tables, taken_at: datetime, *workbooks: str) -> str:
    rows = [
        {"resource_type": "sigma_workbook", "workbook_url_id": workbook, "name": workbook} for workbook in workbooks
    ]
    return capture_snapshot(tables, pl.DataFrame(rows, schema=SCHEMA), "here", taken_at).snapshot_id


def refresh(tables: Tables) -> None:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF - timedelta(days=1), AS_OF])


def results(tables: Tables) -> dict[str, Any]:
    """What people read: the published databases of both as-of dates."""
    return {str(day): cases.published(publish_database(tables, day).path) for day in (AS_OF - timedelta(days=1), AS_OF)}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files and three snapshots, the first two of one day; as-of dates computed after each file."""
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    morning = datetime(2026, 11, 10, 8, tzinfo=UTC)
    snapshot(tables, morning - timedelta(days=3), "wb1")
    snapshot(tables, morning, "wb1", "wb2")
    snapshot(tables, morning + timedelta(hours=1), "wb1", "wb3")
    capture(tables, "first", [row(18, "ada@x"), row(19, "bob@x", "wb2"), row(20, "eve@x", "wb3")])
    refresh(tables)
    capture(tables, "second", [row(19, "cyd@x"), row(20, "ada@x")])
    refresh(tables)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path / "storage"))


def leave_rows(tables: Tables, file_id: str, capture_id: str) -> None:
    """Rows as a run leaves them that is killed before it registers their file."""
    left = {
        "file_date": date(2026, 11, 20),
        "file_id": file_id,
        "capture_id": capture_id,
        "row_number": 1,
        "request_time": datetime(2026, 11, 20, tzinfo=UTC),
        "event_date": date(2026, 11, 20),
        "user_email": "dead@x",
        "workbook_url_id": "wb1",
        "count": 1,
    }
    frame = pl.DataFrame([left], schema=NORMALIZED_IMPRESSIONS.schema)
    append_rows(tables.open(NORMALIZED_IMPRESSIONS), frame)


def captures(tables: Tables) -> set[str]:
    return set(tables.read(NORMALIZED_IMPRESSIONS).collect()["capture_id"])


def maintained(tables: Tables, table: str) -> Maintained:
    return {done.table: done for done in maintain(tables, WEEK, lambda _: None)}[table]


def test_what_nobody_refers_to_goes_and_results_stay(tables: Tables) -> None:
    leave_rows(tables, "first", "superseded")
    leave_rows(tables, "never registered", "killed")
    unnamed = tables.read(SIGMA_RESOURCES).collect().with_columns(snapshot_id=pl.lit("unnamed"))
    append_rows(tables.open(SIGMA_RESOURCES), unnamed)
    of_a_dead_run = tables.read(DAILY_IMPRESSIONS).collect().with_columns(fingerprint=pl.lit("dead"))
    # An event date that no registry names.
    of_a_dead_run = of_a_dead_run.with_columns(event_date=pl.lit(date(2025, 1, 1)))
    append_rows(tables.open(DAILY_IMPRESSIONS), of_a_dead_run)
    stray = tables.root / NORMALIZED_IMPRESSIONS.name / "file_date=2026-11-20" / "never-committed.parquet"
    stray.write_bytes(b"x" * 1000)
    before = results(tables)
    versions = {table.name: tables.open(table).version() for table in ALL_TABLES}
    age(tables.root, days=8)
    tables.open(RAW_EXPORT_FILES)
    # What a run under way has brought in, and not registered yet.
    leave_rows(tables, "under way", "under way")
    young = stray.with_name("being-uploaded.parquet")
    young.write_bytes(b"x")

    figures = {done.table: done for done in maintain(tables, WEEK, lambda _: None)}
    assert captures(tables) == {"capture of first", "capture of second", "under way"}
    normalized = figures[NORMALIZED_IMPRESSIONS.name]
    assert (normalized.removed_rows, normalized.files_after) == (2, 1)
    assert normalized.files_before > normalized.files_after
    assert not stray.exists()
    assert normalized.freed_bytes >= 1000
    assert young.exists()
    assert figures[DAILY_IMPRESSIONS.name].removed_rows == of_a_dead_run.height
    # Of event dates that were rebuilt, before the time to keep.
    assert figures[DAILY_IMPRESSIONS.name].deleted_files > 0
    snapshots = tables.read(RESOURCE_SNAPSHOTS).sort("taken_at").collect()
    # Of the two of one day the later one is used; the oldest one is for the days before.
    assert snapshots["taken_at"].dt.hour().to_list() == [8, 9]
    assert set(tables.read(SIGMA_RESOURCES).collect()["snapshot_id"]) == set(snapshots["snapshot_id"])
    assert not any(done.skipped for done in figures.values())
    assert results(tables) == before
    # Nothing was stale: what is computed still stands.
    assert refresh_daily_impressions(tables, "largest").built == ()
    assert refresh_metrics(tables, [AS_OF]).built == ()

    done = {table.name: tables.open(table).version() for table in ALL_TABLES}
    assert done != versions
    assert sum(again.removed_rows + again.deleted_files for again in maintain(tables, WEEK, lambda _: None)) == 0
    assert {table.name: tables.open(table).version() for table in ALL_TABLES} == done


def test_older_versions_stay_readable_for_the_time_to_keep(tables: Tables) -> None:
    handle = tables.open(DAILY_IMPRESSIONS)
    before = tables.read(DAILY_IMPRESSIONS).collect()
    capture(tables, "third", [row(18, "new@x")])
    refresh(tables)
    maintain(tables, WEEK, lambda _: None)
    older = pl.scan_delta(tables.location(DAILY_IMPRESSIONS), version=handle.version()).collect()
    assert older.equals(before)


def test_a_file_that_two_runs_listed_at_once_is_in_the_manifest_once(tables: Tables) -> None:
    seen = [datetime(2026, 11, 20, 9, minute, tzinfo=UTC) for minute in (2, 1, 3)]
    listed = [{"file_id": name, "first_seen_at": when} for name in ("one", "other") for when in seen]
    listed.append({"file_id": "once", "first_seen_at": seen[0]})
    rows = pl.DataFrame(listed, schema=RAW_EXPORT_FILES.schema)
    append_rows(tables.open(RAW_EXPORT_FILES), rows)
    assert maintained(tables, RAW_EXPORT_FILES.name).removed_rows == 4
    kept = tables.read(RAW_EXPORT_FILES).select("file_id", "first_seen_at").sort("file_id").collect().rows()
    assert kept == [("once", seen[0]), ("one", seen[1]), ("other", seen[1])]


def test_the_published_database_is_still_that_of_the_tables(tables: Tables) -> None:
    assert publish_database(tables).is_new
    maintain(tables, WEEK, lambda _: None)
    assert not publish_database(tables).is_new


def test_less_than_a_day_is_not_kept(tables: Tables) -> None:
    with pytest.raises(ValueError, match="at least a day"):
        maintain(tables, timedelta(hours=23), lambda _: None)


def test_a_run_that_writes_meanwhile_is_not_disturbed(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit between what the maintenance read and its own commit: it looks again."""
    leave_rows(tables, "never registered", "killed")
    age(tables.root, days=8)
    opened = Tables.open
    waiting = [True]

    def open_and_be_overtaken(self: Tables, table: schemas.Table) -> Any:
        handle = opened(self, table)
        if table is NORMALIZED_IMPRESSIONS and waiting.pop() if waiting else False:
            opened(self, table).delete("capture_id = 'killed'")
        return handle

    monkeypatch.setattr(Tables, "open", open_and_be_overtaken)
    figures = maintained(tables, NORMALIZED_IMPRESSIONS.name)
    assert not figures.skipped
    assert captures(tables) == {"capture of first", "capture of second"}


def test_everything_is_rebuilt_from_what_was_captured(tables: Tables) -> None:
    before = results(tables)
    for table in DERIVED:
        shutil.rmtree(tables.root / table.name)
    (tables.root / "sigma_impressions.duckdb").unlink()
    tables = Tables(tables.root)  # of the next process: tables are deleted while none is under way
    refresh(tables)
    assert results(tables) == before


# --- The way up -------------------------------------------------------------------------------------------------


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[upgrades.Step], schemas.Table]:
    """A program of the next schema version, in which daily_impressions has a column more in the middle."""

    def install(step: upgrades.Step) -> schemas.Table:
        columns = list(DAILY_IMPRESSIONS.schema.items())
        wider = changed(DAILY_IMPRESSIONS, schema=pl.Schema([*columns[:3], ("device", pl.String), *columns[3:]]))
        monkeypatch.setattr(tables_module, "SCHEMA_VERSION", tables_module.SCHEMA_VERSION + 1)
        version = tables_module.SCHEMA_VERSION - 1
        monkeypatch.setattr(upgrades, "STEPS", {version: {DAILY_IMPRESSIONS.name: step}})
        return wider

    return install


def test_an_older_table_is_upgraded_when_it_is_opened(
    tables: Tables, next_version: Callable[[upgrades.Step], schemas.Table]
) -> None:
    before = tables.read(DAILY_IMPRESSIONS).collect()
    steps: list[str] = []

    def step(handle: DeltaTable) -> None:
        steps.append(handle.metadata().name)
        handle.update(updates={"device": "'unknown'"}, predicate="device IS NULL")

    wider = next_version(step)
    with ThreadPoolExecutor(4) as pool:
        handles = list(pool.map(lambda _: tables.open(wider), range(4)))
    found = {handle.metadata().configuration["sigma_impressions.schema_version"] for handle in handles}
    assert found == {str(tables_module.SCHEMA_VERSION)}
    upgraded = tables.read(wider).collect()
    assert upgraded["device"].unique().to_list() == ["unknown"]
    keys = ["event_date", "user_email", "workbook_url_id"]
    assert upgraded.drop("device").select(before.columns).sort(keys).equals(before.sort(keys))
    append_rows(tables.open(wider), upgraded.select(wider.schema.names()))
    assert tables.read(wider).collect().height == 2 * before.height
    taken = len(steps)
    tables.open(wider)
    assert len(steps) == taken


def test_files_from_before_a_column_was_added_have_no_value_in_it(
    tables: Tables, next_version: Callable[[upgrades.Step], schemas.Table], tmp_path: Path
) -> None:
    wider = next_version(lambda _: None)
    handle = tables.open(wider)
    rows = tables.read(wider).collect()
    assert rows["device"].null_count() == rows.height > 0
    with engine.connect(tmp_path) as connection:
        engine.view(connection, handle)
        query = f"SELECT count(*), count(device) FROM {wider.name}"
        assert connection.execute(query).fetchall() == [(rows.height, 0)]
        append_rows(handle, rows.with_columns(device=pl.lit("phone")))
        engine.view(connection, handle)
        assert connection.execute(query).fetchall() == [(2 * rows.height, rows.height)]


def test_an_upgrade_that_was_interrupted_is_begun_again(
    tables: Tables, next_version: Callable[[upgrades.Step], schemas.Table]
) -> None:
    calls: list[int] = []

    def step(_: DeltaTable) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("killed")

    wider = next_version(step)
    with pytest.raises(RuntimeError):
        tables.open(wider)
    assert "device" in tables.read(wider).collect_schema().names()
    assert len(calls) == 2


@pytest.mark.parametrize("version", [str(tables_module.SCHEMA_VERSION + 1), "none"])
def test_a_table_of_another_program_is_refused(version: str, tables: Tables) -> None:
    handle = tables.open(DAILY_IMPRESSIONS)
    handle.alter.set_table_properties({"sigma_impressions.schema_version": version}, raise_if_not_exists=False)
    refusal = f"has schema version {version}, this program works with {tables_module.SCHEMA_VERSION}"
    with pytest.raises(TablesError, match=f"daily_impressions {refusal}"):
        tables.open(DAILY_IMPRESSIONS)
