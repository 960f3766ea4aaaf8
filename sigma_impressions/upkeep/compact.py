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

from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    AS_OF_DATES,
    DAILY_TABLES,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    REJECTED_ROWS,
    RESOURCE_SNAPSHOTS,
    SNAPSHOT_TABLES,
    Table,
)
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import (
    WORK_FOLDER,
    StoredTable,
    Tables,
    added_files,
    delete_rows,
    is_one_of,
    replace,
    scan,
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

    `keep` is how long older versions, and rows and files that nothing refers to, are kept; at least a day.
    """
    if keep < timedelta(days=1):
        raise ValueError("what runs under way may still need is kept for at least a day")
    with scratch_folder(tables.root / WORK_FOLDER):
        # Its start removes the temporary folders of dead processes.
        pass
    done = []
    for table in _ORDER:
        maintained = _maintain(tables, table, keep)
        report(_sentence(maintained))
        done.append(maintained)
    return done


_ORDER = (RESOURCE_SNAPSHOTS, *(table for table in ALL_TABLES if table is not RESOURCE_SNAPSHOTS))
"""The registry of the snapshots before the snapshots, so that both go in one round."""


def _maintain(tables: Tables, table: Table, keep: timedelta) -> Maintained:
    before = len(tables.open(table).file_uris())
    removed = 0
    for _ in range(_ATTEMPTS):
        try:
            removed += _remove(tables, table, keep)
            handle = tables.open(table)
            with clear_errors(tables.storage, f"compacting {tables.location(table)}"):
                handle.optimize.compact()
            deleted, freed = _vacuum(tables, table, keep)
        except CommitFailedError:
            # A run has changed the same rows in between: look again.
            continue
        return Maintained(table.name, before, len(handle.file_uris()), removed, deleted, freed)
    return Maintained(table.name, before, len(tables.open(table).file_uris()), removed, 0, 0, skipped=True)


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
        handle.create_checkpoint()
        handle.cleanup_metadata()
    return len(unused), freed


def _remove(tables: Tables, table: Table, keep: timedelta) -> int:
    """Remove the rows that no registry names, and snapshots that no as-of date uses; how many went."""
    # Opened before the registry is read: what is registered meanwhile is not held against the table.
    handle = tables.open(table)
    if table is RAW_EXPORT_FILES:
        return _remove_listed_twice(tables, handle)
    if table is RESOURCE_SNAPSHOTS:
        predicates = _unused_snapshots(tables, handle, keep)
    elif table in _KINDS:
        predicates = _dead_captures(tables, handle, keep)
    elif table in _REGISTRIES:
        predicates = _dead_partitions(tables, handle, keep)
    else:
        return 0
    return sum(delete_rows(handle, predicate) for predicate in predicates)


def _remove_listed_twice(tables: Tables, manifest: StoredTable) -> int:
    """Remove the rows of files that several runs added to the manifest at once; the first of a file counts."""
    rows = scan(manifest).filter(pl.col("file_id").is_duplicated()).collect()
    kept = rows.sort("first_seen_at").unique("file_id", keep="first")
    if kept.height:
        replace(manifest, RAW_EXPORT_FILES, "file_id", kept["file_id"], kept)
    return rows.height - kept.height


_KINDS = {NORMALIZED_IMPRESSIONS: "accepted", REJECTED_ROWS: "rejected"}
"""The tables with rows of export files, and the column of `export_files` that counts them."""

_REGISTRIES: dict[Table, tuple[Table, tuple[str, ...]]] = {
    **dict.fromkeys(SNAPSHOT_TABLES, (RESOURCE_SNAPSHOTS, ("snapshot_id",))),
    **dict.fromkeys(DAILY_TABLES, (EVENT_DATES, ("event_date", "fingerprint"))),
    **dict.fromkeys(METRIC_TABLES, (AS_OF_DATES, ("as_of_date", "fingerprint"))),
}
"""The tables whose partitions a registry names, with that registry and the columns that tell them apart."""


def _files(handle: StoredTable, keep: timedelta) -> pl.DataFrame:
    """The data files of the table with their partitions as text, rows, and whether they are old enough to go."""
    limit = int((datetime.now(UTC) - keep).timestamp() * 1000)
    return added_files(handle).select(
        "path",
        rows="num_records",
        is_old=pl.col("modification_time").cast(pl.Int64) < limit,
        **{name: pl.col(f"partition.{name}").cast(pl.String) for name in handle.table.partition_by},
    )


def _dead_partitions(tables: Tables, handle: StoredTable, keep: timedelta) -> list[str]:
    registry, columns = _REGISTRIES[handle.table]
    if not handle.file_uris():
        return []
    held = _files(handle, keep).group_by(columns).agg(pl.col("is_old").all())
    named = tables.read(registry).select(pl.col(column).cast(pl.String) for column in columns).collect()
    dead = held.filter("is_old").join(named, on=columns, how="anti").sort(columns)
    return [
        " AND ".join(f"{column} = '{value}'" for column, value in row.items())
        for row in dead.select(columns).iter_rows(named=True)
    ]


def _dead_captures(tables: Tables, handle: StoredTable, keep: timedelta) -> list[str]:
    """Rows of captures that were never registered, or that a later capture of the file has replaced.

    A file date whose data files hold as many rows as the registry says has none of them, which the log tells.
    Only others are read.
    """
    if not handle.file_uris():
        return []
    files = _files(handle, keep)
    registry = tables.read(EXPORT_FILES).filter(pl.col("status") == "read").collect()
    registered = registry.group_by(pl.col("file_date").cast(pl.String)).agg(wanted=pl.col(_KINDS[handle.table]).sum())
    suspects = (
        files.group_by("file_date")
        .agg(pl.col("rows").sum())
        .join(registered, on="file_date", how="left")
        .filter(pl.col("rows") != pl.col("wanted").fill_null(0))
    )
    predicates = []
    for day in suspects["file_date"].sort():
        old = files.filter((pl.col("file_date") == day) & pl.col("is_old"))["path"].to_list()
        if not old:
            continue
        captures = (
            pl.scan_parquet(handle.storage.paths(handle.table.name, old), glob=False, hive_partitioning=False)
            .select("file_id", "capture_id")
            .unique()
            .collect()
        )
        dead = captures.join(registry, on=["file_id", "capture_id"], how="anti")
        by_capture = dead.group_by("capture_id").agg(pl.col("file_id").sort()).sort("capture_id")
        predicates += [
            f"file_date = '{day}' AND capture_id = '{capture}' AND {is_one_of('file_id', file_ids)}"
            for capture, file_ids in by_capture.iter_rows()
        ]
    return predicates


def _unused_snapshots(tables: Tables, handle: StoredTable, keep: timedelta) -> list[str]:
    """Snapshots that no as-of date can use: another one was taken later on the same day.

    Not the oldest one, which earlier as-of dates use, and none of a day that ended within the time to keep. Which
    snapshot an as-of date uses: docs/tables-and-metrics.md, "Restating".
    """
    taken = scan(handle).select("snapshot_id", "taken_at").sort("taken_at").collect()
    used = tables.read(AS_OF_DATES).select("snapshot_id").collect()
    today = (datetime.now(UTC) - keep).date()
    unused = (
        taken.with_columns(day=pl.col("taken_at").dt.date(), number=pl.int_range(pl.len()))
        .filter(
            (pl.col("number") > 0) & (pl.col("day") < today) & (pl.col("number") < pl.col("number").max().over("day"))
        )
        .join(used, on="snapshot_id", how="anti")
    )
    ids = unused["snapshot_id"].to_list()
    return [is_one_of("snapshot_id", ids)] if ids else []


def _sentence(done: Maintained) -> str:
    if done.skipped:
        return f"{done.table}: left to the next time, because runs were writing to it"
    return (
        f"{done.table}: {done.files_before:,} files, now {done.files_after:,}; {done.removed_rows:,} rows removed; "
        f"{done.deleted_files:,} old files deleted, {done.freed_bytes:,} bytes freed"
    )
