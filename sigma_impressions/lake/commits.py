"""Change what a table holds: add files and rows, replace and delete rows, each in one commit.

The data files are written here, by polars, and committed through the log. Delta Lake's own writer is not used: it
cannot work in a folder with brackets in its path, and notes the smallest and largest text of each column in the log.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from sigma_impressions.lake.digests import named_by_content
from sigma_impressions.lake.schemas import Table
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.storage import clear_errors
from sigma_impressions.lake.tables import (
    WORK_FOLDER,
    StoredTable,
    clear_log_errors,
    files_of,
    former_columns,
    kept,
    local_paths,
    scan_files,
)

_MOST_FILES = 40
"""Files of an unpartitioned table, all of which are small, before they are joined to one."""

_GOOD_BYTES = 100_000_000
"""Data files below this size are joined to ones of about this size."""

# Of zstd 3, the usual level, takes a third longer and saves a twelfth.
_PACKED: Mapping[str, Any] = {"compression": "zstd", "compression_level": 1}
"""How data files are written."""

_FILES_AT_ONCE = 20
"""Data files that are written anew before they are committed: what a run in between makes vain."""

_FILE = "path of the data file"
"""Name of a column that no table has."""

_RACES = 50
"""Commits of others that may come before one, as long as they do not touch the same rows."""

_Actions = Sequence[AddAction | RemoveAction]


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file in the work folder that waits to become part of a table.

    `partition` gives the values of the table's partition columns, which the file itself does not hold: dates, IDs and
    fingerprints, without a character that a path in the log would have to escape.
    """

    path: Path
    partition: Mapping[str, str]
    rows: int


def append_files(
    handle: StoredTable, staged: Sequence[StagedFile], is_still_right: Callable[[], bool] = lambda: True
) -> None:
    """Move staged Parquet files into the table and commit them together.

    Rows become visible to readers only when a registry names them, so no commit of others is in the way. Raises
    `CommitFailedError` if after one of these they are not right any more; the handle is at its version then.
    """
    if staged:
        _commit_after_others(handle, _adopted(handle, staged), is_still_right)


def append_rows(handle: StoredTable, rows: pl.DataFrame, is_still_right: Callable[[], bool] = lambda: True) -> None:
    """Append a small frame, for tables whose readers tolerate a row that two processes both added."""
    with _staged_rows(handle, rows) as staged:
        append_files(handle, staged, is_still_right)
    _merge_many(handle)


def replace_rows(handle: StoredTable, column: str, values: Iterable[object], rows: pl.DataFrame) -> None:
    """Replace every row whose `column` is one of `values` by `rows`, in one commit.

    Raises `CommitFailedError` when another process has touched those rows since the handle was opened.
    """
    wanted = pl.Series(list(values), dtype=handle.table.schema[column])
    touched = _files_with(handle, column, wanted)
    if column not in handle.table.partition_by and touched.height:
        kept = scan_files(handle, touched).filter(~pl.col(column).is_in(wanted.implode())).collect()
        rows = pl.concat([kept, _conforming(rows, handle.table)])
    with _staged_rows(handle, rows) as staged:
        actions: _Actions = [*_adopted(handle, staged), *_removals(handle.table, touched)]
        if not actions:
            return
        _commit_after_others(handle, actions, lambda: _files_with(handle, column, wanted).equals(touched))
    _merge_many(handle)


def delete_rows(handle: StoredTable, files: pl.DataFrame, condition: pl.Expr | None = None) -> int:
    """Delete those rows of some data files that meet a condition, or all, in one commit; how many there were.

    `files` are some of those that `files_of` gives. Raises `CommitFailedError` when another process has removed one of
    them since the handle was opened.
    """
    if condition is None:
        replace_files(handle, files, [])
        return int(files["rows"].sum())
    deleted = 0
    touched, staged = [], []
    is_kept = ~condition.fill_null(False)
    with scratch_folder(handle.storage.local / WORK_FOLDER) as scratch:
        for file in files.iter_rows(named=True):
            target = scratch / f"{uuid.uuid4().hex}.parquet"
            kept = scan_files(handle, pl.DataFrame([file])).filter(is_kept)
            rows = kept.select(pl.len()).collect().item()
            if rows == file["rows"]:
                continue
            deleted += file["rows"] - rows
            touched.append(file["path"])
            if rows:
                kept.sink_parquet(target, **_PACKED)
                staged.append(StagedFile(target, partition_of(handle.table, file), rows))
        replace_files(handle, files.filter(pl.col("path").is_in(touched)), staged)
    return deleted


