"""Bring `daily_impressions` and its totals up to date with the captured files: exactly the event dates that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.errors import InputsChanged
from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.inventory import naming_damage, require_intact
from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    DAILY_TABLES,
    DAILY_TOTALS,
    EVENT_DATES,
    NORMALIZED_IMPRESSIONS,
    UTC_TIME,
)
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, retry_conflicts
from sigma_impressions.metrics import QUERIES
from sigma_impressions.metrics.conservation import check_claims
from sigma_impressions.metrics.fingerprints import EventDate, built_event_dates, expected_event_dates
from sigma_impressions.metrics.keys import give_keys
from sigma_impressions.metrics.writing import replace_days, write_behind

if TYPE_CHECKING:
    import duckdb

_ROWS_AT_ONCE = 1_500_000
"""Captured rows that one query counts, which bounds what is held in memory: larger queries were seen to spill to
disk, and to take five times as long per row. A date of more rows is a query of its own."""

_DATES_AT_ONCE = 6
"""Event dates that one query builds at most: a run's days, whose small exports are quicker to count together."""


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did: the dates it built anew, those it dropped, and how many were up to date."""

    built: tuple[date, ...]
    dropped: tuple[date, ...]
    current: int


def refresh_daily_impressions(tables: Tables, overlapping_exports: str, limits: Limits = DEFAULT_LIMITS) -> Refreshed:
    """Rebuild the event dates whose captured files changed, wherever they lie, and drop those that lost theirs.

    Raises `ConservationError` before anything is written of dates that have fewer impressions than one of their files,
    and `DamagedError` if something is to be built and rows that were captured are missing or broken.
    """
    with naming_damage(tables):
        return retry_conflicts(lambda: _refresh(tables, overlapping_exports, limits))


def _refresh(tables: Tables, overlapping_exports: str, limits: Limits) -> Refreshed:
    # Opened before the inputs are read (see `Tables.open`); the registry is last, here and when they are written.
    handles = [tables.open(table) for table in (*DAILY_TABLES, EVENT_DATES)]
    built = built_event_dates(tables)
    expected = expected_event_dates(tables, overlapping_exports)
    stale = sorted(day for day, wanted in expected.items() if built.get(day) != wanted.fingerprint)
    dropped = tuple(sorted(built.keys() - expected.keys()))
    if stale or dropped:
        require_intact(tables)
    if lost := [day for day in stale if expected[day].closed]:
        raise InputsChanged(
            f"The daily impressions of {lost[0]} are not those that were registered when its single views were "
            "dropped. If a maintenance is under way, try again after it; otherwise restore daily_impressions and "
            "event_dates from a backup."
        )
    if stale or dropped:
        with scratch_folder(tables.root / WORK_FOLDER) as scratch, write_behind() as begin:
            for days in _batches({day: expected[day] for day in stale}):
                rows = _build(tables, {day: expected[day] for day in days}, overlapping_exports, scratch, limits)
                begin(partial(replace_days, handles, "event_date", days, rows))
        if dropped:
            nothing = {handle.table.name: handle.table.no_rows() for handle in handles}
            replace_days(handles, "event_date", dropped, nothing)
    return Refreshed(tuple(stale), dropped, len(expected) - len(stale))


def _batches(wanted: Mapping[date, EventDate]) -> Iterator[list[date]]:
    """The dates, in order, in as large groups as one query should build."""
    batch: list[date] = []
    captures: dict[tuple[str, str], int] = {}
    for day, event_date in wanted.items():
        more = {**captures, **event_date.captures}
        if batch and (len(batch) == _DATES_AT_ONCE or sum(more.values()) > _ROWS_AT_ONCE):
            yield batch
            batch, more = [], dict(event_date.captures)
        batch.append(day)
        captures = more
    if batch:
        yield batch


def _build(
    tables: Tables, wanted: Mapping[date, EventDate], overlapping_exports: str, scratch: Path, limits: Limits
) -> dict[str, pl.DataFrame]:
    """The rows of the daily tables and of their registry for some event dates, by table."""
    captures = sorted({capture for day in wanted.values() for capture in day.captures})
    file_dates = {day for wanted_day in wanted.values() for day in wanted_day.file_dates}
    dates = pl.DataFrame(
        {
            "event_date": list(wanted),
            "fingerprint": [day.fingerprint for day in wanted.values()],
            "export_files": [len(day.captures) for day in wanted.values()],
        }
    )
    files = pl.DataFrame(captures, schema=["file_id", "capture_id"], orient="row").with_row_index("file_no")
    with engine.connect(scratch, limits) as connection:
        engine.view(connection, tables.newest(NORMALIZED_IMPRESSIONS), "file_date", file_dates)
        connection.register("dates_to_build", dates.to_arrow())
        connection.register("captured_files", files.to_arrow())
        QUERIES.execute(connection, "captured_impressions", "captured_names", "user_numbers")
        give_keys(connection)
        counted = QUERIES.frame(connection, "counted_impressions", overlapping_exports=overlapping_exports)
        claims = QUERIES.frame(connection, "largest_claims")
        names = _Names.of(connection)
    totals = _totals(counted)
    registered = _registered(dates.join(claims, on="event_date", how="left"), counted, totals)
    check_claims(registered)
    fingerprints = dates.select("event_date", "fingerprint")
    return {
        DAILY_IMPRESSIONS.name: names.given(counted).join(fingerprints, on="event_date", maintain_order="left"),
        DAILY_TOTALS.name: names.given(totals).join(fingerprints, on="event_date", maintain_order="left"),
        EVENT_DATES.name: registered,
    }


@dataclass(frozen=True)
class _Names:
    """What the numbers `view_no` and `user_no` stand for, which begin with 1."""

    views: pl.DataFrame
    users: pl.DataFrame

    @staticmethod
    def of(connection: duckdb.DuckDBPyConnection) -> _Names:
        """Those of `named_views` and `user_numbers`."""
        views = connection.sql("SELECT workbook_url_id, element_id FROM named_views ORDER BY view_no")
        users = connection.sql("SELECT user_email FROM user_numbers WHERE user_no IS NOT NULL ORDER BY user_no")
        return _Names(engine.frame(views.to_arrow_table()), engine.frame(users.to_arrow_table()))

    def given(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with names instead of numbers; what has no number has no name."""
        views, users = rows["view_no"] - 1, rows["user_no"] - 1
        names = [
            frame[name].gather(numbers)
            for frame, numbers in ((self.views, views), (self.users, users))
            for name in frame.columns
        ]
        return rows.drop("view_no", "user_no").with_columns(names)


