"""Single views of long ago go; what was counted of them stays, whatever is captured later."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigma_impressions.errors import InputsChanged
from sigma_impressions.lake.commits import append_rows, replace_rows
from sigma_impressions.lake.schemas import DAILY_IMPRESSIONS, EVENT_DATES, NORMALIZED_IMPRESSIONS, REJECTED_ROWS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import built_event_dates
from sigma_impressions.publish.settle import is_complete
from sigma_impressions.upkeep import drop_detail as retention
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.drop_detail import Dropped, drop_detail, late_files
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.upkeep.ages import age
from sigma_impressions_tests.upkeep.test_compact import refresh, results, row, snapshot

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files over five event dates, counted."""
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    snapshot(tables, datetime(2026, 11, 1, tzinfo=UTC), "wb1", "wb2")
    capture(tables, "first", [row(12, "ada@x"), row(13, "ada@x"), row(13, "bob@x")], date(2026, 11, 13))
    capture(tables, "second", [row(13, "cyd@x"), row(14, "ada@x"), row(19, "ada@x", "wb2")], date(2026, 11, 19))
    rejected = [
        {"file_date": date(2026, 11, day), "file_id": name, "capture_id": f"capture of {name}", "text": "ada@x,?"}
        for day, name in ((13, "first"), (19, "second"))
    ]
    frame = pl.DataFrame(rejected, schema=REJECTED_ROWS.schema)
    append_rows(tables.open(REJECTED_ROWS), frame)
    refresh(tables)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path / "storage"))


def drop(tables: Tables, keep_days: int = 6) -> Dropped:
    """Drop what is older than so many days on AS_OF; it is done now, after all files were captured."""
    now = datetime.now(UTC)
    return drop_detail(tables, keep_days + (now.date() - AS_OF).days, "largest", now, lambda _: None)


def detail(tables: Tables) -> list[date]:
    return tables.read(NORMALIZED_IMPRESSIONS).collect()["event_date"].sort().to_list()


def numbers(tables: Tables) -> dict[str, Any]:
    """What is published, without the registry of files: it tells which rejected rows are still there."""
    return {day: {**published, "files": None} for day, published in results(tables).items()}


def test_old_detail_goes_and_every_number_stays(tables: Tables) -> None:
    before = numbers(tables)
    assert drop(tables) == Dropped(event_dates=2, rows=4, rejected_rows=1)
    assert detail(tables) == [date(2026, 11, 14), date(2026, 11, 19)]
    assert tables.read(REJECTED_ROWS).collect()["file_id"].to_list() == ["second"]
    assert refresh_daily_impressions(tables, "largest").built == ()
    assert refresh_metrics(tables, [AS_OF]).built == ()
    assert is_complete(tables, "largest", [AS_OF])
    assert numbers(tables) == before
    assert drop(tables) == Dropped()
    # The rows go from the disk with the maintenance, once no kept version lists them.
    age(tables.root, days=8)
    maintain(tables, timedelta(days=7), lambda _: None)
    stored = list((tables.root / NORMALIZED_IMPRESSIONS.name).rglob("*.parquet"))
    assert (
        sum(pl.read_parquet(path, hive_partitioning=False).height for path in stored if "_delta" not in str(path)) == 2
    )
    assert numbers(tables) == before


def test_rows_that_come_too_late_do_not_count_and_are_named(tables: Tables) -> None:
    drop(tables)
    before = tables.read(DAILY_IMPRESSIONS, "event_date", [date(2026, 11, 13)]).collect()
    capture(tables, "late", [row(13, "bob@x"), row(13, "new@x"), row(20, "bob@x")])
    refresh(tables)
    assert tables.read(DAILY_IMPRESSIONS, "event_date", [date(2026, 11, 13)]).collect().equals(before)
    assert built_event_dates(tables).keys() >= {date(2026, 11, 13), date(2026, 11, 20)}
    assert late_files(tables).rows() == [("exports/late.csv", date(2026, 11, 13))]
    assert is_complete(tables, "largest", [AS_OF])
    # Their detail goes too.
    assert drop(tables).rows == 2
    assert detail(tables) == [date(2026, 11, day) for day in (14, 19, 20)]