def replace_files(handle: StoredTable, files: pl.DataFrame, staged: Sequence[StagedFile]) -> None:
    """Put staged files in the place of data files, which are some of those that `files_of` gives, in one commit.

    Raises `CommitFailedError` when another process has removed one of these since the handle was opened.
    """
    if files.height:
        _commit(handle, [*_adopted(handle, staged), *_removals(handle.table, files)])


def merge_files(handle: StoredTable) -> None:
    """Join the small data files of each partition, in one commit; what the table holds stays the same.

    Raises `CommitFailedError` when another process has removed one of them since the handle was opened.
    """
    with scratch_folder(handle.storage.local / WORK_FOLDER) as scratch:
        merged, staged = [], []
        for group in _mergeable(files_of(handle), handle.table.partition_by):
            staged.append(_written_anew(handle, group, scratch))
            merged.append(group)
        if merged:
            replace_files(handle, pl.concat(merged), staged)


def drop_former_columns(handle: StoredTable) -> None:
    """Write those data files anew that hold columns which the table has no more; its rows stay as they are.

    Raises `CommitFailedError` when another process has removed one of them since the handle was opened; what was
    committed until then need not be done again.
    """
    for files in files_of(handle).iter_slices(_FILES_AT_ONCE) if former_columns(handle) else ():
        held = [pl.read_parquet_schema(path).keys() for path in local_paths(handle, files)]
        former = files.filter(pl.Series([bool(names - handle.table.schema.keys()) for names in held]))
        with scratch_folder(handle.storage.local / WORK_FOLDER) as scratch:
            staged = [_written_anew(handle, file, scratch) for file in former.iter_slices(1)]
            replace_files(handle, former, staged)


def _written_anew(handle: StoredTable, files: pl.DataFrame, scratch: Path) -> StagedFile:
    """The rows of some data files, all of one partition, in one file."""
    target = scratch / f"{uuid.uuid4().hex}.parquet"
    scan_files(handle, files).sink_parquet(target, **_PACKED)
    return StagedFile(target, partition_of(handle.table, files.row(0, named=True)), int(files["rows"].sum()))


