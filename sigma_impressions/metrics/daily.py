"""Bring `daily_impressions` and its totals up to date with the captured files: exactly the event dates that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

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
from sigma_impressions.metrics.writing import replace_days, write_behind

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
    captures = {capture for day in wanted.values() for capture in day.captures}
    file_dates = {day for wanted_day in wanted.values() for day in wanted_day.file_dates}
    dates = pl.DataFrame(
        {
            "event_date": list(wanted),
            "fingerprint": [day.fingerprint for day in wanted.values()],
            "export_files": [len(day.captures) for day in wanted.values()],
        }
    )
    with engine.connect(scratch, limits) as connection:
        engine.view(connection, tables.newest(NORMALIZED_IMPRESSIONS), "file_date", file_dates)
        connection.register("dates_to_build", dates.to_arrow())
        connection.register(
            "captured_files",
            pl.DataFrame(list(captures), schema=["file_id", "capture_id"], orient="row").to_arrow(),
        )
        QUERIES.execute(connection, "captured_impressions")
        counted = QUERIES.frame(connection, "daily_impressions", overlapping_exports=overlapping_exports)
        claims = QUERIES.frame(connection, "largest_claims")
    daily = counted.join(dates.select("event_date", "fingerprint"), on="event_date")
    totals = _totals(daily)
    registered = _registered(dates.join(claims, on="event_date", how="left"), daily, totals)
    check_claims(registered)
    return {
        DAILY_IMPRESSIONS.name: daily,
        DAILY_TOTALS.name: totals,
        EVENT_DATES.name: registered,
    }


def _totals(daily: pl.DataFrame) -> pl.DataFrame:
    """The rows of `daily_totals` for rows of `daily_impressions`; views of nobody make no row of a user."""
    of_a_date = daily.lazy().group_by("event_date", "fingerprint", "workbook_url_id", "element_id")
    resources = of_a_date.agg(pl.col("impressions").sum(), distinct_users=pl.col("user_email").count().cast(pl.Int64))
    everybody = daily.lazy().group_by("event_date", "fingerprint", "user_email").agg(pl.col("impressions").sum())
    users = everybody.drop_nulls("user_email").with_columns(distinct_users=pl.lit(1, pl.Int64))
    everything = pl.concat([resources, users], how="diagonal")
    return everything.sort("event_date", "workbook_url_id", "element_id", "user_email").collect()


def _registered(dates: pl.DataFrame, daily: pl.DataFrame, totals: pl.DataFrame) -> pl.DataFrame:
    """The rows of `event_dates`, also for dates without impressions."""
    rows = daily.group_by("event_date").agg(pl.col("impressions").sum(), rows=pl.len().cast(pl.Int64))
    users = totals.group_by("event_date").agg(distinct_users=pl.col("user_email").count().cast(pl.Int64))
    return (
        dates.join(rows, on="event_date", how="left")
        .join(users, on="event_date", how="left")
        .with_columns(pl.col("rows", "impressions", "distinct_users", "largest_claim").fill_null(0))
        .with_columns(built_at=pl.lit(datetime.now(UTC)), detail_dropped_at=pl.lit(None, UTC_TIME))
    )
