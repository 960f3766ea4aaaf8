"""Bring the metric tables up to date: as-of dates asked for, and those whose window has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.inventory import naming_damage
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    DAILY_TABLES,
    METRIC_TABLES,
    RESOURCE_COLUMNS,
    RESOURCE_IMPRESSIONS,
    SIGMA_RESOURCES,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
    WORKBOOK_ALIASES,
    Table,
)
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, retry_conflicts
from sigma_impressions.metrics import QUERIES
from sigma_impressions.metrics.conservation import check_windows
from sigma_impressions.metrics.daily import Refreshed
from sigma_impressions.metrics.fingerprints import AsOfDate, built_as_of_dates, expected_as_of_dates
from sigma_impressions.metrics.grouping import number_names, view_by_user
from sigma_impressions.metrics.handover import Inputs, keep
from sigma_impressions.metrics.writing import replace_days, write_behind

if TYPE_CHECKING:
    import duckdb

_DATES_AT_ONCE = 6
"""Days within which as-of dates are computed from the same reading, held in memory and committed together."""


def refresh_metrics(
    tables: Tables, as_of_dates: Collection[date], limits: Limits = DEFAULT_LIMITS, *, restate: bool = True
) -> Refreshed:
    """Compute the as-of dates asked for, and restate every earlier computed one whose inputs have changed.

    Without `restate` these are left to the next call that does: they count as not built until then. Raises
    `ConservationError` before anything of a date is written that does not add up.
    """
    with naming_damage(tables):
        return retry_conflicts(lambda: _refresh(tables, as_of_dates, limits, restate))


def stale_as_of_dates(tables: Tables, as_of_dates: Collection[date], restate: bool = True) -> dict[date, AsOfDate]:
    """Which of the as-of dates asked for are not up to date, and, with `restate`, of those that have tables."""
    built = built_as_of_dates(tables)
    # Of those that the registry has lost, or a killed run did not register, the tables still tell.
    held = {date.fromisoformat(day) for table in METRIC_TABLES for day in tables.held(table)}
    known = set(tables.registry(AS_OF_DATES)["as_of_date"]) | held
    expected = expected_as_of_dates(tables, sorted({*as_of_dates, *(known if restate else ())}))
    return {as_of: wanted for as_of, wanted in expected.items() if built.get(as_of) != wanted.fingerprint}


def _refresh(tables: Tables, as_of_dates: Collection[date], limits: Limits, restate: bool) -> Refreshed:
    handles = [tables.open(table) for table in (*METRIC_TABLES, AS_OF_DATES)]
    # Before anything of it is read, like the tables.
    edition = tables.edition()
    stale = stale_as_of_dates(tables, as_of_dates, restate)
    if not stale:
        return Refreshed((), (), len(set(as_of_dates)))
    newest = max(stale)
    to_keep = Inputs.of(tables, edition, newest, stale[newest].fingerprint)
    with scratch_folder(tables.root / WORK_FOLDER) as scratch, write_behind() as begin:
        for chunk in _chunks(stale):
            results = _compute(tables, chunk, scratch, limits, to_keep)
            rows = {
                handle.table.name: pl.concat([result[handle.table.name] for result in results]) for handle in handles
            }
            begin(partial(replace_days, handles, "as_of_date", chunk, rows))
    return Refreshed(tuple(sorted(stale)), (), len(set(as_of_dates) - stale.keys()))


def _chunks(stale: Mapping[date, AsOfDate]) -> Iterator[dict[date, AsOfDate]]:
    """The as-of dates, in order, in groups that are computed together: of the same snapshot, and near each other."""
    chunk: dict[date, AsOfDate] = {}
    for as_of, wanted in sorted(stale.items()):
        first = next(iter(chunk), as_of)
        is_near = (as_of - first).days < _DATES_AT_ONCE
        if chunk and not (is_near and wanted.snapshot_id == chunk[first].snapshot_id):
            yield chunk
            chunk = {}
        chunk[as_of] = wanted
    if chunk:
        yield chunk


def _compute(
    tables: Tables, wanted: Mapping[date, AsOfDate], scratch: Path, limits: Limits, to_keep: Inputs
) -> list[dict[str, pl.DataFrame]]:
    """For each as-of date, which all have the same snapshot, the rows of the metric tables and of their registry."""
    event_dates = {day: fingerprint for date in wanted.values() for day, fingerprint in date.event_dates.items()}
    snapshot_id = next(iter(wanted.values())).snapshot_id
    with engine.connect(scratch, limits) as connection:
        for table in DAILY_TABLES:
            engine.view_days(connection, tables.newest(table), "event_date", event_dates)
        for table in (SIGMA_RESOURCES, WORKBOOK_ALIASES):
            engine.view(connection, tables.newest(table), "snapshot_id", [snapshot_id])
        connection.execute(f"CREATE TEMP TABLE resources AS SELECT {', '.join(RESOURCE_COLUMNS)} FROM sigma_resources")
        number_names(connection)
        QUERIES.execute(connection, "active_days", "impressions_of_days")
        results = []
        for as_of, grouped in view_by_user(connection, wanted):
            results.append(_compute_date(connection, as_of, wanted[as_of]))
            if as_of == to_keep.as_of:
                keep(to_keep, grouped)
        return results


def _compute_date(connection: duckdb.DuckDBPyConnection, as_of: date, wanted: AsOfDate) -> dict[str, pl.DataFrame]:
    QUERIES.execute(connection, "workbooks_by_user")
    results: dict[str, pl.DataFrame] = {}
    for table in METRIC_TABLES:
        result = QUERIES.run(connection, table.name, as_of=as_of).to_arrow_table()
        connection.register(table.name, result)
        results[table.name] = engine.frame(result).with_columns(fingerprint=pl.lit(wanted.fingerprint))
    figures = QUERIES.frame(connection, "conservation", as_of=as_of)
    check_windows(as_of, figures.row(0, named=True))
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


def read_as_of(tables: Tables, table: Table, as_of: date) -> pl.DataFrame:
    """The rows of one metric table as of a day."""
    return tables.read(table, "as_of_date", [as_of]).drop("fingerprint").collect()
