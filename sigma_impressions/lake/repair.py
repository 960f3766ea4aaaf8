"""Give up what is damaged, so that the work goes on with what is left.

Captures of which accepted rows are missing are not registered any more, so their export files are read again if the
bucket holds them; so is a snapshot of the resources or members of which anything is missing. Rejected rows are read
again by a run with `renormalize` only: their files count all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date
from functools import partial

import polars as pl

from sigma_impressions.errors import DamagedError
from sigma_impressions.lake.commits import replace_files, replace_rows
from sigma_impressions.lake.inventory import Damage, forget_unregistered, take_stock, verify
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    AS_OF_DATES,
    CAPTURED_ROWS,
    DAILY_TABLES,
    DATA_FILES,
    EVENT_DATES,
    EXPORT_FILES,
    MEMBER_SNAPSHOTS,
    NORMALIZED_IMPRESSIONS,
    RESOURCE_SNAPSHOTS,
    SNAPSHOTS,
    Table,
)
from sigma_impressions.lake.tables import Tables, files_of, require_newest_entry, retry_conflicts, scan

_ROUNDS = 10
"""What is given up may show more that is lost with it, as snapshots of as-of dates; more rounds would be a fault."""


def drop_damaged(tables: Tables, report: Callable[[str], None]) -> int:
    """Give up everything that is missing or broken, to the last changed byte; how many places that were.

    No run may be under way: what it has not registered yet would count as lost.
    """
    dropped = 0
    for table in ALL_TABLES:
        try:
            require_newest_entry(tables.open(table))
        except DamagedError:
            place = tables.storage.set_aside(table.name)
            report(f"{table.name}: its log is broken; everything of it was moved to {place}")
            dropped += 1
    dropped += _drop(tables, verify(tables), lambda damage: True, report)
    # Files that the registry has lost are read again, or count no more.
    retry_conflicts(lambda: forget_unregistered(tables))
    return dropped


def drop_damaged_captures(tables: Tables, file_dates: Collection[object], report: Callable[[str], None]) -> int:
    """Give up captured rows of some file dates that are missing or broken; how many places that were."""
    days = {str(day) for day in file_dates}
    changed = verify(tables, CAPTURED_ROWS, "file_date", days)
    return _drop(tables, changed, lambda damage: damage.table in CAPTURED_ROWS and damage.partition in days, report)


def _drop(
    tables: Tables, damages: Iterable[Damage], is_wanted: Callable[[Damage], bool], report: Callable[[str], None]
) -> int:
    dropped = 0
    for _ in range(_ROUNDS):
        for damage in sorted(damages, key=_turn):
            report(f"Given up: {damage}")
            retry_conflicts(partial(_give_up, tables, damage))
            dropped += 1
        damages = [damage for damage in take_stock(tables) if is_wanted(damage)]
        if not damages:
            break
    return dropped


def _turn(damage: Damage) -> tuple[bool, bool]:
    """Registries first, that of the data files before all: they are read when others are given up."""
    return damage.table is not DATA_FILES, bool(damage.table.partition_by)


def _give_up(tables: Tables, damage: Damage) -> None:
    if damage.table in (of_snapshots := {table: registry for registry, held in SNAPSHOTS.items() for table in held}):
        _give_up_snapshots(tables, of_snapshots[damage.table], [damage.partition])
    elif damage.file is not None:
        _remove_files(tables, damage.table, pl.col("path") == damage.file)
        # Only of tables that are partitioned there are notes.
        if damage.table.partition_by:
            _delete(tables, DATA_FILES, "file", [damage.file])
        if damage.table in DAILY_TABLES:
            _open_again(tables, damage.partition)
    elif damage.table is NORMALIZED_IMPRESSIONS:
        _delete(tables, EXPORT_FILES, "capture_id", damage.ids)
        forget_unregistered(tables)
    elif damage.table is RESOURCE_SNAPSHOTS:
        _delete(tables, AS_OF_DATES, "snapshot_id", damage.ids)
    elif damage.table is MEMBER_SNAPSHOTS:
        _give_up_snapshots(tables, MEMBER_SNAPSHOTS, damage.ids)
    elif damage.table is EVENT_DATES:
        _delete(tables, DATA_FILES, "partition", damage.ids)
    elif damage.table is EXPORT_FILES:
        handle = tables.open(EXPORT_FILES)
        twice = scan(handle).filter(pl.col("file_id").is_in(damage.ids)).sort("captured_at").collect()
        replace_rows(handle, "file_id", damage.ids, twice.unique("file_id", keep="last"))
        forget_unregistered(tables)


def _give_up_snapshots(tables: Tables, registry: Table, ids: Collection[str]) -> None:
    """All that is stored of them: a snapshot without its history or aliases would be taken for a whole one."""
    _delete(tables, registry, "snapshot_id", ids)
    for table in SNAPSHOTS[registry]:
        _remove_files(tables, table, pl.col("snapshot_id").is_in(list(ids)))
    _delete(tables, DATA_FILES, "partition", ids)


def _remove_files(tables: Tables, table: Table, which: pl.Expr) -> None:
    handle = tables.open(table)
    replace_files(handle, files_of(handle).filter(which), [])


def _delete(tables: Tables, table: Table, column: str, values: Collection[object]) -> None:
    replace_rows(tables.open(table), column, values, table.no_rows())


def _open_again(tables: Tables, day: str) -> None:
    """What was counted of a day whose single views were dropped is lost: the day is counted of what is left."""
    _delete(tables, EVENT_DATES, "event_date", [date.fromisoformat(day)])
    _delete(tables, DATA_FILES, "partition", [day])
