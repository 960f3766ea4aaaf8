"""The insight tables of the published database: what is popular, underused and active (docs/insights.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from sigma_impressions.insights import QUERIES
from sigma_impressions.insights.history import History
from sigma_impressions.insights.thresholds import MOVED_IMPRESSIONS, MOVED_SHARE, TOP_SHARE, YOUNG_DAYS, InsightRules

if TYPE_CHECKING:
    import duckdb

INSIGHT_TABLES: Final = ("popular_resources", "underused_resources", "active_users", "usage_by_day", "usage_summary")


def create_insights(
    connection: duckdb.DuckDBPyConnection, history: History, event_dates: pl.DataFrame, rules: InsightRules
) -> None:
    """Make the insight tables in the attached database `published`, which has the other tables already.

    `event_dates` is the registry. The connection has the views of the as-of date that is published, and what
    `read_history` makes.
    """
    counted = event_dates.select("event_date", "impressions", "distinct_users")
    connection.register(
        "counted_days", counted.filter(pl.col("event_date").is_in(list(history.event_dates))).to_arrow()
    )
    QUERIES.execute(
        connection,
        *("last_views", "first_views", "stated_resources", "underused", "user_tiers", *INSIGHT_TABLES),
        as_of=history.as_of,
        first_event_date=history.first_event_date,
        below_users=rules.underused_below_users,
        power_user_days=rules.power_user_days,
        regular_user_days=rules.regular_user_days,
        young_days=YOUNG_DAYS,
        moved_share=MOVED_SHARE,
        moved_impressions=MOVED_IMPRESSIONS,
        top_share=TOP_SHARE,
    )
