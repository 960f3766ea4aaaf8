"""What every derived partition should be built from, as fingerprints, and which ones are out of date.

A fingerprint is a digest of everything that a partition depends on: the captured files that hold rows of an
event date; the event dates of a window and the resource snapshot. Equal fingerprints mean equal content, so
that work is repeated exactly where an input changed, whoever changed it and in whatever order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import polars as pl

from sigma_impressions.errors import NothingComputed
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    DAILY_TOTALS,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    RESOURCE_SNAPSHOTS,
    Table,
)
from sigma_impressions.lake.snapshots import Taken, snapshot_in_use, taken_in_order
from sigma_impressions.lake.tables import Held, Tables
from sigma_impressions.windows import window

DAILY_VERSION = 2
"""Raised when the meaning of `daily_impressions` changes, so that all of it is rebuilt."""

METRICS_VERSION = 2
"""Raised when the meaning of a metric table changes, so that all of them are rebuilt."""


@dataclass(frozen=True)
class EventDate:
    """An event date as it should be: its fingerprint and the captures of export files that hold rows of it.

    `captures` gives the accepted rows, of all event dates, of each (file ID, capture ID); `file_dates` are the
    file dates of those captures, which is where `normalized_impressions` keeps their rows. A date that is `closed`
    has no detail any more: it stays as it was built.
    """

    fingerprint: str
    captures: Mapping[tuple[str, str], int]
    file_dates: tuple[date, ...]
    closed: bool = False


def expected_event_dates(tables: Tables, overlapping_exports: str) -> dict[date, EventDate]:
    """Every event date that a captured file holds rows of, and those whose detail was dropped."""
    closed = closed_event_dates(tables)
    expected = {day: EventDate(fingerprint, {}, (), closed=True) for day, fingerprint in closed.items()}
    for day, held in _held(tables, closed, "accepted", "file_date"):
        captures = zip(held["file_id"], held["capture_id"], strict=True)
        expected[day] = EventDate(
            _fingerprint(overlapping_exports, held),
            dict(zip(captures, held["accepted"], strict=True)),
            tuple(sorted(set(held["file_date"]))),
        )
    return expected


def expected_fingerprints(
    tables: Tables, overlapping_exports: str, file_dates: Collection[date] | None = None
) -> dict[date, str]:
    """The fingerprints of `expected_event_dates`, in less time and memory.

    With `file_dates` only those of the event dates of which files of these dates hold rows.
    """
    closed = closed_event_dates(tables)
    if file_dates is None:
        return closed | {day: _fingerprint(overlapping_exports, held) for day, held in _held(tables, closed)}
    of_files = pl.col("file_date").is_in(list(file_dates))
    days = _read_files(tables).filter(of_files).select(pl.col("event_dates").explode().drop_nulls().unique()).collect()
    wanted = set(days["event_dates"])
    holds_any = pl.col("event_dates").list.eval(pl.element().is_in(list(wanted))).list.any()
    held_by_day = _held(tables, closed, where=holds_any)
    return {day: _fingerprint(overlapping_exports, held) for day, held in held_by_day if day in wanted}


def _read_files(tables: Tables) -> pl.LazyFrame:
    return tables.read(EXPORT_FILES).filter(pl.col("status") == "read")


def _held(
    tables: Tables, closed: Collection[date], *columns: str, where: pl.Expr | None = None
) -> Iterator[tuple[date, pl.DataFrame]]:
    """Of each event date that is not closed the captures that hold rows of it: `file_id`, in order, `capture_id`, ...

    The registry, of `where` a part of it, is held in memory once, and the captures of one event date at a time: a
    bucket may have many files.
    """
    found = _read_files(tables)
    registry = (
        (found if where is None else found.filter(where))
        .select("file_id", "capture_id", "event_dates", *columns)
        .sort("file_id")
        .collect()
    )
    rows = (
        registry.lazy()
        .select(pl.col("event_dates").alias("event_date"), row=pl.int_range(pl.len(), dtype=pl.UInt32))
        .explode("event_date")
        .drop_nulls("event_date")
        .filter(~pl.col("event_date").is_in(list(closed)))
        .sort("event_date", "row")
        .group_by("event_date", maintain_order=True)
        .agg("row")
        .collect()
    )
    captures = registry.drop("event_dates")
    for day, of_day in zip(rows["event_date"], rows["row"], strict=True):
        yield day, captures[of_day]


def _fingerprint(overlapping_exports: str, held: pl.DataFrame) -> str:
    return digest([DAILY_VERSION, overlapping_exports, *held["file_id"], *held["capture_id"]])


def closed_event_dates(tables: Tables) -> dict[date, str]:
    """The event dates whose detail was dropped, each with the fingerprint of what it was built from.

    They cannot be built again, whatever is captured later, and whatever changes in how impressions are counted.
    """
    registered = tables.registry(EVENT_DATES).filter(pl.col("detail_dropped_at").is_not_null())
    return dict(registered.select("event_date", "fingerprint").iter_rows())


def built_event_dates(tables: Tables) -> dict[date, str]:
    """The event dates that are completely built, each with the fingerprint of what it was built from."""
    return _complete(tables, EVENT_DATES, "event_date", {DAILY_IMPRESSIONS: "rows", DAILY_TOTALS: None})


@dataclass(frozen=True)
class AsOfDate:
    """An as-of date as it should be: its fingerprint, resource snapshot, and the event dates of its window.

    `event_dates` gives the fingerprint of each event date that has rows.
    """

    fingerprint: str
    snapshot_id: str
    event_dates: Mapping[date, str]


def expected_as_of_dates(
    tables: Tables, as_of_dates: Iterable[date], daily: Mapping[date, str] | None = None
) -> dict[date, AsOfDate]:
    """What the metrics of the given as-of dates should be built from, by the event dates that are built.

    `daily` are these event dates, if they are known already.
    """
    if daily is None:
        daily = built_event_dates(tables)
    taken = taken_in_order(tables.registry(RESOURCE_SNAPSHOTS))
    return {as_of: _as_of_date(as_of, daily, taken) for as_of in as_of_dates}


def _as_of_date(as_of: date, daily: Mapping[date, str], taken: Taken) -> AsOfDate:
    event_dates = {day: daily[day] for day in window(as_of) if day in daily}
    snapshot_id = snapshot_for(as_of, taken)
    return AsOfDate(_as_of_fingerprint(snapshot_id, tuple(sorted(event_dates.items()))), snapshot_id, event_dates)


@lru_cache(maxsize=4096)  # A run asks several times for those of all known as-of dates.
def _as_of_fingerprint(snapshot_id: str, event_dates: tuple[tuple[date, str], ...]) -> str:
    return digest([METRICS_VERSION, snapshot_id, *event_dates])


def snapshot_for(as_of: date, taken: Taken) -> str:
    """The snapshot of the resources that an as-of date uses. Raises `NothingComputed` if there is none at all."""
    if (snapshot_id := snapshot_in_use(as_of, taken)) is None:
        raise NothingComputed("There is no snapshot of sigma_resources yet; materialize sigma_resources first.")
    return snapshot_id


def built_as_of_dates(tables: Tables) -> dict[date, str]:
    """The as-of dates whose metric tables are complete, with the fingerprint of what they were built from."""
    counts = dict(zip(METRIC_TABLES, ("resource_rows", "user_rows", "unmatched_rows"), strict=True))
    return _complete(tables, AS_OF_DATES, "as_of_date", counts)


def _complete(tables: Tables, registry: Table, day: str, counts: Mapping[Table, str | None]) -> dict[date, str]:
    """The registered days that each table holds just as registered: with that fingerprint, and as many rows.

    `counts` names for each table the column of the registry that counts its rows of the day; of a table with none,
    there are rows if the others have some. What is lost, broken, or registered twice is not complete.
    """
    registered = tables.registry(registry)
    held = [(tables.held(table), count) for table, count in counts.items()]
    columns = [count for count in counts.values() if count]

    def is_held(row: Mapping[str, Any]) -> bool:
        expected = frozenset([row["fingerprint"]])
        for found, count in held:
            of_day = found.get(str(row[day]), Held())
            are_any = any(row[column] for column in ([count] if count else columns))
            if of_day.fingerprints != (expected if are_any else frozenset()):
                return False
            if count and of_day.rows != row[count]:
                return False
        return True

    once = registered.filter(pl.col(day).is_unique())
    return {row[day]: row["fingerprint"] for row in once.iter_rows(named=True) if is_held(row)}
