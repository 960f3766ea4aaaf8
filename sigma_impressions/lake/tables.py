"""The Delta Lake tables of the pipeline: where each one lives, how it is opened and read.

Three *registries* (`export_files`, `event_dates`, `as_of_dates`, and `resource_snapshots` beside them) are the
commit points: data is written first, its row in the registry last, and readers take only what a registry
names. What a killed process left behind is therefore never seen, and is replaced when its work is done again.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import DamagedError, InputsChanged, TablesError
from sigma_impressions.lake.schemas import EXPORT_FILES, SCHEMA_VERSION, Table
from sigma_impressions.lake.storage import LocalStorage, Storage, clear_errors
from sigma_impressions.lake.upgrades import upgrade

WORK_FOLDER = ".work"
"""Folder of the storage location where runs keep their temporary files."""

_CHECKPOINT_INTERVAL = 10
"""Commits from one checkpoint of a table's log to the next. Opening a table reads all commits since the last one:
with Delta's usual 100 that takes most of the time of a run that finds nothing new."""

_CONFLICTS = Backoff(attempts=50, first=0.05, longest=1.0)

_SCHEMA_VERSION_KEY = "sigma_impressions.schema_version"

T = TypeVar("T")


_EDITION_KEY = "sigma_impressions.edition"
"""Table property that changes when stored rows were edited in place."""

_WITHOUT_FORMER_COLUMNS_KEY = "sigma_impressions.without_former_columns"
"""Table property: the schema version since which no data file holds a column that the table has no more."""

_SOURCE_KEY = "sigma_impressions.source"
"""Property of the manifest: the bucket and prefix whose export files it holds."""


class StoredTable(DeltaTable):
    """An opened table, at one version; it knows its description, and the storage that its files lie in."""

    def __init__(self, storage: Storage, table: Table) -> None:
        super().__init__(storage.uri(table.name), storage_options=storage.options())
        self.storage = storage
        self.table = table


@dataclass(frozen=True)
class Held:
    """What a derived table holds of a day: the fingerprints of its data files, and their rows."""

    fingerprints: frozenset[str] = frozenset()
    rows: int = 0


class Tables:
    """The tables of one storage location, by default a local directory; created when they are first opened."""

    def __init__(self, storage: Path | Storage) -> None:
        self.storage: Storage = LocalStorage(storage) if isinstance(storage, Path) else storage
        self._reading: dict[Table, StoredTable] = {}
        self._registries: dict[Table, tuple[int, pl.DataFrame]] = {}
        self._held: dict[Table, tuple[int, dict[str, Held]]] = {}
        self._intact: dict[Table, set[str]] = {}

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
        with clear_log_errors(self.storage, table):
            try:
                handle = StoredTable(self.storage, table)
            except TableNotFoundError:
                handle = self._create(table)
        return handle if stored_version(handle) == SCHEMA_VERSION else self._upgraded(table)

    def exists(self, table: Table) -> bool:
        """Whether the table is there; to look at it creates it otherwise."""
        with clear_errors(self.storage, f"opening {self.location(table)}"):
            return DeltaTable.is_deltatable(self.location(table), storage_options=self.storage.options())

    def as_it_is(self, table: Table) -> StoredTable | None:
        """The table at its newest version, neither created nor upgraded, for whoever only looks; None if there is none.

        Raises `TablesError` for one of a later schema version; what an older one lacks is null.
        """
        try:
            with clear_log_errors(self.storage, table):
                handle = StoredTable(self.storage, table)
        except TableNotFoundError:
            return None
        stored_version(handle)
        return handle

    def newest(self, table: Table) -> StoredTable:
        """The table at its newest version, to read from at once; not to commit with, see `open`.

        The next call brings the same handle up to date, which takes a tenth of the time of opening the table.
        """
        handle = self._reading.get(table)
        if handle is None:
            handle = self._reading[table] = self.open(table)
        elif self.storage.may_be_newer(table.name, handle.version()):
            with clear_log_errors(self.storage, table):
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
        self.storage.keep_commits(table.name, [0])
        return StoredTable(self.storage, table)

    def _upgraded(self, table: Table) -> StoredTable:
        """The table after the steps up from its version, each of which may be done, or half done, already."""

        def attempt() -> StoredTable:
            handle = StoredTable(self.storage, table)
            version = int(handle.metadata().configuration[_SCHEMA_VERSION_KEY])
            if version < SCHEMA_VERSION:
                with kept(handle):
                    upgrade(handle, table.name, table.schema, version, SCHEMA_VERSION)
                # Last, so that an upgrade that was interrupted is begun again.
                set_property(handle, _SCHEMA_VERSION_KEY, str(SCHEMA_VERSION))
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

    def held(self, table: Table) -> dict[str, Held]:
        """What the newest version of a derived table holds, per first partition value (ISO date), as its log says.

        A data file that is missing or cut counts as not there. Each is looked at once.
        """
        handle = self.newest(table)
        version, found = self._held.get(table, (None, None))
        if found is None or version != handle.version():
            day = table.partition_by[0]
            files = self._intact_files(handle)
            of_days = files.group_by(day).agg(pl.col("fingerprint"), pl.col("rows").sum())
            found = {str(value): Held(frozenset(texts), rows) for value, texts, rows in of_days.iter_rows()}
            self._held[table] = (handle.version(), found)
        return found

    def look_again(self) -> None:
        """Forget which data files were found as they should be."""
        self._held.clear()
        self._intact.clear()

    def _intact_files(self, handle: StoredTable) -> pl.DataFrame:
        files, seen = files_of(handle), self._intact.setdefault(handle.table, set())
        sizes = {file: size for file, size in sizes_of(files).items() if file not in seen}
        seen |= sizes.keys() - self.storage.damaged(handle.table.name, sizes).keys()
        return files.filter(pl.col("path").is_in(seen))

    def mark_edited(self) -> None:
        """Note that stored rows were edited in place, so that what was published of them is published anew."""

        def attempt() -> None:
            set_property(self.open(EXPORT_FILES), _EDITION_KEY, uuid.uuid4().hex)

        with clear_errors(self.storage, f"writing to {self.location(EXPORT_FILES)}"):
            retry_conflicts(attempt)

    def edition(self) -> str:
        """A text that differs after each edit of stored rows; empty before the first."""
        return str(self.newest(EXPORT_FILES).metadata().configuration.get(_EDITION_KEY, ""))


