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
from sigma_impressions.publish.database import missing_database, opened
from sigma_impressions.report import QUERIES
from sigma_impressions.report.content import Content, read_content

if TYPE_CHECKING:
    import duckdb


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

    `days` holds every day of the window, oldest first; `users_60d` are those with an impression in it.
    `not_compared_because` says why the impressions of 14 days are not compared, if they are not.
    """

    publication: Publication
    summary: Mapping[str, Figure]
    not_compared_because: str | None
    days: pl.DataFrame
    users_60d: int
    quality: Quality
    content: Content


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
    with connected(database) as connection:
        return _publication(connection)


def read_headlines(database: Path) -> Headlines:
    """The headline figures of a published database. Raises `ReportError`."""
    with connected(database) as connection:
        days = connection.execute(
            "SELECT CASE WHEN is_captured THEN impressions END FROM usage_by_day WHERE is_complete ORDER BY event_date"
        ).fetchall()
        last_complete_day, not_compared_because = compared_up_to(connection)
        return Headlines(
            _publication(connection),
            _summary(connection),
            last_complete_day,
            not_compared_because,
            [impressions for (impressions,) in days],
        )


def read_usage(database: Path) -> Usage:
    """All that the report shows, of one published database. Raises `ReportError`."""
    with connected(database) as connection:
        ((users,),) = connection.execute("SELECT count(*) FROM user_activity").fetchall()
        _, not_compared_because = compared_up_to(connection)
        return Usage(
            _publication(connection),
            _summary(connection),
            not_compared_because,
            QUERIES.frame(connection, "days"),
            users,
            Quality(
                QUERIES.frame(connection, "files").row(0, named=True),
                QUERIES.frame(connection, "files_not_counted"),
                QUERIES.frame(connection, "rejected_reasons"),
                QUERIES.frame(connection, "unmatched"),
            ),
            read_content(connection),
        )


@contextmanager
def connected(database: Path, writing_to: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read a database, as `opened` does.

    Raises `ReportError` if there is none, or if one of the tables or columns that are read is not in it.
    """
    import duckdb

    if not database.is_file():
        raise ReportError(missing_database(str(database)))
    with opened(database, writing_to) as connection:
        try:
            yield connection
        except (duckdb.CatalogException, duckdb.BinderException):
            raise ReportError(
                f"{database} was published by another version, which did not hold all of this. sigma-impressions run "
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


def compared_up_to(connection: duckdb.DuckDBPyConnection) -> tuple[date | None, str | None]:
    """The last complete day, and why the impressions of 14 days are not compared, if they are not."""
    (found,) = connection.execute(
        "SELECT last_complete_day, not_compared_because FROM usage_summary WHERE metric = 'impressions_14d'"
    ).fetchall()
    return found
