"""What a warehouse should hold: each table and day, with the fingerprint of what its rows are made from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Final, NamedTuple

from sigma_impressions.destinations.warehouse.tables import BUILT, DAILY, MEMBERS, NUMBERS, PEOPLE, RESOURCES
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import RESOURCE_SNAPSHOTS
from sigma_impressions.lake.snapshots import taken_in_order
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.fingerprints import snapshot_for
from sigma_impressions.publish.contents import AllContents, Contents

_VERSION: Final = 1
"""Raised when the same inputs give other rows in a warehouse, so that all are sent anew."""


class Part(NamedTuple):
    """The rows of a table of one day; all of them, without a day, of one that only holds the present state."""

    table: str
    day: date | None


def wanted_parts(tables: Tables, contents: AllContents, today: date) -> dict[Part, str]:
    """Every part of the tables up to today, with its fingerprint.

    As-of dates that are not up to date are left to the run that restates them.
    """
    return dict(chain(_of_as_of_dates(contents, today), _of_event_dates(tables, contents, today)))


def _of_as_of_dates(contents: AllContents, today: date) -> Iterator[tuple[Part, str]]:
    newest: Contents | None = None
    for day in sorted(day for day in contents.built if day <= today):
        stated = contents.as_of(day)
        if not stated.is_current:
            continue
        newest = stated
        numbers = digest([_VERSION, stated.numbers])
        people = digest([_VERSION, stated.people])
        insights = digest([_VERSION, contents.insights(stated)])
        for table in NUMBERS:
            yield Part(table.name, day), numbers
        for table in PEOPLE:
            yield Part(table.name, day), people
        for table in BUILT:
            yield Part(table.name, day), insights if table.name in INSIGHT_TABLES else numbers
    if newest is not None:
        for table in RESOURCES:
            yield Part(table.name, None), digest([_VERSION, newest.inputs.snapshot_id, contents.edition])
        for table in MEMBERS:
            yield Part(table.name, None), digest([_VERSION, newest.member_snapshot, contents.edition])


def _of_event_dates(tables: Tables, contents: AllContents, today: date) -> Iterator[tuple[Part, str]]:
    # What was viewed is named as on its own day: a later snapshot of the resources changes nothing of earlier days.
    taken = taken_in_order(tables.registry(RESOURCE_SNAPSHOTS))
    for day, fingerprint in contents.event_dates.items():
        if day <= today:
            parts = [_VERSION, fingerprint, snapshot_for(day, taken), contents.edition]
            for table in DAILY:
                yield Part(table.name, day), digest(parts)
