"""Who viewed each workbook on each day in the published database: of the pairs with the most impressions.

All pairs of a large company take more than everything else in the database, and more than the report can hold. So
there is a bound, which few reach. Of the other pairs it is known how much each user views of all their workbooks
together, and, from `daily_impressions`, how much all their users view of each workbook.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from sigma_impressions.publish import QUERIES
from sigma_impressions.publish.compact import create_compact

if TYPE_CHECKING:
    import duckdb

MOST_PAIRS: Final = 200_000
MOST_DAYS: Final = 1_200_000
"""Pairs of a user and a workbook, and days of all these pairs, that are published at most."""


def create_daily_users(
    connection: duckdb.DuckDBPyConnection, as_of: date, most_pairs: int = MOST_PAIRS, most_days: int = MOST_DAYS
) -> None:
    """Make `daily_users` in the attached database `published`.

    The connection has views of the daily tables of the event dates of the window, `resource_ids` and
    `workbook_users`.
    """
    bounds = {"as_of": as_of, "most_pairs": most_pairs, "most_days": most_days}
    QUERIES.execute(connection, "exported_workbooks", "days_of_pairs", "kept_pairs", **bounds)
    create_compact(connection, "daily_users")