def former_columns(handle: StoredTable) -> set[str]:
    """The columns that a table of an earlier version had, and has no more: the log keeps them, and they are null."""
    return {column.name for column in handle.schema().fields} - handle.table.schema.keys()


def may_hold_former_columns(handle: StoredTable) -> bool:
    """Whether data files may hold columns that the table has no more: `note_without_former_columns` was not called."""
    noted = handle.metadata().configuration.get(_WITHOUT_FORMER_COLUMNS_KEY)
    return bool(former_columns(handle)) and noted != str(SCHEMA_VERSION)


def note_without_former_columns(handle: StoredTable) -> None:
    """Note that no data file holds a column that the table has no more, so that nobody looks into them again."""
    set_property(handle, _WITHOUT_FORMER_COLUMNS_KEY, str(SCHEMA_VERSION))


def source_of(manifest: StoredTable) -> str | None:
    """The source whose export files an opened manifest holds, as `note_source` noted it; None before."""
    return manifest.metadata().configuration.get(_SOURCE_KEY)


def note_source(manifest: StoredTable, source: str) -> None:
    """Note whose export files an opened manifest holds. Who has opened it before cannot commit to it any more.

    Raises `CommitFailedError` when another process has committed to it since it was opened: files may have been added.
    """
    set_property(manifest, _SOURCE_KEY, source, CommitProperties(max_commit_retries=0))


def set_property(handle: StoredTable, key: str, value: str, properties: CommitProperties | None = None) -> None:
    """Set a property of an opened table. Raises `CommitFailedError` as Delta Lake does."""
    with kept(handle):
        handle.alter.set_table_properties({key: value}, raise_if_not_exists=False, commit_properties=properties)


@contextmanager
def kept(handle: StoredTable) -> Iterator[None]:
    """Inside, the table is committed to; at the end these commits stay, whatever happens to the machine."""
    before = handle.version()
    yield
    handle.storage.keep_commits(handle.table.name, range(before + 1, handle.version() + 1))


def shorten_log(handle: StoredTable) -> None:
    """Write a checkpoint of the log, and delete the entries that are older than the table keeps them."""
    handle.create_checkpoint()
    # The checkpoint is all that is left of them: it stays before they go.
    handle.storage.keep_commits(handle.table.name, [handle.version()])
    handle.cleanup_metadata()


def stored_version(handle: StoredTable) -> int:
    """The schema version of an opened table. Raises `TablesError` if this program cannot work with it."""
    found = handle.metadata().configuration.get(_SCHEMA_VERSION_KEY)
    if found is None or not found.isdecimal() or int(found) > SCHEMA_VERSION:
        raise TablesError(
            f"The table {handle.storage.uri(handle.table.name)} has schema version {found}, this program works with "
            f"{SCHEMA_VERSION}. Use the version of Sigma Impressions that wrote it, or another storage."
        )
    return int(found)


