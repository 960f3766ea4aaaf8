"""The Delta Lake tables of the pipeline: where each one lives, how it is read and committed.

Three *registries* (`export_files`, `event_dates`, `as_of_dates`, and `resource_snapshots` beside them) are the
commit points: data is written first, its row in the registry last, and readers take only what a registry
names. What a killed process left behind is therefore never seen, and is replaced when its work is done again.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import polars as pl
from deltalake import DeltaTable, Schema, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import InputsChanged, TablesError
from sigma_impressions.lake.schemas import EXPORT_FILES, SCHEMA_VERSION, Table
from sigma_impressions.lake.storage import LocalStorage, Storage, clear_errors
from sigma_impressions.lake.upgrades import upgrade

if TYPE_CHECKING:
    import pyarrow as pa

WORK_FOLDER = ".work"
"""Folder of the storage location where runs keep their temporary files."""

_CHECKPOINT_INTERVAL = 10
"""Commits from one checkpoint of a table's log to the next. Opening a table reads all commits since the last one:
with Delta's usual 100 that takes most of the time of a run that finds nothing new."""

_MOST_FILES = 40
"""Files of an unpartitioned table, all of which are small, before they are joined to one."""

_CONFLICTS = Backoff(attempts=50, first=0.05, longest=1.0)

_SCHEMA_VERSION_KEY = "sigma_impressions.schema_version"

T = TypeVar("T")


