"""The database of an as-of date, as it is published (docs/tables-and-metrics.md, "The DuckDB file")."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions import metrics
from sigma_impressions.exports.manifest import IS_CAPTURED, IS_RECENT
from sigma_impressions.insights.history import read_history
from sigma_impressions.insights.insight_tables import create_insights
from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.schemas import (
    DAILY_TABLES,
    EXPORT_FILES,
    METRIC_TABLES,
    REJECTED_ROWS,
    RESOURCE_HISTORY,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    SNAPSHOT_TABLES,
    UNMATCHED_IMPRESSIONS,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.grouping import Grouped
from sigma_impressions.publish import QUERIES
from sigma_impressions.publish.compact import create_compact
from sigma_impressions.publish.contents import Contents
from sigma_impressions.publish.daily_users import create_daily_users
from sigma_impressions.publish.resource_users import create_resource_users
from sigma_impressions.upstream.members_stored import members_of
from sigma_impressions.windows import window

if TYPE_CHECKING:
    import duckdb

OLDEST_CLIENT = "1.2.0"
"""The oldest version of DuckDB that opens the published database: many drivers and BI tools bring one of their own."""

_ROW_GROUP = 16_384
"""Rows that one thread compresses and writes: with DuckDB's usual 122,880 the resources of a large company, each with
its users, would all be one thread's work, at the end."""


def build(
    tables: Tables, contents: Contents, grouped: Grouped | None, file: Path, limits: Limits = DEFAULT_LIMITS
) -> dict[str, int]:
    """Write a database of these contents to a new file; the rows of its tables, by name.

    What is not `grouped` yet is grouped here. Raises `InputsChanged` if another process rebuilds them meanwhile.
    """
    as_of, wanted = contents.as_of, contents.inputs
    handles = {table.name: tables.newest(table) for table in (*METRIC_TABLES, *DAILY_TABLES)}
    with engine.connect(file.parent, limits) as connection:
        connection.execute(
            f"ATTACH {engine.quoted(str(file))} AS published "
            f"(ROW_GROUP_SIZE {_ROW_GROUP}, STORAGE_VERSION 'v{OLDEST_CLIENT}')"
        )
        # One transaction: each commit would write the file's contents once more.
        connection.begin()
        read_history(connection, handles, contents.history)
        for table in METRIC_TABLES:
            stated = {as_of: wanted.fingerprint}
            engine.view_days(connection, handles[table.name], "as_of_date", stated, may_lack_rows=True)
            if table is UNMATCHED_IMPRESSIONS:
                _create(connection, table.name, f"SELECT * EXCLUDE (fingerprint) FROM {table.name}")
        for table in DAILY_TABLES:
            engine.view_days(connection, handles[table.name], "event_date", wanted.event_dates)
        for table in SNAPSHOT_TABLES:
            engine.view(connection, tables.newest(table), "snapshot_id", [wanted.snapshot_id])
        for table in (SIGMA_RESOURCES, RESOURCE_HISTORY):
            ordered = f"{table.name} ORDER BY resource_type, workbook_url_id, element_id NULLS FIRST"
            _create(connection, table.name, f"SELECT * EXCLUDE (snapshot_id) FROM {ordered}")
        connection.execute("CREATE TEMP VIEW resources AS FROM published.sigma_resources")
        create_resource_users(connection, as_of, grouped)
        QUERIES.execute(connection, "exported_and_earlier_ids")
        metrics.QUERIES.execute(connection, "resource_ids", "resource_numbers")
        create_compact(connection, "daily_impressions")
        create_daily_users(connection, as_of)
        files = _export_files(contents.registry, as_of)
        connection.register("files", files.to_arrow())
        ordered = "files ORDER BY file_date, key, captured_at"
        _create(connection, EXPORT_FILES.name, f"SELECT * EXCLUDE (capture_id) FROM {ordered}")
        engine.view(connection, tables.newest(REJECTED_ROWS), "file_date", files["file_date"].unique())
        QUERIES.execute(connection, "published_rejected_rows")
        connection.register("known_members", members_of(tables, contents.member_snapshot).to_arrow())
        _create(connection, SIGMA_MEMBERS.name, "SELECT * FROM known_members ORDER BY member_id")
        connection.execute("CREATE TEMP VIEW members AS FROM published.sigma_members")
        create_insights(connection, contents.history, contents.registry, contents.event_dates, contents.rules)
        connection.execute(
            "CREATE TABLE published.publication AS "
            "SELECT $as_of::DATE AS as_of_date, $now::TIMESTAMPTZ AS published_at, $made_from AS made_from, "
            "$captured_files::BIGINT AS captured_files",
            {
                "as_of": as_of,
                "now": datetime.now(UTC),
                "made_from": contents.made_from,
                "captured_files": contents.registry.filter(IS_CAPTURED).height,
            },
        )
        connection.commit()
        counts = connection.execute(
            "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = 'published'"
        ).fetchall()
        connection.execute("DETACH published")
    return dict(counts)


def _create(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE TABLE published.{name} AS {select}")


def _export_files(registry: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Captured files of the 60 file dates up to the newest captured one, and those with rows in the window."""
    days = window(as_of)
    return registry.filter(IS_RECENT | pl.col("event_dates").list.eval(pl.element().is_in(days)).list.any())
