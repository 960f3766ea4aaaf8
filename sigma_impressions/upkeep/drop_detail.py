"""Drop the single views of long ago, and keep what was counted of them.

A date whose detail was dropped is *closed*: `event_dates` says so, and `daily_impressions` of that date stays as
it is. Rows of it that are captured later cannot be told from those that were counted, so they do not count.

The order makes that safe beside runs that are under way. First the registry closes the date. Then its daily rows
are written once more, as they are: a run that was about to replace them finds a conflict, looks again, and sees
that the date is closed. Only then does the detail go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl

from sigma_impressions.lake.commits import delete_rows, replace_rows
from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    EVENT_DATES,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    UTC_TIME,
    Table,
)
from sigma_impressions.lake.tables import Tables, files_of, retry_conflicts, scan
from sigma_impressions.metrics.fingerprints import built_event_dates, closed_event_dates, expected_event_dates

_DATES_AT_ONCE = 10
"""Event dates whose daily rows are held in memory at once."""


@dataclass(frozen=True)
class Dropped:
    """What was dropped: rows of `normalized_impressions` of so many event dates, and of `rejected_rows`."""

    event_dates: int = 0
    rows: int = 0
    rejected_rows: int = 0


def drop_detail(
    tables: Tables, keep_days: int, overlapping_exports: str, now: datetime, report: Callable[[str], None]
) -> Dropped:
    """Drop accepted rows of event dates, and rejected rows of file dates, more than `keep_days` days ago.

    A date that is not counted yet as the settings say is left to the next time. The rows leave the newest version of
    the tables; older versions go with the next maintenance that does not keep them.
    """
    limit = now.date() - timedelta(days=keep_days)
    retry_conflicts(lambda: _close(tables, limit, overlapping_exports, now))
    with_detail = _closed_with_detail(tables)
    days = [day for some in _some(sorted(with_detail)) for day in retry_conflicts(partial(_settle, tables, some))]
    file_dates = sorted({file_date for day in days for file_date in with_detail[day]})
    rows = 0
    if days:
        is_closed = pl.col("event_date").is_in(days)
        rows = _delete(tables, NORMALIZED_IMPRESSIONS, pl.col("file_date").is_in(file_dates), is_closed)
    dropped = Dropped(len(days), rows, _delete(tables, REJECTED_ROWS, pl.col("file_date") < limit))
    report(
        f"single views before {limit}: {dropped.rows:,} rows of {dropped.event_dates:,} event dates and "
        f"{dropped.rejected_rows:,} rejected rows dropped; the daily totals stay"
    )
    return dropped


def late_files(tables: Tables) -> pl.DataFrame:
    """The files with rows of a closed event date that were captured after it was closed: `key`, `event_date`.

    These rows do not count.
    """
    closed = tables.read(EVENT_DATES).drop_nulls("detail_dropped_at").select("event_date", "detail_dropped_at")
    return (
        tables.read(EXPORT_FILES)
        .filter(pl.col("status") == "read")
        .select("key", "captured_at", event_date="event_dates")
        .explode("event_date")
        .join(closed, on="event_date")
        .filter(pl.col("captured_at") > pl.col("detail_dropped_at"))
        .select("key", "event_date")
        .sort("key", "event_date")
        .collect()
    )


def _close(tables: Tables, limit: date, overlapping_exports: str, now: datetime) -> None:
    """Close the dates before the limit that are counted as they should be."""
    registry = tables.open(EVENT_DATES)
    built, expected = built_event_dates(tables), expected_event_dates(tables, overlapping_exports)
    current = [day for day, wanted in expected.items() if built.get(day) == wanted.fingerprint]
    rows = scan(registry).filter(
        (pl.col("event_date") < limit) & pl.col("detail_dropped_at").is_null() & pl.col("event_date").is_in(current)
    )
    closed = rows.with_columns(detail_dropped_at=pl.lit(now)).collect()
    if closed.height:
        replace_rows(registry, "event_date", closed["event_date"], closed)


def _closed_with_detail(tables: Tables) -> dict[date, list[date]]:
    """The closed event dates of which there still are rows, each with the file dates of these."""
    closed = list(closed_event_dates(tables))
    file_dates = (
        tables.read(EXPORT_FILES)
        .filter(pl.col("event_dates").list.eval(pl.element().is_in(closed)).list.any())
        .select(pl.col("file_date").unique())
        .collect()
    )
    found = (
        tables.read(NORMALIZED_IMPRESSIONS, "file_date", file_dates["file_date"])
        .filter(pl.col("event_date").is_in(closed))
        .group_by("event_date")
        .agg(pl.col("file_date").unique())
        .collect()
    )
    return dict(found.iter_rows())


def _settle(tables: Tables, days: Sequence[date]) -> list[date]:
    """Write the daily rows of closed dates once more; the dates are returned that hold what the registry says.

    Another one was rebuilt by a run in the moment when it was closed: it is opened again. `daily_impressions` is
    what a run replaces first, so that its conflict there keeps it from the totals too.
    """
    registry, daily = tables.open(EVENT_DATES), tables.open(DAILY_IMPRESSIONS)
    built = built_event_dates(tables)
    kept = [day for day in days if day in built]
    reopened = scan(registry).filter(pl.col("event_date").is_in(list(set(days) - set(kept)))).collect()
    if reopened.height:
        opened = reopened.with_columns(detail_dropped_at=pl.lit(None, UTC_TIME))
        replace_rows(registry, "event_date", reopened["event_date"], opened)
    if kept:
        replace_rows(daily, "event_date", kept, scan(daily, "event_date", kept).collect())
    return kept


def _delete(tables: Tables, table: Table, of_files: pl.Expr, condition: pl.Expr | None = None) -> int:
    """Delete the rows that meet a condition, or all, of the files that are chosen by the table's partition columns."""

    def attempt() -> int:
        handle = tables.open(table)
        return delete_rows(handle, files_of(handle).filter(of_files), condition)

    return retry_conflicts(attempt)


def _some(days: Sequence[date]) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), _DATES_AT_ONCE):
        yield days[start : start + _DATES_AT_ONCE]
