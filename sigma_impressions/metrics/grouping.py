"""Group the daily rows by what was viewed and by whom, as of one or several dates.

The windows of as-of dates that are near each other share most of their days. These are read and grouped once; each
date then adds the few days that only its own windows hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.metrics import QUERIES
from sigma_impressions.metrics.keys import give_keys
from sigma_impressions.windows import LONGEST_WINDOW, WINDOW_DAYS, window

if TYPE_CHECKING:
    import duckdb

_FIRST, _LAST = "first_impression_at", "last_impression_at"


def view_by_user(connection: duckdb.DuckDBPyConnection, as_of_dates: Collection[date]) -> Iterator[date]:
    """Make `viewed_by_user` as of each date in turn, oldest first, and give the date: what was viewed, and by whom.

    It has the impressions of each `resource_no` by each `user_no` in the windows, and the first and the last time. The
    connection has views of the daily tables, `resource_ids` and `user_numbers`.
    """
    QUERIES.execute(connection, "daily_names")
    give_keys(connection)
    days = {"first": min(as_of_dates), "last": max(as_of_dates)}
    shared = QUERIES.frame(connection, "shared_views", **days)
    if len(as_of_dates) > 1:
        connection.register("shared_views", shared.select("resource_no", "user_no").with_row_index("row_no").to_arrow())
        others = QUERIES.frame(connection, "other_days", **days).partition_by("event_date", as_dict=True)
        connection.unregister("shared_views")
        by_day = {day: rows for (day,), rows in others.items()}
    for as_of in sorted(as_of_dates):
        viewed = _as_of(as_of, shared, by_day, days) if len(as_of_dates) > 1 else shared
        connection.register("viewed_by_user", viewed.to_arrow())
        yield as_of


def _as_of(
    as_of: date, shared: pl.DataFrame, others: Mapping[date, pl.DataFrame], days: Mapping[str, date]
) -> pl.DataFrame:
    """What was viewed in the windows of a date: on the days that all dates share, and on others that it has."""
    import numpy as np

    columns = []
    for length in WINDOW_DAYS:
        impressions = shared[f"impressions_{length}d"].to_numpy().copy()
        for rows in _of_window(as_of, length, others, days):
            np.add.at(impressions, rows["row_no"].to_numpy(), rows["impressions"].to_numpy())
        columns.append(pl.Series(f"impressions_{length}d", impressions))
    for name, nearer, never in ((_FIRST, np.minimum, _NEVER), (_LAST, np.maximum, -_NEVER)):
        times = shared[name].to_physical().fill_null(never).to_numpy().copy()
        for rows in _of_window(as_of, LONGEST_WINDOW, others, days):
            nearer.at(times, rows["row_no"].to_numpy(), rows[name].to_physical().to_numpy())
        columns.append(pl.Series(name, times).cast(shared.schema[name]))
    viewed = columns[-1].to_physical() > -_NEVER
    return shared.select("resource_no", "user_no").with_columns(columns).filter(viewed)


_NEVER = 2**62
"""Later than any time, in microseconds; and the same before any."""


def _of_window(
    as_of: date, length: int, others: Mapping[date, pl.DataFrame], days: Mapping[str, date]
) -> Iterator[pl.DataFrame]:
    """The rows of the days in a window of a date that are not in those of all dates."""
    of_all = set(window(days["first"], length)) & set(window(days["last"], length))
    return (others[day] for day in window(as_of, length) if day in others and day not in of_all)