_EDITION_KEY = "sigma_impressions.edition"
"""Table property that changes when stored rows were edited in place."""


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file in the work folder that waits to become part of a table.

    `partition` gives the values of the table's partition columns, which the file itself does not hold.
    """

    path: Path
    partition: Mapping[str, str]
    rows: int


class StoredTable(DeltaTable):
    """An opened table, at one version; it knows its description, and the storage that its files lie in."""

    def __init__(self, storage: Storage, table: Table) -> None:
        super().__init__(storage.uri(table.name), storage_options=storage.options())
        self.storage = storage
        self.table = table


class Tables:
    """The tables of one storage location, by default a local directory; created when they are first opened."""

    def __init__(self, storage: Path | Storage) -> None:
        self.storage: Storage = LocalStorage(storage) if isinstance(storage, Path) else storage
        self._reading: dict[Table, StoredTable] = {}
        self._registries: dict[Table, tuple[int, pl.DataFrame]] = {}
        self._fingerprints: dict[Table, tuple[int, dict[str, set[str]]]] = {}

    @property
    def root(self) -> Path:
        """Folder of this machine with the work folder and the published database.

        For a local storage the tables lie in it too; for a remote one it is beside the cache.
        """
        return self.storage.local

    def location(self, table: Table) -> str:
        """Where a table lies: a path or a URI, which may be shown."""
        return self.storage.uri(table.name)

    def open(self, table: Table) -> StoredTable:
        """The table at its newest version; a table of an older schema version is brought up to this one.

        Open the tables that a decision depends on *before* the inputs of that decision are read, and commit
        with the same handle: a commit in between by another process is then found as a conflict.
        """
        with clear_errors(self.storage, f"opening {self.location(table)}"):
            try:
                handle = StoredTable(self.storage, table)
            except TableNotFoundError:
                handle = self._create(table)
        found = handle.metadata().configuration.get(_SCHEMA_VERSION_KEY)
        if found == str(SCHEMA_VERSION):
            return handle
        if found is None or not found.isdecimal() or int(found) > SCHEMA_VERSION:
            raise TablesError(
                f"The table {self.location(table)} has schema version {found}, this program works with "
                f"{SCHEMA_VERSION}. Use the version of Sigma Impressions that wrote it, or another storage."
            )
        return self._upgraded(table)

    def newest(self, table: Table) -> StoredTable:
        """The table at its newest version, to read from at once; not to commit with, see `open`.

        The next call brings the same handle up to date, which takes a tenth of the time of opening the table.
        """
        handle = self._reading.get(table)
        if handle is None:
            handle = self._reading[table] = self.open(table)
        else:
            with clear_errors(self.storage, f"opening {self.location(table)}"):
                handle.update_incremental()
        return handle

    def _create(self, table: Table) -> StoredTable:
        location = self.location(table)
        if isinstance(self.storage, LocalStorage):
            Path(location).mkdir(parents=True, exist_ok=True)
        # A conflict here means that another process has created the table just now.
        with suppress(CommitFailedError):
            DeltaTable.create(
                location,
                schema=table.schema,
                mode="ignore",
                partition_by=list(table.partition_by) or None,
                name=table.name,
                description=table.description,
                configuration={
                    _SCHEMA_VERSION_KEY: str(SCHEMA_VERSION),
                    "delta.checkpointInterval": str(_CHECKPOINT_INTERVAL),
                },
                raise_if_key_not_exists=False,
                storage_options=self.storage.options(),
            )
        return StoredTable(self.storage, table)

    def _upgraded(self, table: Table) -> StoredTable:
        """The table after the steps up from its version, each of which may be done, or half done, already."""

        def attempt() -> StoredTable:
            handle = StoredTable(self.storage, table)
            version = int(handle.metadata().configuration[_SCHEMA_VERSION_KEY])
            if version < SCHEMA_VERSION:
                upgrade(handle, table.name, table.schema, version, SCHEMA_VERSION)
                # Last, so that an upgrade that was interrupted is begun again.
                handle.alter.set_table_properties({_SCHEMA_VERSION_KEY: str(SCHEMA_VERSION)}, raise_if_not_exists=False)
            return handle

        with clear_errors(self.storage, f"upgrading {self.location(table)}"):
            return retry_conflicts(attempt)

    def read(self, table: Table, column: str | None = None, values: Iterable[object] = ()) -> pl.LazyFrame:
        """All rows of the table's newest version, or those of the partitions named, as a lazy frame."""
        return scan(self.newest(table), column, values)

    def registry(self, table: Table) -> pl.DataFrame:
        """All rows of the newest version of a small table, which are read once for each version."""
        handle = self.newest(table)
        version, rows = self._registries.get(table, (None, None))
        if rows is None or version != handle.version():
            rows = scan(handle).collect()
            self._registries[table] = (handle.version(), rows)
        return rows

    def fingerprints(self, table: Table) -> dict[str, set[str]]:
        """The fingerprints that the newest version of a derived table holds, see `partition_fingerprints`."""
        handle = self.newest(table)
        version, found = self._fingerprints.get(table, (None, None))
        if found is None or version != handle.version():
            found = partition_fingerprints(handle, table.partition_by[0])
            self._fingerprints[table] = (handle.version(), found)
        return found

    def append(self, table: Table, staged: Sequence[StagedFile]) -> None:
        """Move staged Parquet files into the table and commit them together.

        Rows become visible to readers only when a registry names them, so an append needs no conflict check.
        """
        if not staged:
            return
        handle = self.open(table)
        actions: list[AddAction | RemoveAction] = [add_action(file) for file in staged]
        self.storage.adopt(table.name, [(file.path, action.path) for file, action in zip(staged, actions, strict=True)])
        with clear_errors(self.storage, f"writing to {self.location(table)}"):
            handle.create_write_transaction(
                actions,
                mode="append",
                schema=handle.schema(),
                partition_by=list(table.partition_by),
            )

    def mark_edited(self) -> None:
        """Note that stored rows were edited in place, so that what was published of them is published anew."""

        def attempt() -> None:
            handle = self.open(EXPORT_FILES)
            handle.alter.set_table_properties({_EDITION_KEY: uuid.uuid4().hex}, raise_if_not_exists=False)

        with clear_errors(self.storage, f"writing to {self.location(EXPORT_FILES)}"):
            retry_conflicts(attempt)

    def edition(self) -> str:
        """A text that differs after each edit of stored rows; empty before the first."""
        return str(self.newest(EXPORT_FILES).metadata().configuration.get(_EDITION_KEY, ""))


def add_action(file: StagedFile) -> AddAction:
    """The action that makes a staged file part of a table, once it lies there."""
    folders = [f"{column}={value}" for column, value in file.partition.items()]
    return AddAction(
        path="/".join([*folders, file.path.name]),
        size=file.path.stat().st_size,
        partition_values=dict(file.partition),
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": file.rows}),
    )


def scan(handle: StoredTable, column: str | None = None, values: Iterable[object] = ()) -> pl.LazyFrame:
    """All rows of an opened table, or those of the partitions whose `column` is one of `values`."""
    # Not polars' scan of Delta tables: it reads no local copies of what lies in a bucket, and imports pyarrow.
    schema, partitions = handle.table.schema, handle.table.partition_by
    files = data_files(handle, column, values)
    if not files:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        files,
        glob=False,
        schema={name: dtype for name, dtype in schema.items() if name not in partitions},
        missing_columns="insert",
        hive_partitioning=bool(partitions),
        hive_schema={name: schema[name] for name in partitions} or None,
    ).select(schema.names())


