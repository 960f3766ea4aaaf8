"""What there is to know: the facts, and what of them is red or yellow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sigma_impressions.check.disk import Disk
from sigma_impressions.exports.captured import Captured

TABLES, DATABASE, SIZES = "storage", "database", "sizes"
DAGSTER = "dagster"
"""What is looked at; a finding of this name says why it could not be."""

STORAGE = (TABLES, DATABASE, SIZES)
"""What lies in the storage location."""


class Colour(StrEnum):
    """How grave something is."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"


@dataclass(frozen=True)
class Finding:
    """Something that is not all right: a check that did not pass, or what no check of an asset can tell.

    `name` is the check's, or the part of the status that it is about; `what_to_do` is what the check says of itself,
    where `said` does not say it.
    """

    colour: Colour
    name: str
    said: str
    asset: str | None = None
    since: datetime | None = None
    what_to_do: str | None = None


@dataclass(frozen=True)
class Published:
    """The published database. Where this machine has no copy of just that one, only its time is known."""

    published_at: datetime
    as_of: date | None = None
    impressions_60d: int | None = None
    unmatched_60d: int | None = None
    users_60d: int | None = None
    resources: int | None = None


@dataclass(frozen=True)
class Run:
    """A run of the pipeline; `reason` says why it failed. One whose process is gone has `outcome` "died"."""

    run_id: str
    outcome: str
    started_at: datetime | None
    ended_at: datetime | None
    trigger: str | None
    first_day: date | None
    last_day: date | None
    reason: str | None = None


@dataclass(frozen=True)
class Starter:
    """A sensor or schedule; `next_at` is when it ticks next if a daemon runs, None if it is switched off."""

    name: str
    is_on: bool
    starts_runs: bool
    last_tick_at: datetime | None
    next_at: datetime | None


@dataclass(frozen=True)
class Recorded:
    """What the Dagster instance knows; `daemon_seen_at` is the newest sign of life of its daemon."""

    last_run: Run | None
    last_success_at: datetime | None
    under_way: tuple[Run, ...]
    daemon_seen_at: datetime | None
    daemon_runs: bool
    starters: tuple[Starter, ...]


@dataclass(frozen=True)
class Sizes:
    """The bytes of what is kept, by table; of the other files by what they are; and the disks of this machine."""

    tables: Mapping[str, int]
    others: Mapping[str, int]
    disks: tuple[Disk, ...]


@dataclass(frozen=True)
class Status:
    """How the pipeline is doing at a time. A part that could not be looked at is None, and a finding says why."""

    name: str
    source: str
    storage: str
    dagster_home: str
    now: datetime
    captured: Captured | None
    published: Published | None
    recorded: Recorded | None
    sizes: Sizes | None
    findings: tuple[Finding, ...]

    @property
    def colour(self) -> Colour:
        """The gravest colour of all findings."""
        found = {finding.colour for finding in self.findings}
        return next((colour for colour in Colour if colour in found), Colour.GREEN)
