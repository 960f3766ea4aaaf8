"""Read what the report shows from a published database, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sigma_impressions.errors import ReportError
from sigma_impressions.lake import engine
from sigma_impressions.publish.database import missing_database, opened
from sigma_impressions.report import QUERIES
from sigma_impressions.upstream.contract import WORKBOOK

if TYPE_CHECKING:
    import duckdb

WORKBOOK_COLUMNS = (
    *("resource_type", "workbook_url_id", "element_id", "name", "path", "url", "owner_email"),
    *("total_impressions_60d", "distinct_impressions_users_60d"),
    *("complete_impressions_14d", "previous_complete_impressions_14d", "trend_14d", "movement"),
    *("rank_by_impressions", "percentile_by_impressions", "last_impression_at"),
)
"""The columns of `popular_resources` that the report reads."""

UNDERUSED_COLUMNS = (
    *("resource_type", "workbook_url_id", "element_id", "name", "workbook_name", "path", "url", "owner_email"),
    *("updated_at", "age_days", "total_impressions_60d", "last_impression_at"),
    *("reason_code", "reason", "is_archived"),
)
"""The columns of `underused_resources` that the report reads."""

_LEAST_USED_FIRST = (
    "total_impressions_60d, age_days DESC NULLS LAST, workbook_name, element_id NULLS FIRST, workbook_url_id"
)

USER_COLUMNS = (
    *("user_email", "tier", "is_new", "impressions_60d", "impressions_14d", "active_days_60d"),
    *("distinct_workbooks_60d", "rank", "share_of_impressions", "cumulative_share"),
    *("first_impression_at", "last_impression_at"),
)
"""The columns of `active_users` that the report reads."""


@dataclass(frozen=True)
class Figure:
    """A headline figure as of the date; and compared: as of the last complete day, and the period before.

    `complete` and `previous` are None where they are not known.
    """

    value: float
    complete: float | None = None
    previous: float | None = None

    @property
    def change(self) -> float | None:
        """How much more it is on complete days than before, as a share; None where that is not known."""
        return self.complete / self.previous - 1 if self.complete is not None and self.previous else None


@dataclass(frozen=True)
class Quality:
    """How good the data is: figures on the files in one row, files not counted, rejected rows, what is unmatched."""

    files: Mapping[str, Any]
    not_counted: pl.DataFrame
    rejected: pl.DataFrame
    unmatched: pl.DataFrame


@dataclass(frozen=True)
class Publication:
    """What a database says of itself: the day it is stated as of, when it was published, from which inputs."""

    as_of: date
    published_at: datetime
    made_from: str


@dataclass(frozen=True)
class Usage:
    """A published result as the report shows it.

    `days` holds every day of the window, oldest first. `workbooks` and their `elements` are those of
    `popular_resources`, by rank, without data models; a workbook's column `days` holds its impressions on these days.
    """

    publication: Publication
    summary: Mapping[str, Figure]
    days: pl.DataFrame
    workbooks: pl.DataFrame
    elements: pl.DataFrame
    underused: pl.DataFrame
    users: pl.DataFrame
    quality: Quality


@dataclass(frozen=True)
class Headlines:
    """The headline figures, and the impressions of each complete day of the window, oldest first.

    `impressions` has None for a day that was not captured. Without a complete day `last_complete_day` is None;
    `not_compared_because` says why the impressions of 14 days are not compared, if they are not.
    """

    publication: Publication
    summary: Mapping[str, Figure]
    last_complete_day: date | None
    not_compared_because: str | None
    impressions: list[int | None]


def read_publication(database: Path) -> Publication:
    """What a published database says of itself. Raises `ReportError`."""
    with _connected(database) as connection:
        return _publication(connection)


def read_headlines(database: Path) -> Headlines:
    """The headline figures of a published database. Raises `ReportError`."""
    with _connected(database) as connection:
        days = connection.execute(
            "SELECT CASE WHEN is_captured THEN impressions END FROM usage_by_day WHERE is_complete ORDER BY event_date"
        ).fetchall()
        ((last_complete_day, not_compared_because),) = connection.execute(
            "SELECT last_complete_day, not_compared_because FROM usage_summary WHERE metric = 'impressions_14d'"
        ).fetchall()
        return Headlines(
            _publication(connection),
            _summary(connection),
            last_complete_day,
            not_compared_because,
            [impressions for (impressions,) in days],
        )


def read_usage(database: Path) -> Usage:
    """All that the report shows, of one published database. Raises `ReportError`."""
    with _connected(database) as connection:
        popular = _table(
            connection, "popular_resources", WORKBOOK_COLUMNS, "rank_by_impressions, name, workbook_url_id, element_id"
        )
        workbooks = popular.filter(pl.col("resource_type") == WORKBOOK)
        workbooks = workbooks.join(QUERIES.frame(connection, "workbook_days"), "workbook_url_id", "left")
        return Usage(
            _publication(connection),
            _summary(connection),
            _table(connection, "usage_by_day", ("*",), "event_date"),
            workbooks,
            popular.filter(pl.col("element_id").is_not_null()).join(workbooks, "workbook_url_id", "semi"),
            _table(connection, "underused_resources", UNDERUSED_COLUMNS, _LEAST_USED_FIRST),
            # Without the members who have not viewed anything.
            _table(connection, "active_users WHERE impressions_60d > 0", USER_COLUMNS, "rank, user_email"),
            Quality(
                QUERIES.frame(connection, "files").row(0, named=True),
                QUERIES.frame(connection, "files_not_counted"),
                QUERIES.frame(connection, "rejected_reasons"),
                QUERIES.frame(connection, "unmatched"),
            ),
        )


@contextmanager
def _connected(database: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read a database. Raises `ReportError` if there is none, or if one of the tables is not in it."""
    import duckdb

    if not database.is_file():
        raise ReportError(missing_database(str(database)))
    with opened(database) as connection:
        try:
            yield connection
        except duckdb.CatalogException:
            raise ReportError(
                f"{database} was published by another version, which did not know the report. sigma-impressions run "
                "publishes it anew."
            ) from None


def _publication(connection: duckdb.DuckDBPyConnection) -> Publication:
    found = connection.execute("SELECT as_of_date, published_at, made_from FROM publication").fetchall()
    return Publication(*found[0])


def _summary(connection: duckdb.DuckDBPyConnection) -> dict[str, Figure]:
    found = connection.execute(
        "SELECT metric, value, complete_value, previous_complete_value FROM usage_summary WHERE value IS NOT NULL"
    ).fetchall()
    return {metric: Figure(*figures) for metric, *figures in found}


def _table(connection: duckdb.DuckDBPyConnection, name: str, columns: tuple[str, ...], ordered_by: str) -> pl.DataFrame:
    return engine.frame(
        connection.sql(f"SELECT {', '.join(columns)} FROM {name} ORDER BY {ordered_by}").to_arrow_table()
    )
