"""Keep the tables small and quick: remove what nobody refers to, merge small files, delete old ones.

Everything here is a commit like those of the runs, and may go on beside them. What is younger than the time to
keep is left alone: it may belong to a run that is under way, or to a version that somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
from deltalake.exceptions import CommitFailedError

from sigma_impressions.lake.commits import delete_rows, drop_former_columns, merge_files, replace_rows
from sigma_impressions.lake.inventory import miss_no_longer, require_intact, take_stock
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    AS_OF_DATES,
    CAPTURED_ROWS,
    DAILY_TABLES,
    DATA_FILES,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    RAW_EXPORT_FILES,
    SNAPSHOTS,
    Table,
)
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import (
    WORK_FOLDER,
    StoredTable,
    Tables,
    files_of,
    may_hold_former_columns,
    note_without_former_columns,
    scan,
    scan_files,
    shorten_log,
)

_ATTEMPTS = 5


@dataclass(frozen=True)
class Maintained:
    """What was done for one table; `skipped` tells that runs were writing to it all the time.

    Files are those of the newest version; `deleted_files` and `freed_bytes` those that no kept version lists.
    """

    table: str
    files_before: int
    files_after: int
    removed_rows: int
    deleted_files: int
    freed_bytes: int
    skipped: bool = False


def maintain(tables: Tables, keep: timedelta, report: Callable[[str], None]) -> list[Maintained]:
    """Maintain every table; the tables hold the same for all who read them by their registries.

    `keep` is how long older versions, and rows and files that nothing refers to, are kept; at least a day. Raises
    `DamagedError` if something is missing or broken.
    """
    if keep < timedelta(days=1):
        raise ValueError("what runs under way may still need is kept for at least a day")
    with scratch_folder(tables.root / WORK_FOLDER):
        # Its start removes the temporary folders of dead processes.
        pass
    done = []
    # What is damaged may still be put right, as long as nothing is deleted.
    require_intact(tables)
    for table in _ORDER:
        if table is DATA_FILES:
            take_stock(tables)
        maintained = _maintain(tables, table, keep)
        report(_sentence(maintained))
        done.append(maintained)
    return done


_ORDER = (
    *SNAPSHOTS,
    *(table for table in ALL_TABLES if table not in (*SNAPSHOTS, DATA_FILES)),
    DATA_FILES,
)
"""The registries of the snapshots before the snapshots, so that both go in one round; that of the data files last."""


def _maintain(tables: Tables, table: Table, keep: timedelta) -> Maintained:
    before = files_of(tables.open(table)).height
    removed = 0
    for _ in range(_ATTEMPTS):
        try:
            removed += _remove(tables, table, keep)
            handle = tables.open(table)
            if may_hold_former_columns(handle):
                drop_former_columns(handle)
                note_without_former_columns(handle)
                handle = tables.open(table)
            merge_files(handle)
            deleted, freed = _vacuum(tables, table, keep)
        except CommitFailedError:
            # A run has changed the same rows in between: look again.
            continue
        return Maintained(table.name, before, files_of(handle).height, removed, deleted, freed)
    return Maintained(table.name, before, files_of(tables.open(table)).height, removed, 0, 0, skipped=True)


def _vacuum(tables: Tables, table: Table, keep: timedelta) -> tuple[int, int]:
    """Delete the files that no kept version lists, never committed ones too, and shorten the log.

    Returns the number of files and their bytes.
    """
    handle = tables.open(table)
    hours = int(keep / timedelta(hours=1))
    with clear_errors(tables.storage, f"vacuuming {tables.location(table)}"):
        # The table's own retention, a week, must not forbid a shorter one.
        unused = handle.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        freed = 0
        if unused:
            sizes = tables.storage.sizes(table.name)
            unused = handle.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
            freed = sum(sizes.get(file, 0) for file in unused)
            handle = tables.open(table)
        shorten_log(handle)
    return len(unused), freed


def _remove(tables: Tables, table: Table, keep: timedelta) -> int:
    """Remove the rows that no registry names, and snapshots that no as-of date uses; how many went."""
    # Opened before the registry is read: what is registered meanwhile is not held against the table.
    handle = tables.open(table)
    if table is RAW_EXPORT_FILES:
        return _remove_listed_twice(tables, handle)
    if table in SNAPSHOTS:
        return _remove_unused_snapshots(tables, handle, keep)
    if table in CAPTURED_ROWS:
        return _remove_dead_captures(tables, handle, keep)
    if table in _REGISTRIES:
        return _remove_dead_partitions(tables, handle, keep)
    return 0


def _remove_listed_twice(tables: Tables, manifest: StoredTable) -> int:
    """Remove the rows of files that several runs added to the manifest at once; the first of a file counts."""
    rows = scan(manifest).filter(pl.col("file_id").is_duplicated()).collect()
    kept = rows.sort("first_seen_at").unique("file_id", keep="first")
    if kept.height:
        replace_rows(manifest, "file_id", kept["file_id"], kept)
    return rows.height - kept.height


_REGISTRIES: dict[Table, tuple[Table, tuple[str, ...]]] = {
    **{table: (registry, ("snapshot_id",)) for registry, held in SNAPSHOTS.items() for table in held},
    **dict.fromkeys(DAILY_TABLES, (EVENT_DATES, ("event_date", "fingerprint"))),
    **dict.fromkeys(METRIC_TABLES, (AS_OF_DATES, ("as_of_date", "fingerprint"))),
}
"""The tables whose partitions a registry names, with that registry and the columns that tell them apart."""


def _is_old(keep: timedelta) -> pl.Expr:
    """Whether a data file is old enough to go."""
    return pl.col("modification_time") < int((datetime.now(UTC) - keep).timestamp() * 1000)


def _remove_dead_partitions(tables: Tables, handle: StoredTable, keep: timedelta) -> int:
    """Remove what no registry names, of a fingerprint that was replaced or never registered."""
    registry, columns = _REGISTRIES[handle.table]
    files = files_of(handle)
    old = files.group_by(columns).agg(is_old=_is_old(keep).all()).filter("is_old")
    dead = old.join(tables.read(registry).select(columns).collect(), on=columns, how="anti")
    return delete_rows(handle, files.join(dead, on=columns, how="semi"))


def _remove_dead_captures(tables: Tables, handle: StoredTable, keep: timedelta) -> int:
    """Remove rows of captures that were never registered, or that a later capture of the file has replaced.

    A file date whose data files hold as many rows as the registry says has none of them, which the log tells.
    Only others are read.
    """
    files = files_of(handle)
    registry = tables.read(EXPORT_FILES).filter(pl.col("status") == "read").collect()
    registered = registry.group_by("file_date").agg(wanted=pl.col(CAPTURED_ROWS[handle.table]).sum())
    suspects = (
        files.group_by("file_date")
        .agg(pl.col("rows").sum())
        .join(registered, on="file_date", how="left")
        .filter(pl.col("rows") != pl.col("wanted").fill_null(0))
    )
    old = files.join(suspects, on="file_date", how="semi").filter(_is_old(keep))
    if not old.height:
        return 0
    capture = pl.concat_str("file_id", pl.lit(" "), "capture_id")
    captures = scan_files(handle, old).select(capture=capture.unique()).collect()
    dead = captures.join(registry.select(capture=capture), on="capture", how="anti")
    return delete_rows(handle, old, capture.is_in(dead["capture"].implode()))


def _remove_unused_snapshots(tables: Tables, handle: StoredTable, keep: timedelta) -> int:
    """Remove snapshots that no as-of date can use: another one was taken later on the same day.

    Not the oldest one, which earlier as-of dates use, and none of a day that ended within the time to keep. Which
    snapshot an as-of date uses: docs/tables-and-metrics.md, "Restating".
    """
    taken = scan(handle).select("snapshot_id", "taken_at").sort("taken_at").collect()
    # The members are joined to the as-of date that is published, which uses the last ones of a day.
    used = tables.read(AS_OF_DATES).select("snapshot_id").collect()
    today = (datetime.now(UTC) - keep).date()
    unused = (
        taken.with_columns(day=pl.col("taken_at").dt.date(), number=pl.int_range(pl.len()))
        .filter(
            (pl.col("number") > 0) & (pl.col("day") < today) & (pl.col("number") < pl.col("number").max().over("day"))
        )
        .join(used, on="snapshot_id", how="anti")
    )
    miss_no_longer(tables, unused["snapshot_id"])
    return delete_rows(handle, files_of(handle), pl.col("snapshot_id").is_in(unused["snapshot_id"].implode()))


def _sentence(done: Maintained) -> str:
    if done.skipped:
        return f"{done.table}: left to the next time, because runs were writing to it"
    return (
        f"{done.table}: {done.files_before:,} files, now {done.files_after:,}; {done.removed_rows:,} rows removed; "
        f"{done.deleted_files:,} old files deleted, {done.freed_bytes:,} bytes freed"
    )
