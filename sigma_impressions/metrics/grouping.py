"""Group the daily rows by what was viewed and by whom, as of one or several dates.

The windows of as-of dates that are near each other share most of their days. These are read and grouped once; each
date then adds the few days that only its own windows hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.lake import engine
from sigma_impressions.metrics import QUERIES
from sigma_impressions.metrics.keys import give_keys
from sigma_impressions.windows import LONGEST_WINDOW, WINDOW_DAYS, window

if TYPE_CHECKING:
    import duckdb

_FIRST, _LAST = "first_impression_at", "last_impression_at"


@dataclass(frozen=True)
class Grouped:
    """What was viewed as of a date, and by whom, as `viewed_by_user`, and what its numbers stand for.

    `viewed` has the impressions of each `resource_no` by each `user_no` in the windows, and the first and last time.
    `resources` is `resource_numbers`, and `users` is `user_numbers`.
    """

    viewed: pl.DataFrame
    resources: pl.DataFrame
    users: pl.DataFrame

    @contextmanager
    def given_to(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let queries of a connection, which has none of its own, read the three tables by their names."""
        tables = {"viewed_by_user": self.viewed, "resource_numbers": self.resources, "user_numbers": self.users}
        for name, rows in tables.items():
            connection.register(name, rows.to_arrow())
        yield
        for name in tables:
            connection.unregister(name)


def number_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `resource_ids`, `resource_numbers` and `user_numbers`: everything that the daily tables name.

    The connection has views of these, of `resources` and of `workbook_aliases`.
    """
    names = ("exported_ids", "resource_ids", "resource_numbers", "named_users", "user_numbers")
    QUERIES.execute(connection, *names)


def view_by_user(
    connection: duckdb.DuckDBPyConnection, as_of_dates: Collection[date]
) -> Iterator[tuple[date, Grouped]]:
    """Make `viewed_by_user` as of each date in turn, oldest first: what was viewed, and by whom.

    The connection has views of the daily tables, and what `number_names` makes.
    """
    resources, users = (
        engine.frame(connection.table(name).to_arrow_table()) for name in ("resource_numbers", "user_numbers")
    )
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
        yield as_of, Grouped(viewed, resources, users)
    connection.unregister("viewed_by_user")


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
