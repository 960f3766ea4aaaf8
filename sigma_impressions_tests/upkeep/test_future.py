"""What a clock that was ahead leaves in the tables: it is named, it does not win, and it can be dropped."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.clock import SKEW, refuse_behind
from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.console import captured_between
from sigma_impressions.errors import ClockBehind, NothingComputed
from sigma_impressions.exports.listing import ExportFile, Listing, sort_out
from sigma_impressions.exports.manifest import record_listing
from sigma_impressions.lake.commits import replace_rows
from sigma_impressions.lake.inventory import take_stock
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    RAW_EXPORT_FILES,
    RESOURCE_SNAPSHOTS,
    SNAPSHOT_TABLES,
)
from sigma_impressions.lake.tables import Tables, files_of
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import expected_as_of_dates
from sigma_impressions.publish.database import newest_as_of
from sigma_impressions.publish.settle import publish_settled
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.future import drop_future, left_in_future
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
AHEAD = NOW + timedelta(days=365)
TODAY, LATER = NOW.date(), AHEAD.date()
LISTED = [StoredObject("bucket", "listed.csv", "v", 1, NOW - timedelta(days=1))]


def discover(tables: Tables, now: datetime, *workbooks: str) -> str:
    found = pl.DataFrame({"resource_type": "sigma_workbook", "workbook_url_id": list(workbooks)})
    return capture_snapshot(tables, conform(found, "the test"), "the test", now).snapshot_id


def list_file(tables: Tables, now: datetime, modified: datetime) -> None:
    item = StoredObject("bucket", f"{modified}.csv", "v", 1, modified)
    record_listing(tables, Listing([ExportFile(item, modified.date())]), now)


def count(tables: Tables, *as_of_dates: date) -> None:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, as_of_dates)


def shift_clock(tables: Tables, column: str = "captured_at") -> None:
    """What was captured was captured by the clock that is ahead."""
    rows = tables.read(EXPORT_FILES).with_columns(pl.lit(AHEAD).alias(column)).collect()
    replace_rows(tables.open(EXPORT_FILES), "file_id", rows["file_id"], rows)


def published(tables: Tables) -> tuple[date, int]:
    """The as-of date of the result as a backfill publishes it, and its impressions of 60 days."""
    done = publish_settled(tables, "largest", [], None, report=lambda _: None)
    with duckdb.connect(str(done.path), read_only=True) as connection:
        ((impressions,),) = connection.execute("SELECT sum(total_impressions_60d) FROM user_activity").fetchall()
    return done.as_of, impressions


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables with one impression of yesterday, and with what a run has left whose clock was a year ahead."""
    tables = Tables(tmp_path_factory.mktemp("stored") / "data")
    yesterday = NOW - timedelta(days=1)
    discover(tables, yesterday, "wb1")
    list_file(tables, yesterday, yesterday)
    capture(tables, "exported", [Row(yesterday, "ann@x.org", "wb1", None, 1, None)], yesterday.date())
    count(tables, TODAY)
    discover(tables, AHEAD, "wb1", "wb2")
    list_file(tables, AHEAD, yesterday - timedelta(days=1))
    shift_clock(tables)
    count(tables, LATER)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of them."""
    return Tables(shutil.copytree(stored, tmp_path / "data"))


def test_an_as_of_date_of_the_future_is_never_published(tables: Tables) -> None:
    assert published(tables) == (TODAY, 1)
    assert newest_as_of(tables, LATER) == LATER
    with pytest.raises(NothingComputed, match=f"only later ones, from {TODAY} on"):
        newest_as_of(tables, TODAY - timedelta(days=1))


def test_a_snapshot_of_the_future_is_none_of_today(tables: Tables) -> None:
    right = discover(tables, NOW, "wb1", "wb2")
    assert discover(tables, NOW, "wb1", "wb2") == right, "It is compared with itself, not with that of the future"
    assert expected_as_of_dates(tables, [TODAY])[TODAY].snapshot_id == right
    again = discover(tables, NOW + timedelta(seconds=1), "wb2", "wb3")
    history = tables.read(SNAPSHOT_TABLES[1], "snapshot_id", [again]).collect()
    assert history["first_seen_at"].max() == NOW + timedelta(seconds=1)


def test_the_summary_of_a_run_counts_no_file_of_the_future(tables: Tables) -> None:
    assert captured_between(tables, NOW - timedelta(hours=1), NOW)["files"] == 0
    assert captured_between(tables, NOW, AHEAD)["files"] == 1


def test_what_lies_in_the_future_is_named_with_the_way_out(tables: Tables) -> None:
    found = left_in_future(tables, NOW).sentence
    assert found is not None
    assert f"1 as-of date up to {LATER}" in found
    assert f"1 resource snapshot up to {AHEAD:%Y-%m-%d %H:%M} UTC" in found
    assert "2 export files" in found
    assert "sigma-impressions maintain --drop-future" in found
    assert left_in_future(tables, AHEAD).sentence is None


def test_clocks_of_two_machines_may_differ_a_little(tables: Tables) -> None:
    assert left_in_future(tables, AHEAD - SKEW).snapshots == ()
    before = tables.open(RESOURCE_SNAPSHOTS).version()
    discover(tables, AHEAD - SKEW, "wb1", "wb2")
    assert tables.open(RESOURCE_SNAPSHOTS).version() == before


def test_what_is_dropped_is_gone_and_the_next_run_publishes_the_right_result(tables: Tables) -> None:
    drop_future(tables, NOW, LISTED, lambda _: None)
    assert left_in_future(tables, NOW).sentence is None
    assert set(tables.read(AS_OF_DATES).collect()["as_of_date"]) == {TODAY}
    for table in METRIC_TABLES:
        assert set(files_of(tables.open(table))["as_of_date"]) <= {TODAY}
    registered = set(tables.read(RESOURCE_SNAPSHOTS).collect()["snapshot_id"])
    for table in SNAPSHOT_TABLES:
        assert set(files_of(tables.open(table))["snapshot_id"]) <= registered
    for table, column in ((EXPORT_FILES, "captured_at"), (RAW_EXPORT_FILES, "first_seen_at")):
        times = tables.read(table).collect()[column]
        assert times.max() == NOW, "A file stays, with the time of now"
    discover(tables, NOW, "wb1", "wb2")
    count(tables, TODAY)
    assert published(tables) == (TODAY, 1)
    versions = [tables.open(table).version() for table in (AS_OF_DATES, EXPORT_FILES, EVENT_DATES)]
    drop_future(tables, NOW, LISTED, lambda _: None)
    assert versions == [tables.open(table).version() for table in (AS_OF_DATES, EXPORT_FILES, EVENT_DATES)]


def test_after_a_first_run_with_the_clock_ahead_nothing_is_damaged_and_the_next_run_computes_all_again(
    tmp_path: Path,
) -> None:
    tables, yesterday = Tables(tmp_path), NOW - timedelta(days=1)
    discover(tables, AHEAD, "wb1", "wb2")
    capture(tables, "exported", [Row(yesterday, "ann@x.org", "wb1", None, 1, None)], yesterday.date())
    count(tables, yesterday.date(), TODAY, LATER)
    said: list[str] = []
    drop_future(tables, NOW, LISTED, said.append)
    assert "computes 2 as-of dates up to today again" in said[0]
    maintain(tables, timedelta(days=1), lambda _: None)
    assert take_stock(tables) == []
    right = discover(tables, NOW, "wb1")
    count(tables, TODAY)
    registered = tables.read(AS_OF_DATES).select("as_of_date", "snapshot_id").sort("as_of_date").collect().rows()
    assert registered == [(yesterday.date(), right), (TODAY, right)]
    assert published(tables) == (TODAY, 1)


def test_single_views_that_were_dropped_in_the_future_let_late_files_be_told(tables: Tables) -> None:
    closed = tables.read(EVENT_DATES).with_columns(detail_dropped_at=pl.lit(AHEAD)).collect()
    replace_rows(tables.open(EVENT_DATES), "event_date", closed["event_date"], closed)
    drop_future(tables, NOW, LISTED, lambda _: None)
    assert tables.read(EVENT_DATES).collect()["detail_dropped_at"].to_list() == [NOW]


def test_a_clock_that_is_behind_is_named_and_drops_nothing(tables: Tables, tmp_path: Path) -> None:
    behind = NOW - timedelta(days=200)
    found = left_in_future(tables, behind, LISTED).sentence
    assert found is not None
    assert "the clock of this machine is behind" in found
    assert "--drop-future" not in found
    with pytest.raises(ClockBehind, match="Nothing was changed"):
        drop_future(tables, behind, LISTED, lambda _: None)
    assert set(tables.read(AS_OF_DATES).collect()["as_of_date"]) == {TODAY, LATER}
    with pytest.raises(ClockBehind):
        drop_future(Tables(tmp_path / "new"), behind, LISTED, lambda _: None)


def test_what_was_written_with_the_clock_of_the_store_ahead_is_in_nobodys_way(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    list_file(tables, AHEAD, AHEAD)
    row = Row(NOW, "ann@x.org", "wb1", None, 1, None)
    capture(tables, "exported", [row], TODAY)
    shift_clock(tables, "last_modified")
    found = left_in_future(tables, NOW, LISTED)
    assert (found.files, found.written_at) == (2, LISTED[0].last_modified)
    refuse_behind(found.written_at, NOW)
    still_there = [*LISTED, StoredObject("bucket", "ahead.csv", "v", 1, AHEAD)]
    assert (said := left_in_future(tables, NOW, still_there).sentence) is not None
    assert "write the file again, or delete it" in said
    with pytest.raises(ClockBehind):
        drop_future(tables, NOW, still_there, lambda _: None)
    drop_future(tables, NOW, LISTED, lambda _: None)
    assert left_in_future(tables, NOW, still_there).sentence is None
    for table in (EXPORT_FILES, RAW_EXPORT_FILES):
        assert tables.read(table).collect()["last_modified"].to_list() == [NOW]


def test_the_bucket_is_asked_only_if_there_is_something_of_the_future(tables: Tables) -> None:
    asked = iter(LISTED)
    assert left_in_future(tables, AHEAD, asked).written_at is None
    assert list(asked) == LISTED


def test_a_run_whose_clock_is_behind_what_it_lists_is_refused() -> None:
    written = [NOW - timedelta(days=1), NOW, NOW - timedelta(days=2)]
    objects = [StoredObject("bucket", f"{number}.csv", "v", 1, moment) for number, moment in enumerate(written)]
    other = StoredObject("bucket", "notes.txt", "v", 1, AHEAD)
    found = sort_out([*objects, other], {TODAY}, None).written_at
    refuse_behind(found, NOW)
    refuse_behind(found, NOW - SKEW)
    with pytest.raises(ClockBehind, match=f"written at {NOW:%Y-%m-%d %H:%M} UTC, .* of this machine is behind"):
        refuse_behind(found, NOW - 2 * SKEW)
    refuse_behind(None, NOW)
