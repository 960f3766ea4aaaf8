"""What a warehouse should hold: the published tables of every as-of date, and a way to compare them with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.lake import engine
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import publish_database

Rows = Counter[tuple[Any, ...]]
Published = Mapping[str, tuple[list[str], Rows]]
"""The columns and the rows of each table."""

Execute = Callable[[str], list[tuple[Any, ...]]]
"""Runs a query in the warehouse."""

BY_AS_OF_DATE = (
    *("resource_impressions", "resource_users", "user_activity", "unmatched_impressions"),
    *INSIGHT_TABLES,
)


def published(tables: Tables, as_of_dates: Collection[date]) -> Published:
    """As publishing one as-of date after the other gives them."""
    found: defaultdict[str, tuple[list[str], Rows]] = defaultdict(lambda: ([], Counter()))
    for day in sorted(as_of_dates):
        with engine.open_database(publish_database(tables, day).path) as connection:
            for name in BY_AS_OF_DATE:
                _add(found, name, connection, day=day)
            # Of days before the first as-of date, too.
            which = "<=" if day == min(as_of_dates) else "="
            _add(found, "daily_impressions", connection, f"WHERE event_date {which} DATE '{day}'")
            if day == max(as_of_dates):
                for name in ("sigma_resources", "sigma_members"):
                    _add(found, name, connection)
                teams = "(SELECT member_id, user_email, unnest(teams) AS team FROM sigma_members)"
                _add(found, "member_teams", connection, table=teams)
    return dict(found)


def _add(
    found: Published,
    name: str,
    connection: duckdb.DuckDBPyConnection,
    where: str = "",
    *,
    table: str | None = None,
    day: date | None = None,
) -> None:
    described = connection.execute(f"DESCRIBE FROM {table or name}").fetchall()
    columns = [column for column, kind, *_ in described if not kind.endswith("]")]
    stated = ["as_of_date"] if day is not None and "as_of_date" not in columns else []
    listed, rows = found[name]
    listed[:] = [*stated, *columns]
    for row in connection.execute(f"SELECT {', '.join(columns)} FROM {table or name} {where}").fetchall():
        rows[tuple(map(_plain, [day] * len(stated) + list(row)))] += 1


def assert_holds(execute: Execute, dataset: str, wanted: Published) -> None:
    """The warehouse holds just these rows."""
    for name, (columns, rows) in wanted.items():
        found = Counter(
            tuple(map(_plain, row)) for row in execute(f"SELECT {', '.join(columns)} FROM {dataset}.{name}")
        )
        assert found == rows, (name, list((found - rows).items())[:2], list((rows - found).items())[:2])


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    # As no text in a warehouse has one.
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value
