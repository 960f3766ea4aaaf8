"""What a published database is made from: an as-of date, its inputs, what was before, and the rules."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import polars as pl

from sigma_impressions.insights.complete_days import captured_days, last_complete_day
from sigma_impressions.insights.history import History
from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import EVENT_DATES, EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.fingerprints import (
    AsOfDate,
    built_as_of_dates,
    built_event_dates,
    expected_as_of_dates,
)
from sigma_impressions.upstream.members_stored import member_snapshot

PUBLICATION_VERSION = 7
"""Raised when the database shows the same inputs in another way, so that it is made anew."""


@dataclass(frozen=True)
class Contents:
    """What a database is to hold: an as-of date, what its metrics are built from, what was before, and the rules.

    `registry` is that of the export files, `event_dates` that of the event dates. It `is_current` if the metrics of
    the as-of date are built from just these inputs.
    """

    as_of: date
    inputs: AsOfDate
    is_current: bool
    history: History
    rules: InsightRules
    registry: pl.DataFrame
    event_dates: pl.DataFrame
    edition: str
    member_snapshot: str | None

    @property
    def made_from(self) -> str:
        """A text that differs where anything that the database shows differs."""
        files = self.registry.select(pl.concat_str("file_id", "capture_id", "status", ignore_nulls=True))
        parts = [PUBLICATION_VERSION, self.rules, self.history.fingerprint, *self._edits, *files.to_series().sort()]
        return f"{self.inputs.fingerprint} {digest(parts)}"

    @property
    def numbers(self) -> str:
        """A text that differs where the metric tables of the as-of date do, also by what was edited in place."""
        return digest([self.inputs.fingerprint, self.edition])

    @property
    def people(self) -> str:
        """The same for what is told of the users as members beside their numbers."""
        return digest([PUBLICATION_VERSION, self.inputs.fingerprint, *self._edits])

    @property
    def _edits(self) -> list[str]:
        return [text for text in (self.edition, self.member_snapshot) if text]


class AllContents:
    """The contents of every as-of date of the tables as they are when this is made."""

    def __init__(self, tables: Tables, rules: InsightRules, *, with_members: bool) -> None:
        # The edition first: an edit in between is published now, and once more by the next run.
        self.edition = tables.edition()
        self.built, self.event_dates = built_as_of_dates(tables), built_event_dates(tables)
        self._tables, self._rules, self._with_members = tables, rules, with_members
        self._expected = expected_as_of_dates(tables, self.built, self.event_dates)
        self._registry = tables.read(EXPORT_FILES).collect()

    def as_of(self, day: date) -> Contents:
        """Those of a day; of one that is not built, what it would be built from. Raises `NothingComputed` without
        any snapshot of the resources."""
        expected = self._expected.get(day) or expected_as_of_dates(self._tables, [day], self.event_dates)[day]
        complete = last_complete_day(self._registry, day)
        return Contents(
            day,
            expected,
            self.built.get(day) == expected.fingerprint,
            History.before(day, complete, self.event_dates, self.built, self._expected),
            self._rules,
            self._registry,
            self._tables.registry(EVENT_DATES),
            self.edition,
            member_snapshot(self._tables, day) if self._with_members else None,
        )

    def insights(self, stated: Contents) -> str:
        """A text that differs where the insight tables of an as-of date do.

        Of the export files only those days count that they tell of, and the last one that is complete, so that a new
        one changes nothing of earlier dates.
        """
        days = self._captured_days[: bisect_right(self._captured_days, stated.as_of)]
        history = stated.history
        return digest([stated.people, stated.rules, history.fingerprint, history.last_complete_day, *days])

    @cached_property
    def _captured_days(self) -> list[date]:
        return list(captured_days(self._registry, self._tables.registry(EVENT_DATES), max(self.built)))