def scan(handle: StoredTable, column: str | None = None, values: Iterable[object] = ()) -> pl.LazyFrame:
    """All rows of an opened table, or those of the partitions whose `column` is one of `values`."""
    # Not polars' scan of Delta tables: it reads no local copies of what lies in a bucket, and imports pyarrow.
    schema, partitions = handle.table.schema, list(handle.table.partition_by)
    files = files_of(handle, column, values)
    if not files.height:
        return pl.LazyFrame(schema=schema)
    if not partitions:
        return scan_files(handle, files)
    # The log says what the partitions are; above the table, too, a folder may be called like one.
    return pl.concat(
        scan_files(handle, of_one)
        .with_columns(pl.lit(value, schema[name]).alias(name) for name, value in zip(partitions, held, strict=True))
        .select(schema.names())
        for held, of_one in files.group_by(partitions, maintain_order=True)
    )


def scan_files(handle: StoredTable, files: pl.DataFrame, include_file_paths: str | None = None) -> pl.LazyFrame:
    """The rows of some data files of an opened table, as `files_of` gives them, without its partition columns.

    Of a table in a bucket local copies are read, fetched now if they are not here yet; `include_file_paths` names a
    column for their paths.
    """
    table = handle.table
    return pl.scan_parquet(
        local_paths(handle, files),
        glob=False,
        hive_partitioning=False,
        schema={name: dtype for name, dtype in table.schema.items() if name not in table.partition_by},
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths=include_file_paths,
    )


def local_paths(handle: StoredTable, files: pl.DataFrame) -> list[str]:
    """Local paths of some of the data files that `files_of` gives. Raises `DamagedError` if one is missing or cut."""
    return handle.storage.paths(handle.table.name, sizes_of(files))


def sizes_of(files: pl.DataFrame) -> dict[str, int]:
    """The bytes of data files as the log has them, by their paths; `files` are some of those that `files_of` gives."""
    return dict(files.select("path", "size_bytes").iter_rows())


def partition_fingerprints(handle: StoredTable) -> dict[str, set[str]]:
    """The fingerprints that a derived table holds, per first partition value (ISO date), from its log alone."""
    found: dict[str, set[str]] = {}
    for value, fingerprint in files_of(handle).select(handle.table.partition_by[0], "fingerprint").iter_rows():
        found.setdefault(str(value), set()).add(fingerprint)
    return found


_OF_A_FILE = dict.fromkeys(("size_bytes", "rows", "modification_time"), pl.Int64)


def files_of(handle: StoredTable, column: str | None = None, values: Iterable[object] = ()) -> pl.DataFrame:
    """The data files of an opened table, of the partitions named if `column` is given, as its log describes them.

    Columns: `path` in the table's folder, `size_bytes`, `rows`, `modification_time` in milliseconds, and the columns
    that the table is partitioned by.
    """
    # Not by way of pyarrow, which would import pandas where it is installed, and that takes half a second.
    listed = pl.DataFrame(handle.get_add_actions(flatten=True))
    partitions = {name: handle.table.schema[name] for name in handle.table.partition_by}
    schema: dict[str, pl.DataType | type[pl.DataType]] = {"path": pl.String, **_OF_A_FILE, **partitions}
    if not listed.height:
        return pl.DataFrame(schema=schema)
    named = {"num_records": "rows", **{f"partition.{name}": name for name in partitions}}
    files = listed.rename(named).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    if column is None:
        return files
    return files.filter(pl.col(column).cast(pl.String).is_in([str(value) for value in values]))


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


_BROKEN_LOG = (
    "metadata or protocol|Json error|contiguous commit|Invalid Checkpoint|Gap between|Parquet error|"
    "Invalid table version"
)
"""What Delta Lake says of a log whose entries are missing or cut; all that it cannot do has the same class."""


@contextmanager
def clear_log_errors(storage: Storage, table: Table, doing: str = "opening") -> Iterator[None]:
    """As `clear_errors`, for opening or changing a table: a log that is broken becomes a `DamagedError`."""
    location = storage.uri(table.name)
    try:
        with clear_errors(storage, f"{doing} {location}", but=_BROKEN_LOG):
            yield
    except DeltaError as error:
        if re.search(_BROKEN_LOG, str(error)) is None:
            raise
        raise _broken_log(location) from None


def require_newest_entry(handle: StoredTable) -> None:
    """Raise `DamagedError` if a table has no entry of its newest version, which only a checkpoint holds.

    It can be read then, but not changed.
    """
    location = handle.storage.uri(handle.table.name)
    with clear_log_errors(handle.storage, handle.table):
        if not handle.history(1):
            raise _broken_log(location)


def _broken_log(location: str) -> DamagedError:
    return DamagedError(f"the log of {location} (_delta_log) lacks entries, or has broken ones")
