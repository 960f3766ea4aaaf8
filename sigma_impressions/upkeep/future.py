"""What a run has left whose clock was ahead: to be named, and to be dropped.

Nothing of it is used before its time has come: no as-of date later than today is published, and no snapshot of a later
time is one of today. When its time has come it would be used, old as it is then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

import polars as pl

from sigma_impressions.clock import behind, latest, minute, refuse_behind
from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.listing import newest_written
from sigma_impressions.lake.commits import delete_rows, replace_rows
from sigma_impressions.lake.inventory import miss_no_longer
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    EVENT_DATES,
    EXPORT_FILES,
    MEMBER_SNAPSHOTS,
    METRIC_TABLES,
    RAW_EXPORT_FILES,
    RESOURCE_SNAPSHOTS,
    SNAPSHOTS,
    Table,
)
from sigma_impressions.lake.tables import Tables, files_of, retry_conflicts, scan

_TIMES_OF_FILES = (
    (EXPORT_FILES, "file_id", ("captured_at", "last_modified")),
    (RAW_EXPORT_FILES, "file_id", ("first_seen_at", "last_modified")),
)
_SET_BACK = (*_TIMES_OF_FILES, (EVENT_DATES, "event_date", ("detail_dropped_at",)))
"""Tables whose rows stay, with what tells the rows apart, and the times that are compared with others."""


@dataclass(frozen=True)
class Future:
    """What the tables hold of a time later than `now`.

    `files` counts the export files that were written, listed or captured then. `written_at` is when the last of those
    was written that the bucket lists now: if that is later too, it is the clock of this machine that is wrong. What
    was captured does not tell, as the clocks of machine and store may both have been ahead.
    """

    now: datetime
    as_of_dates: tuple[date, ...]
    snapshots: tuple[datetime, ...]
    files: int
    written_at: datetime | None
    member_snapshots: tuple[datetime, ...] = ()

    @property
    def sentence(self) -> str | None:
        """What is wrong and what to do; None if nothing is."""
        if (wrong := behind(self.written_at, self.now)) is not None:
            return wrong
        if not (self.as_of_dates or self.snapshots or self.member_snapshots or self.files):
            return None
        return (
            f"The tables hold what is later than now, {minute(self.now)}: {self._counts()}. The clock of a run "
            "or of the store was ahead. Before its time nothing of it is published; sigma-impressions maintain "
            "--drop-future removes it. If it is the clock of this machine that is behind, set it right instead."
        )

    def _counts(self) -> str:
        kinds = (
            (len(self.as_of_dates), "as-of date", max(map(str, self.as_of_dates), default="")),
            (len(self.snapshots), "resource snapshot", max(map(minute, self.snapshots), default="")),
            (
                len(self.member_snapshots),
                "member snapshot",
                max(map(minute, self.member_snapshots), default=""),
            ),
            (self.files, "export file", ""),
        )
        return ", ".join(
            f"{count:,} {noun}{'' if count == 1 else 's'}{f' up to {last}' if last else ''}"
            for count, noun, last in kinds
            if count
        )


def left_in_future(tables: Tables, now: datetime, objects: Iterable[StoredObject] = ()) -> Future:
    """What the tables hold of a time later than now.

    `objects` is a listing of the bucket, which is begun only if there is something.
    """
    as_of_dates = tables.registry(AS_OF_DATES)["as_of_date"]
    files = [tables.read(table).filter(_is_later(times, now)).select(name) for table, name, times in _TIMES_OF_FILES]
    resources, members = (
        tuple(_snapshots(tables.registry(registry), now)["taken_at"].sort())
        for registry in (RESOURCE_SNAPSHOTS, MEMBER_SNAPSHOTS)
    )
    later = tuple(as_of_dates.filter(as_of_dates > latest(now).astimezone(UTC).date()).sort())
    later_files = pl.concat(files).collect().n_unique()
    is_any = any((later, resources, members, later_files))
    return Future(now, later, resources, later_files, newest_written(objects) if is_any else None, members)


def drop_future(
    tables: Tables, now: datetime, objects: Iterable[StoredObject], report: Callable[[str], None]
) -> Future:
    """Drop as-of dates and snapshots of the future, and set back to now the times that others are compared with.

    What there was of them is returned. `objects` is a listing of the bucket. Raises `ClockBehind` if an export file
    in it is of the future too: then it is not the tables that are wrong.
    """
    refuse_behind(newest_written(objects), now)
    found = left_in_future(tables, now)
    ids = {registry: set(_snapshots(tables.registry(registry), now)["snapshot_id"]) for registry in SNAPSHOTS}
    # Where one of these is the oldest snapshot, as-of dates up to today were computed with it. Their tables stay, by
    # which the next run knows that they are to be computed again.
    registered = tables.registry(AS_OF_DATES)
    with_them = set(registered.filter(pl.col("snapshot_id").is_in(list(ids[RESOURCE_SNAPSHOTS])))["as_of_date"])
    retry_conflicts(partial(miss_no_longer, tables, ids[MEMBER_SNAPSHOTS]))
    # The registries first: what they do not name is read by nobody.
    for tables_with, column, values in (
        ((AS_OF_DATES,), "as_of_date", with_them.union(found.as_of_dates)),
        (METRIC_TABLES, "as_of_date", set(found.as_of_dates)),
        *(((registry, *held), "snapshot_id", ids[registry]) for registry, held in SNAPSHOTS.items()),
    ):
        for table in tables_with:
            retry_conflicts(partial(_drop, tables, table, column, values))
    for table, name, times in _SET_BACK:
        retry_conflicts(partial(_set_back, tables, table, name, times, now))
    report(
        f"of the future: {len(found.as_of_dates):,} as-of dates, {len(found.snapshots):,} resource snapshots and "
        f"{len(found.member_snapshots):,} member snapshots dropped; {found.files:,} export files have the time of now; "
        f"the next run computes {len(with_them.difference(found.as_of_dates)):,} as-of dates up to today again, which "
        "used these snapshots"
    )
    return found


def _snapshots(registry: pl.DataFrame, now: datetime) -> pl.DataFrame:
    return registry.filter(pl.col("taken_at") > latest(now))


def _drop(tables: Tables, table: Table, column: str, values: Collection[object]) -> None:
    handle = tables.open(table)
    if column in table.partition_by:
        delete_rows(handle, files_of(handle, column, values))
    elif values:
        delete_rows(handle, files_of(handle), pl.col(column).is_in(list(values)))


def _is_later(times: Collection[str], now: datetime) -> pl.Expr:
    """Whether one of the times of a row is of the future."""
    return pl.any_horizontal(pl.col(times) > latest(now))


def _set_back(tables: Tables, table: Table, name: str, times: Collection[str], now: datetime) -> None:
    handle = tables.open(table)
    rows = scan(handle)
    # All rows of a name, as they are replaced together.
    later = rows.filter(_is_later(times, now).any().over(name))
    changed = later.with_columns(
        pl.when(pl.col(time) > now).then(pl.lit(now)).otherwise(time).alias(time) for time in times
    ).collect()
    if changed.height:
        replace_rows(handle, name, changed[name].unique(), changed)
