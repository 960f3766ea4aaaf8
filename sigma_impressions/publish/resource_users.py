"""Who viewed each resource in the published database: flat (`resource_users`), and as the lists `used`.

The tables of the as-of dates have numbers only: with the users, a history of years would hold them many times. They
are made of the daily tables for the as-of date that is published.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.errors import ConservationError
from sigma_impressions.metrics.grouping import Grouped, number_names, view_by_user
from sigma_impressions.publish import QUERIES
from sigma_impressions.publish.compact import create_compact
from sigma_impressions.windows import LONGEST_WINDOW

if TYPE_CHECKING:
    import duckdb

_LAST_COLUMN = "anonymous_impressions_60d"
"""The column of `resource_impressions` that was added after `used`."""


def create_resource_users(connection: duckdb.DuckDBPyConnection, as_of: date, grouped: Grouped | None) -> None:
    """Make `resource_users` and `resource_impressions` in the attached database `published`, and `workbook_users`.

    The connection has views of the daily tables of the event dates of the window, of `resource_impressions`, the
    resources and the aliases of workbooks. What is not `grouped` yet is grouped here.
    """
    if grouped is not None:
        with grouped.given_to(connection):
            _create_users(connection, as_of)
    else:
        number_names(connection)
        for _ in view_by_user(connection, [as_of]):
            _create_users(connection, as_of)
    resources = _with_lists(QUERIES.frame(connection, "ordered_resources"), connection)
    connection.register("with_lists", resources.to_arrow())
    connection.execute(
        f"CREATE TABLE published.resource_impressions AS SELECT * EXCLUDE ({_LAST_COLUMN}), {_LAST_COLUMN} "
        "FROM with_lists"
    )
    connection.unregister("with_lists")


def _create_users(connection: duckdb.DuckDBPyConnection, as_of: date) -> None:
    create_compact(connection, "resource_users", as_of=as_of)
    QUERIES.execute(connection, "workbook_users")


def _with_lists(resources: pl.DataFrame, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The result of `sql/ordered_resources.sql` with the users of each resource as a list (`used`).

    The rows of `resource_users` are cut into the lists as they are, which takes a fifth of what SQL's `list` takes.
    """
    import pyarrow as pa

    lengths = resources.get_column("listed_users")
    if not lengths.equals(resources.get_column(f"distinct_impressions_users_{LONGEST_WINDOW}d")):
        raise ConservationError(
            "The users of the resources are not those that were counted. Nothing was published; please report this."
        )
    users = QUERIES.frame(connection, "users_of_resources").to_struct().to_arrow()
    # Not of numpy arrays, for which pyarrow would import pandas where it is installed.
    bounds = pl.concat([pl.Series([0], dtype=pl.Int64), lengths.cum_sum()]).to_arrow()
    lists = pl.Series("used", pa.LargeListArray.from_arrays(bounds, users))
    return resources.drop("listed_users").with_columns(lists)
