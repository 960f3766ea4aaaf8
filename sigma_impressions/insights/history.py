"""What is known of the time before the published window: when something was viewed last, and somebody viewed first.

The tables as of earlier dates know it already, so most days before the window need not be read: one as-of date
tells it of 60 days. Only days that lie in the window of none are read themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sigma_impressions.insights import QUERIES
from sigma_impressions.lake import engine
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import DAILY_IMPRESSIONS, DAILY_TOTALS, METRIC_TABLES
from sigma_impressions.lake.tables import StoredTable
from sigma_impressions.metrics.fingerprints import AsOfDate
from sigma_impressions.windows import LONGEST_WINDOW, WINDOW_DAYS, window

if TYPE_CHECKING:
    import duckdb

COMPARED_DAYS = (0, min(WINDOW_DAYS), LONGEST_WINDOW)
"""How many days before the last complete day the as-of dates lie whose figures the summary compares."""

LONGEST_ACTIVITY = 30
"""Days up to an event date that count its active users (monthly active users)."""


@dataclass(frozen=True)
class History:
    """The event dates that are built, and the as-of dates before the published one that are up to date.

    Both up to the published as-of date, with the fingerprint of each. `last_complete_day` is the last complete day up
    to the as-of date, if there is one.
    """

    as_of: date
    last_complete_day: date | None
    event_dates: Mapping[date, str]
    as_of_dates: Mapping[date, str]

    @staticmethod
    def before(
        as_of: date,
        last_complete_day: date | None,
        event_dates: Mapping[date, str],
        built: Mapping[date, str],
        expected: Mapping[date, AsOfDate],
    ) -> History:
        """The history of an as-of date: of the as-of dates that are `built`, those that are as `expected`."""
        return History(
            as_of,
            last_complete_day,
            {day: fingerprint for day, fingerprint in event_dates.items() if day <= as_of},
            {
                day: fingerprint
                for day, fingerprint in built.items()
                if day < as_of and expected[day].fingerprint == fingerprint
            },
        )

    @property
    def fingerprint(self) -> str:
        """A text that differs where anything that is published of the history does."""
        return digest([*sorted(self.event_dates.items()), *sorted(self.compared.items())])

    @property
    def first_event_date(self) -> date:
        """The first event date of which anything is captured; without one, the as-of date."""
        return min(self.event_dates, default=self.as_of)

    @property
    def compared(self) -> dict[date, str]:
        """The as-of dates that the summary compares, as far as they are before the published one and up to date."""
        if self.last_complete_day is None:
            return {}
        days = [self.last_complete_day - timedelta(days=back) for back in COMPARED_DAYS]
        return {day: self.as_of_dates[day] for day in days if day in self.as_of_dates}

    @property
    def told_by(self) -> tuple[dict[date, str], dict[date, str]]:
        """The as-of dates that tell of the event dates before the window, and the event dates that none tells of."""
        begin = window(self.as_of)[0]
        as_of_dates, left = _covering((day for day in self.event_dates if day < begin), self.as_of_dates)
        return (
            {day: self.as_of_dates[day] for day in as_of_dates},
            {day: self.event_dates[day] for day in left},
        )

    @property
    def active_before(self) -> dict[date, str]:
        """The event dates before the window that count for the monthly active users of its days."""
        begin = window(self.as_of)[0]
        first = begin - timedelta(days=LONGEST_ACTIVITY - 1)
        return {day: fingerprint for day, fingerprint in self.event_dates.items() if first <= day < begin}


def _covering(days: Iterable[date], as_of_dates: Iterable[date]) -> tuple[list[date], list[date]]:
    """As-of dates whose windows hold the days, as few as are needed, and the days that are in no window.

    Those of a fixed grid are preferred: they stay the same from one publication to the next, and so do the local
    copies of their files.
    """
    available = sorted(as_of_dates)
    chosen: list[date] = []
    left: list[date] = []
    for day in sorted(days, reverse=True):
        if chosen and (chosen[-1] - day).days < LONGEST_WINDOW:
            continue
        holding = [as_of for as_of in available if 0 <= (as_of - day).days < LONGEST_WINDOW]
        if holding:
            chosen.append(min(holding, key=lambda as_of: (as_of.toordinal() % LONGEST_WINDOW != 0, as_of)))
        else:
            left.append(day)
    return chosen, left


def read_history(connection: duckdb.DuckDBPyConnection, handles: Mapping[str, StoredTable], history: History) -> None:
    """Make the tables `earlier_views`, `earlier_users`, `earlier_active_days`, `earlier_resources`, `earlier_activity`.

    `handles` are the metric and the daily tables, by name. Raises `InputsChanged` if another process restates one of
    the dates meanwhile.
    """
    as_of_dates, event_dates = history.told_by
    for table in METRIC_TABLES:
        stated = {**as_of_dates, **history.compared}
        engine.view_days(connection, handles[table.name], "as_of_date", stated, may_lack_rows=True)
    engine.view_days(connection, handles[DAILY_IMPRESSIONS.name], "event_date", event_dates)
    engine.view_days(connection, handles[DAILY_TOTALS.name], "event_date", history.active_before)
    tables = ("earlier_views", "earlier_users", "earlier_active_days", "earlier_resources", "earlier_activity")
    QUERIES.execute(connection, *tables, compared=list(history.compared))
