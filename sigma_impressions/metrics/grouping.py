"""Group the daily rows by what was viewed and by whom, for one or for several as-of dates."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.metrics import QUERIES
from sigma_impressions.windows import WINDOW_DAYS

if TYPE_CHECKING:
    import duckdb


def group_daily(
    connection: duckdb.DuckDBPyConnection, event_dates: Iterable[date], as_of_dates: Collection[date]
) -> None:
    """Make what `sql/viewed_by_user.sql` reads, from the daily tables of all these event dates.

    The connection has views of these tables, and of what was viewed (`sql/resource_ids.sql`).
    """
    connection.register("segments", _segments(event_dates, as_of_dates).to_arrow())
    QUERIES.execute(connection, "user_numbers")
    _give_keys(connection)
    if len(as_of_dates) > 1:
        QUERIES.execute(connection, "segment_impressions")
    else:
        # Of a single as-of date every daily row is read once in any case.
        connection.execute("CREATE OR REPLACE TEMP VIEW segment_impressions AS FROM keyed_impressions")


def _give_keys(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the view `keyed_impressions`, and the tables that say what its keys stand for.

    Hashes are quicker than numbers by a fifth of the grouping. Texts that are alike, as addresses with two numbers in
    them, may have the same hash: then numbers are taken, since counts are exact.
    """
    QUERIES.execute(connection, "keys_by_hash", "keyed_impressions_by_hash")
    if QUERIES.frame(connection, "shared_keys").item():
        QUERIES.execute(connection, "keys_by_number", "keyed_impressions_by_number")


def _segments(event_dates: Iterable[date], as_of_dates: Iterable[date]) -> pl.DataFrame:
    """The segment of each event date, named by its last date: segments end where a window of an as-of date does."""
    ends = sorted({as_of - timedelta(days=days) for as_of in as_of_dates for days in (0, *WINDOW_DAYS)})
    return pl.DataFrame(
        [(day, ends[bisect_left(ends, day)]) for day in event_dates],
        schema={"event_date": pl.Date, "segment": pl.Date},
        orient="row",
    )