def test_a_closed_date_is_not_counted_in_another_way(tables: Tables) -> None:
    drop(tables)
    assert refresh_daily_impressions(tables, "sum").built == (date(2026, 11, 14), date(2026, 11, 19))


def test_a_date_that_is_not_counted_yet_keeps_its_detail(tables: Tables) -> None:
    capture(tables, "third", [row(12, "dan@x")])
    assert drop(tables).event_dates == 1
    assert date(2026, 11, 12) in detail(tables)
    refresh(tables)
    assert drop(tables).event_dates == 1
    assert tables.read(EVENT_DATES).filter(event_date=date(2026, 11, 12)).collect()["rows"].to_list() == [2]


def test_a_run_that_was_about_to_count_a_date_sees_that_it_is_closed(tables: Tables) -> None:
    """The run opens its tables, the detail goes, and the run writes what it has counted: refused, it looks again."""
    daily = tables.open(DAILY_IMPRESSIONS)
    day = date(2026, 11, 13)
    counted = tables.read(DAILY_IMPRESSIONS, "event_date", [day]).collect()
    drop(tables)
    with pytest.raises(CommitFailedError):
        replace_rows(daily, "event_date", [day], counted.head(1))
    assert tables.read(DAILY_IMPRESSIONS, "event_date", [day]).collect().height == counted.height


def test_a_date_that_a_run_rebuilds_in_that_moment_stays_open(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    day, settle, waiting = date(2026, 11, 13), retention._settle, [True]

    def settle_after_a_run(tables: Tables, days: Any) -> Any:
        if waiting:
            waiting.clear()
            rows = tables.read(DAILY_IMPRESSIONS, "event_date", [day]).collect()
            other = rows.with_columns(fingerprint=pl.lit("other"))
            replace_rows(tables.open(DAILY_IMPRESSIONS), "event_date", [day], other)
        return settle(tables, days)

    monkeypatch.setattr(retention, "_settle", settle_after_a_run)
    assert drop(tables).event_dates == 1
    assert detail(tables).count(day) == 3
    assert refresh_daily_impressions(tables, "largest").built == (day,)


def test_a_closed_date_that_is_damaged_is_told(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(tables)
    tables.open(DAILY_IMPRESSIONS).delete("event_date = '2026-11-13'")
    monkeypatch.setattr("sigma_impressions.clouds.backoff.time.sleep", lambda _: None)
    with pytest.raises(InputsChanged, match=r"2026-11-13 .* restore daily_impressions and event_dates"):
        refresh_daily_impressions(tables, "largest")


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 12),
            st.lists(st.tuples(st.integers(8, 20), st.sampled_from("abc")), min_size=1, max_size=4),
        ),
        min_size=2,
        max_size=5,
    )
)
def test_in_any_order_of_captures_and_drops_a_number_never_shrinks(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A step is a file, or a drop of what is older than so many days."""
    tables = Tables(tmp_path_factory.mktemp("any") / "storage")
    counted: dict[date, int] = {}
    for number, step in enumerate(steps):
        if isinstance(step, int):
            drop(tables, step)
            limit = AS_OF - timedelta(days=step)
            assert all(day >= limit for day in detail(tables))
        else:
            capture(tables, f"file {number}", [row(day, user) for day, user in step])
        refresh_daily_impressions(tables, "largest")
        registered = tables.read(EVENT_DATES).select("event_date", "impressions").collect()
        now = dict(registered.iter_rows())
        assert all(now.get(day, 0) >= before for day, before in counted.items())
        daily = tables.read(DAILY_IMPRESSIONS).group_by("event_date").agg(pl.col("impressions").sum()).collect()
        assert dict(daily.iter_rows()) == now
        counted = now