def _mergeable(files: pl.DataFrame, partition_by: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Groups of data files, each of one partition, that together are one of a good size."""
    before = pl.col("size_bytes").cum_sum() - pl.col("size_bytes")
    for partition in files.partition_by(partition_by) if partition_by else [files]:
        small = partition.filter(pl.col("size_bytes") < _GOOD_BYTES).with_columns(group=before // _GOOD_BYTES)
        yield from (group for group in small.partition_by("group") if group.height > 1)


# --- Files --------------------------------------------------------------------------------------------------------


def _files_with(handle: StoredTable, column: str, values: pl.Series) -> pl.DataFrame:
    """The data files with rows whose `column` is one of `values`."""
    if column in handle.table.partition_by:
        return files_of(handle, column, values)
    files = files_of(handle)
    if not files.height:
        return files
    rows = scan_files(handle, files, include_file_paths=_FILE)
    held = rows.filter(pl.col(column).is_in(values.implode())).select(pl.col(_FILE).unique()).collect()[_FILE]
    local = pl.Series(local_paths(handle, files), dtype=pl.String)
    return files.filter(local.is_in(held.implode()))


@contextmanager
def _staged_rows(handle: StoredTable, rows: pl.DataFrame) -> Iterator[list[StagedFile]]:
    """Rows of a table as staged files, one for each of its partitions."""
    table, rows = handle.table, _conforming(rows, handle.table)
    with scratch_folder(handle.storage.local / WORK_FOLDER) as scratch:
        staged = []
        for partition in _partitions(rows, table):
            values, target = partition_of(table, partition), scratch / f"{uuid.uuid4().hex}.parquet"
            # One at a time: a second copy of all rows would be too much.
            part = rows.filter(**partition).drop(table.partition_by)
            part.write_parquet(target, **_PACKED)
            staged.append(StagedFile(target, values, part.height))
        yield staged


def _partitions(rows: pl.DataFrame, table: Table) -> list[dict[str, Any]]:
    """The values of the partition columns that the rows hold."""
    if table.partition_by:
        return rows.select(table.partition_by).unique(maintain_order=True).to_dicts()
    return [{}] if rows.height else []


def _conforming(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    return rows.select(pl.col(name).cast(dtype) for name, dtype in table.schema.items())


def partition_of(table: Table, values: Mapping[str, Any]) -> dict[str, str]:
    """The partition of a row, or of a data file, as a staged file has it. Raises `ValueError` where a value is null."""
    if any(values[name] is None for name in table.partition_by):
        # Delta Lake could not open the table any more.
        raise ValueError(f"a row of {table.name} has no {' and '.join(table.partition_by)}")
    return {name: str(values[name]) for name in table.partition_by}


# --- Commits ------------------------------------------------------------------------------------------------------


def _adopted(handle: StoredTable, staged: Sequence[StagedFile]) -> list[AddAction]:
    """Move staged files to their places in the table's folder; the actions that make them part of it."""
    actions = [_addition(file) for file in staged]
    handle.storage.adopt(
        handle.table.name, [(file.path, action.path) for file, action in zip(staged, actions, strict=True)]
    )
    return actions


def _addition(file: StagedFile) -> AddAction:
    folders = [f"{column}={value}" for column, value in file.partition.items()]
    return AddAction(
        # A name of its own, also where another file has the same bytes.
        path="/".join([*folders, named_by_content(file.path, uuid.uuid4().hex)]),
        size=file.path.stat().st_size,
        partition_values=dict(file.partition),
        modification_time=_now(),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def _removals(table: Table, files: pl.DataFrame) -> list[RemoveAction]:
    removals = []
    for file in files.iter_rows(named=True):
        partition: dict[str, str | None] = {**partition_of(table, file)}
        path, size = file["path"], file["size_bytes"]
        removals.append(RemoveAction(path, True, _now(), size=size, partition_values=partition or None))
    return removals


def _commit(handle: StoredTable, actions: _Actions, properties: CommitProperties | None = None) -> None:
    """Commit to the table, whose handle is then at the version that this makes, or a later one.

    At the end the commit stays, whatever happens to the machine: a registry may name what it holds.
    """
    with kept(handle):
        with clear_log_errors(handle.storage, handle.table, "writing to"):
            handle.create_write_transaction(
                list(actions),
                mode="append",
                schema=handle.schema(),
                partition_by=list(handle.table.partition_by),
                commit_properties=properties,
            )
        _refresh(handle)


def _commit_after_others(handle: StoredTable, actions: _Actions, is_still_right: Callable[[], bool]) -> None:
    """Commit to the table, whatever others commit meanwhile, as long as these actions are still right after it."""
    for _ in range(_RACES):
        try:
            _commit(handle, actions, CommitProperties(max_commit_retries=0))
            return
        except CommitFailedError:
            _refresh(handle)
            if not is_still_right():
                raise
    raise CommitFailedError(f"{_RACES} other commits to {handle.table.name} came first")


def _refresh(handle: StoredTable) -> None:
    with clear_errors(handle.storage, f"opening {handle.storage.uri(handle.table.name)}"):
        handle.update_incremental()


def _merge_many(handle: StoredTable) -> None:
    """Join the files of a small table once they are many: each commit adds one, and readers open them all."""
    if not handle.table.partition_by and files_of(handle).height > _MOST_FILES:
        # Another process that commits meanwhile goes first, and the next commit tries again.
        with suppress(CommitFailedError):
            merge_files(handle)


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)