def append_rows(handle: StoredTable, table: Table, rows: pl.DataFrame) -> None:
    """Append a small frame, for tables whose readers tolerate a row that two processes both added."""
    with clear_errors(handle.storage, f"writing to {handle.storage.uri(table.name)}"):
        write_deltalake(handle, _conform(rows, table), mode="append")
        if not table.partition_by:
            _merge_files(handle)


def replace(handle: StoredTable, table: Table, column: str, values: Iterable[object], rows: pl.DataFrame) -> None:
    """Replace every row whose `column` is one of `values` by `rows`, in one commit.

    Raises `CommitFailedError` when another process has touched those rows since the handle was opened.
    """
    with clear_errors(handle.storage, f"writing to {handle.storage.uri(table.name)}"):
        write_deltalake(
            handle,
            _conform(rows, table),
            mode="overwrite",
            predicate=is_one_of(column, values),
            # Delta Lake's own compression, which it leaves out as soon as any property is given.
            writer_properties=WriterProperties(compression="SNAPPY", max_row_group_size=table.rows_per_group),
        )
        if not table.partition_by:
            _merge_files(handle)


def is_one_of(column: str, values: Iterable[object]) -> str:
    """The predicate of the rows whose `column` is one of `values`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return f"{column} IN ({listed})"


def delete_rows(handle: StoredTable, predicate: str) -> int:
    """Delete rows of an opened table, in one commit; how many there were."""
    with clear_errors(handle.storage, f"writing to {handle.storage.uri(handle.table.name)}"):
        return int(handle.delete(predicate)["num_deleted_rows"] or 0)


def _merge_files(handle: StoredTable) -> None:
    """Join the files of a small table once they are many: each commit adds one, and readers open them all."""
    if len(handle.file_uris()) > _MOST_FILES:
        # Another process that commits meanwhile goes first, and the next commit tries again.
        with suppress(CommitFailedError):
            handle.optimize.compact()


def _conform(rows: pl.DataFrame, table: Table) -> pa.Table:
    import pyarrow as pa  # here, as a tick of the sensor, which writes nothing, has no need of it

    return rows.to_arrow().select(table.schema.names()).cast(pa.schema(Schema.from_arrow(table.schema)))


def partition_fingerprints(handle: DeltaTable, column: str) -> dict[str, set[str]]:
    """The fingerprints that a derived table holds, per partition value (ISO date), from its log alone."""
    found: dict[str, set[str]] = {}
    files = added_files(handle)
    if files.height:
        for value, fingerprint in files.select(f"partition.{column}", "partition.fingerprint").iter_rows():
            found.setdefault(str(value), set()).add(fingerprint)
    return found


def added_files(handle: DeltaTable) -> pl.DataFrame:
    """The data files of an opened table, as its log describes them; without columns if there is none."""
    # Not by way of pyarrow, which would import pandas where it is installed, and that takes half a second.
    return pl.DataFrame(handle.get_add_actions(flatten=True))


def data_files(handle: StoredTable, column: str | None = None, values: Iterable[object] = ()) -> list[str]:
    """Local paths of the Parquet files of an opened table, of the partitions named if `column` is given.

    Of a table in a bucket they are copies, fetched now if they are not here yet.
    """
    if column is None:
        found = handle.file_uris()
    else:
        wanted = [str(value) for value in values]
        found = handle.file_uris(partition_filters=[(column, "in", wanted)]) if wanted else []
    if isinstance(handle.storage, LocalStorage):
        return list(found)
    # No part of a file's path below the table's folder can be the table's name.
    return handle.storage.paths(handle.table.name, [uri.rsplit(f"/{handle.table.name}/", 1)[1] for uri in found])


def retry_conflicts(attempt: Callable[[], T], backoff: Backoff = _CONFLICTS) -> T:
    """Run `attempt` until no other process's commit gets in between.

    `attempt` looks at the tables anew each time, so the work that the other process has done is not repeated.
    """
    for failures in range(1, backoff.attempts):
        try:
            return attempt()
        except (CommitFailedError, InputsChanged):
            backoff.pause(failures)
    return attempt()
