"""What happened in the last week, read from a published database and from nothing else (docs/digest.md)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import polars as pl

from sigma_impressions import report
from sigma_impressions.destinations import QUERIES
from sigma_impressions.exports.manifest import REFUSED, UNREADABLE
from sigma_impressions.insights.thresholds import MOVED_IMPRESSIONS, MOVED_SHARE
from sigma_impressions.report.read import compared_up_to, connected
from sigma_impressions.windows import LONGEST_WINDOW

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

DAYS: Final = 7
"""The days of a week: those of `weekly_active_users`."""

NAMED: Final = 3
"""Workbooks that are named at most of each kind; of the others only the number is told."""


@dataclass(frozen=True)
class Days:
    """The days of a week: how many of them were captured, and what is known of these."""

    captured: int
    views: int
    people: int

    @property
    def are_known(self) -> bool:
        """Whether every one of them was captured."""
        return self.captured == DAYS


@dataclass(frozen=True)
class Moved:
    """A workbook with its views of the week and of the week before."""

    name: str
    now: int
    before: int


@dataclass(frozen=True)
class Unused:
    """A workbook with the day of its last view."""

    name: str
    last_viewed: date


@dataclass(frozen=True)
class Listed(Generic[T]):
    """How many there are, and the first of them."""

    of_them: int
    first: tuple[T, ...]


@dataclass(frozen=True)
class Movements:
    """The workbooks that rose and those that fell."""

    rising: Listed[Moved]
    falling: Listed[Moved]


@dataclass(frozen=True)
class Week:
    """The week that ends with the last complete day, and the one before.

    `movements` is None unless both are known; `newly_unused` is None unless the 60 days up to that day are.
    """

    first_day: date
    last_day: date
    now: Days
    before: Days
    movements: Movements | None
    newly_unused: Listed[Unused] | None


@dataclass(frozen=True)
class NotCounted:
    """The export files of a status that are not counted: how many, and the newest, with the reason in a word or two."""

    status: str
    files: int
    newest: str
    reason: str


@dataclass(frozen=True)
class Digest:
    """What there is to tell on a day.

    `week` is None where no day has become complete in the week before `told_on`; then there is nothing to tell but of
    the files, which are those with file dates from `files_since` on, or all where that is None.
    """

    told_on: date
    last_complete_day: date | None
    week: Week | None
    files_since: date | None
    not_counted: tuple[NotCounted, ...]


def read_digest(database: Path, today: date) -> Digest:
    """The digest of a published database, told today. Raises `ReportError`."""
    with connected(database) as connection:
        last, _ = compared_up_to(connection)
        is_news = last is not None and today - last <= timedelta(days=DAYS)
        since = _first_day(last) if last is not None else None
        return Digest(
            today,
            last,
            _week(connection, last) if last is not None and is_news else None,
            since,
            tuple(_not_counted(connection, since)),
        )


def _first_day(last: date) -> date:
    """The first day of the week that ends on a day."""
    return last - timedelta(days=DAYS - 1)


def _week(connection: duckdb.DuckDBPyConnection, last: date) -> Week:
    first = _first_day(last)
    days = {"first": first, "last": last, "first_before": first - timedelta(days=DAYS)}
    found = {of_week: Days(*rest) for of_week, *rest in QUERIES.run(connection, "digest_days", **days).fetchall()}
    now, before = found[True], found[False]
    return Week(
        first,
        last,
        now,
        before,
        _movements(connection, days) if now.are_known and before.are_known else None,
        _newly_unused(connection, first, last),
    )


def _movements(connection: duckdb.DuckDBPyConnection, days: dict[str, date]) -> Movements:
    rule = {"moved_share": MOVED_SHARE, "moved_impressions": MOVED_IMPRESSIONS, "most": NAMED}
    found = QUERIES.run(connection, "digest_movements", **days, **rule).fetchall()

    def listed(rising: bool) -> Listed[Moved]:
        rows = [row for is_rising, *row in found if is_rising == rising]
        return Listed(rows[0][-1] if rows else 0, tuple(Moved(*row[:-1]) for row in rows))

    return Movements(listed(True), listed(False))


def _newly_unused(connection: duckdb.DuckDBPyConnection, first: date, last: date) -> Listed[Unused] | None:
    """The workbooks whose 60th day without a view was one of the week, and that nobody has viewed since."""
    (known,) = connection.execute(
        "SELECT complete_value IS NOT NULL FROM usage_summary WHERE metric = 'impressions_60d'"
    ).fetchall()
    if known != (True,):
        return None
    window = timedelta(days=LONGEST_WINDOW)
    rows = QUERIES.run(connection, "digest_unused", first=first - window, last=last - window, most=NAMED).fetchall()
    return Listed(rows[0][-1] if rows else 0, tuple(Unused(name, day) for name, day, _ in rows))


def _not_counted(connection: duckdb.DuckDBPyConnection, since: date | None) -> list[NotCounted]:
    files = report.QUERIES.frame(connection, "files_not_counted")
    if since is not None:
        files = files.filter(pl.col("file_date") >= since)
    by_status = {status: files.filter(pl.col("status") == status) for status in (REFUSED, UNREADABLE)}
    return [
        NotCounted(status, of_status.height, of_status["key"][0], (of_status["reason"][0] or status).replace("_", " "))
        for status, of_status in by_status.items()
        if of_status.height
    ]
