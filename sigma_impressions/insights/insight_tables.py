"""The insight tables of the published database: what is popular and underused, and who uses it (docs/insights.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from sigma_impressions.insights import QUERIES
from sigma_impressions.insights.complete_days import LONGEST_GAP, captured_days
from sigma_impressions.insights.history import History
from sigma_impressions.insights.thresholds import MOVED_IMPRESSIONS, MOVED_SHARE, TOP_SHARE, YOUNG_DAYS, InsightRules
from sigma_impressions.lake import engine
from sigma_impressions.users import canonical

if TYPE_CHECKING:
    import duckdb

INSIGHT_TABLES: Final = (
    *("popular_resources", "underused_resources", "active_users", "usage_by_day", "usage_summary"),
    *("licence_usage", "team_usage", "folder_usage", "owner_usage", "page_usage"),
)

_MADE_FIRST: Final = (
    *("last_views", "ever_seen", "stated_resources", "underused", "user_tiers"),
    *("what_is_known", "stated_members", "people", "users_and_members"),
    *("present_workbooks", "workbook_groups", "group_usage"),
)


def create_insights(
    connection: duckdb.DuckDBPyConnection,
    history: History,
    export_files: pl.DataFrame,
    event_dates: pl.DataFrame,
    rules: InsightRules,
) -> None:
    """Make `user_activity` and the insight tables in the attached database `published`, which has the others already.

    `export_files` and `event_dates` are the registries. The connection has the views of the as-of date that is
    published, what `read_history` makes, `workbook_users`, and `members` with the columns of `MEMBER_COLUMNS`, of
    which there may be none.
    """
    counted = event_dates.select("event_date", "impressions", "distinct_users")
    connection.register(
        "counted_days", counted.filter(pl.col("event_date").is_in(list(history.event_dates))).to_arrow()
    )
    connection.register("captured_days", captured_days(export_files, event_dates, history.as_of).to_frame().to_arrow())
    owners = engine.frame(connection.sql("SELECT DISTINCT owner_email FROM resources").to_arrow_table()).drop_nulls()
    # As the members and the impressions have them.
    connection.register("owners", owners.with_columns(user_email=canonical(owners["owner_email"])).to_arrow())
    QUERIES.execute(
        connection,
        *(*_MADE_FIRST, "published_user_activity", *INSIGHT_TABLES),
        as_of=history.as_of,
        first_event_date=history.first_event_date,
        last_complete_day=history.last_complete_day,
        longest_gap=LONGEST_GAP,
        below_users=rules.underused_below_users,
        power_user_days=rules.power_user_days,
        regular_user_days=rules.regular_user_days,
        young_days=YOUNG_DAYS,
        moved_share=MOVED_SHARE,
        moved_impressions=MOVED_IMPRESSIONS,
        top_share=TOP_SHARE,
    )