def _totals(counted: pl.DataFrame) -> pl.DataFrame:
    """The rows of `daily_totals` for those of `daily_impressions`; views of nobody make no row of a user."""
    views = counted.group_by("event_date", "view_no").agg(
        pl.col("impressions").sum(), distinct_users=pl.col("user_no").count().cast(pl.Int64)
    )
    everybody = counted.group_by("event_date", "user_no").agg(pl.col("impressions").sum())
    users = everybody.drop_nulls("user_no").with_columns(distinct_users=pl.lit(1, pl.Int64))
    return pl.concat([views, users], how="diagonal").sort("event_date", "view_no", "user_no")


def _registered(dates: pl.DataFrame, counted: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """The rows of `event_dates`, also for dates without impressions."""
    rows = counted.group_by("event_date").agg(pl.col("impressions").sum(), rows=pl.len().cast(pl.Int64))
    users = totals.group_by("event_date").agg(distinct_users=pl.col("user_no").count().cast(pl.Int64))
    return (
        dates.join(rows, on="event_date", how="left")
        .join(users, on="event_date", how="left")
        .with_columns(pl.col("rows", "impressions", "distinct_users", "largest_claim").fill_null(0))
        .with_columns(built_at=pl.lit(datetime.now(UTC)), detail_dropped_at=pl.lit(None, UTC_TIME))
    )
