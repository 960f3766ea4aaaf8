"""Bring the metric tables up to date: as-of dates asked for, and those whose window has changed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime

import duckdb
import polars as pl

from sigma_impressions.metrics import engine
from sigma_impressions.metrics.daily import Refreshed
from sigma_impressions.metrics.state import AsOfDate, built_as_of_dates, expected_as_of_dates
from sigma_impressions.scratch import scratch_folder
from sigma_impressions.tables import (
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    METRIC_TABLES,
    RESOURCE_IMPRESSIONS,
    SIGMA_RESOURCES,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
    WORK_FOLDER,
    InputsChanged,
    Table,
    Tables,
    data_files,
    partition_fingerprints,
    replace,
    retry_conflicts,
)
from sigma_impressions.windows import WINDOW_DAYS

_DATES_AT_ONCE = 6
"""As-of dates whose results are held in memory and committed together."""


class ConservationError(Exception):
    """Impressions were lost or doubled on the way to the metrics; nothing of the as-of date was written."""


def refresh_metrics(tables: Tables, as_of_dates: Collection[date]) -> Refreshed:
    """Compute the as-of dates asked for, and restate every earlier computed one whose inputs have changed.

    Raises `ConservationError` before anything of a date is written that does not add up.
    """
    return retry_conflicts(lambda: _refresh(tables, as_of_dates))


def stale_as_of_dates(tables: Tables, as_of_dates: Collection[date]) -> dict[date, AsOfDate]:
    """Which of the as-of dates asked for, and of those that have tables, are not up to date."""
    built = built_as_of_dates(tables)
    known = set(tables.read(AS_OF_DATES).select("as_of_date").collect()["as_of_date"])
    expected = expected_as_of_dates(tables, sorted(known | set(as_of_dates)))
    return {as_of: wanted for as_of, wanted in expected.items() if built.get(as_of) != wanted.fingerprint}


def _refresh(tables: Tables, as_of_dates: Collection[date]) -> Refreshed:
    handles = {table.name: tables.open(table) for table in (*METRIC_TABLES, AS_OF_DATES)}
    stale = stale_as_of_dates(tables, as_of_dates)
    if not stale:
        return Refreshed((), (), len(set(as_of_dates)))
    days = sorted(stale)
    with scratch_folder(tables.root / WORK_FOLDER) as scratch, engine.connect(scratch) as connection:
        for start in range(0, len(days), _DATES_AT_ONCE):
            chunk = days[start : start + _DATES_AT_ONCE]
            results = [_compute(connection, tables, as_of, stale[as_of]) for as_of in chunk]
            for table in (*METRIC_TABLES, AS_OF_DATES):
                rows = pl.concat([result[table.name] for result in results])
                replace(handles[table.name], table, "as_of_date", chunk, rows)
    return Refreshed(tuple(days), (), len(set(as_of_dates) - stale.keys()))


def _compute(
    connection: duckdb.DuckDBPyConnection, tables: Tables, as_of: date, wanted: AsOfDate
) -> dict[str, pl.DataFrame]:
    """The rows of the metric tables and of their registry for one as-of date."""
    daily, resources = tables.open(DAILY_IMPRESSIONS), tables.open(SIGMA_RESOURCES)
    held = partition_fingerprints(daily, "event_date")
    if any(held.get(str(day)) != {fingerprint} for day, fingerprint in wanted.event_dates.items()):
        raise InputsChanged(f"The daily impressions before {as_of} were rebuilt in between.")
    engine.view(connection, DAILY_IMPRESSIONS, data_files(daily, "event_date", wanted.event_dates))
    engine.view(connection, SIGMA_RESOURCES, data_files(resources, "snapshot_id", [wanted.snapshot_id]))
    connection.execute("CREATE OR REPLACE TEMP TABLE resources AS SELECT * EXCLUDE (snapshot_id) FROM sigma_resources")
    parameters = {"as_of": as_of}
    connection.execute(engine.query("workbook_matches"))
    connection.execute(engine.query("matched_impressions"), parameters)
    results: dict[str, pl.DataFrame] = {}
    for table in METRIC_TABLES:
        result = engine.run(connection, table.name, parameters)
        connection.register(table.name, result)
        results[table.name] = engine.frame(result).with_columns(fingerprint=pl.lit(wanted.fingerprint))
    figures = engine.frame(engine.run(connection, "conservation", parameters))
    _check_conservation(as_of, figures.row(0, named=True))
    results[AS_OF_DATES.name] = figures.with_columns(
        as_of_date=pl.lit(as_of),
        fingerprint=pl.lit(wanted.fingerprint),
        snapshot_id=pl.lit(wanted.snapshot_id),
        resource_rows=pl.lit(results[RESOURCE_IMPRESSIONS.name].height),
        user_rows=pl.lit(results[USER_ACTIVITY.name].height),
        unmatched_rows=pl.lit(results[UNMATCHED_IMPRESSIONS.name].height),
        computed_at=pl.lit(datetime.now(UTC)),
    )
    return results


def _check_conservation(as_of: date, figures: dict[str, int]) -> None:
    for days in WINDOW_DAYS:
        counted = figures[f"impressions_{days}d"]
        matched, unmatched = figures[f"matched_impressions_{days}d"], figures[f"unmatched_impressions_{days}d"]
        if counted != matched + unmatched:
            raise ConservationError(
                f"As of {as_of}, {days} days: {counted} impressions were counted, but {matched} are attached to "
                f"resources and {unmatched} are unmatched. Nothing was published; please report this as a bug."
            )


def read_as_of(tables: Tables, table: Table, as_of: date) -> pl.DataFrame:
    """The rows of one metric table as of a day."""
    return tables.read(table, "as_of_date", [as_of]).drop("fingerprint").collect()
