"""The Delta Lake tables of the pipeline: what each one holds, where it lives, how it is read and committed.

Three *registries* (`export_files`, `event_dates`, `as_of_dates`, and `resource_snapshots` beside them) are the
commit points: data is written first, its row in the registry last, and readers take only what a registry
names. What a killed process left behind is therefore never seen, and is replaced when its work is done again.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction

from sigma_impressions.windows import WINDOW_DAYS

SCHEMA_VERSION = 1
"""Version of all table schemas; stored with each table, so that an older or newer one is recognised."""

WORK_FOLDER = ".work"
"""Folder of the storage location where runs keep their temporary files."""

_SCHEMA_VERSION_KEY = "sigma_impressions.schema_version"
_UTC_TIME = pa.timestamp("us", tz="UTC")

T = TypeVar("T")


class TablesError(Exception):
    """The storage location holds something that this version cannot work with; the message says what to do."""


class InputsChanged(Exception):
    """Another process has rebuilt what this one was about to read; look again and redo."""


@dataclass(frozen=True)
class Table:
    """One Delta table: its name (also its folder), columns, partition columns and what a row means."""

    name: str
    description: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


RAW_EXPORT_FILES = Table(
    "raw_export_files",
    "The manifest: one row per export file (key and version) that a listing has shown, kept for good.",
    _schema(
        file_date=pa.date32(),
        file_id=pa.string(),
        bucket=pa.string(),
        key=pa.string(),
        version=pa.string(),
        size=pa.int64(),
        last_modified=_UTC_TIME,
        first_seen_at=_UTC_TIME,
    ),
)
EXPORT_FILES = Table(
    "export_files",
    "Registry of captured export files: read or refused, with exact row counts and the event dates held.",
    _schema(
        file_id=pa.string(),
        capture_id=pa.string(),
        bucket=pa.string(),
        key=pa.string(),
        version=pa.string(),
        size=pa.int64(),
        last_modified=_UTC_TIME,
        file_date=pa.date32(),
        status=pa.string(),
        reason=pa.string(),
        detail=pa.string(),
        rows=pa.int64(),
        accepted=pa.int64(),
        rejected=pa.int64(),
        skipped=pa.int64(),
        event_dates=pa.list_(pa.date32()),
        warnings=pa.list_(pa.string()),
        rules_fingerprint=pa.string(),
        captured_at=_UTC_TIME,
    ),
)
NORMALIZED_IMPRESSIONS = Table(
    "normalized_impressions",
    "Accepted rows of the export files, typed, each with its file and row number.",
    _schema(
        file_date=pa.date32(),
        file_id=pa.string(),
        capture_id=pa.string(),
        row_number=pa.int64(),
        request_time=_UTC_TIME,
        event_date=pa.date32(),
        user_email=pa.string(),
        workbook_url_id=pa.string(),
        element_id=pa.string(),
        count=pa.int64(),
        event_id=pa.string(),
    ),
    partition_by=("file_date",),
)
REJECTED_ROWS = Table(
    "rejected_rows",
    "Rows that cannot be an impression, each with its file, row number, reason and text.",
    _schema(
        file_date=pa.date32(),
        file_id=pa.string(),
        capture_id=pa.string(),
        row_number=pa.int64(),
        reason=pa.string(),
        text=pa.string(),
    ),
    partition_by=("file_date",),
)
DAILY_IMPRESSIONS = Table(
    "daily_impressions",
    "Impressions counted once, per event date, workbook, element and user.",
    _schema(
        event_date=pa.date32(),
        fingerprint=pa.string(),
        workbook_url_id=pa.string(),
        element_id=pa.string(),
        user_email=pa.string(),
        impressions=pa.int64(),
        first_impression_at=_UTC_TIME,
        last_impression_at=_UTC_TIME,
    ),
    partition_by=("event_date", "fingerprint"),
)
EVENT_DATES = Table(
    "event_dates",
    "Registry of the event dates in daily_impressions, with the fingerprint of what each was built from.",
    _schema(
        event_date=pa.date32(),
        fingerprint=pa.string(),
        export_files=pa.int64(),
        rows=pa.int64(),
        impressions=pa.int64(),
        distinct_users=pa.int64(),
        built_at=_UTC_TIME,
    ),
)
_RESOURCE: dict[str, pa.DataType] = {
    "resource_type": pa.string(),
    "workbook_id": pa.string(),
    "workbook_url_id": pa.string(),
    "element_id": pa.string(),
    "name": pa.string(),
    "workbook_name": pa.string(),
    "path": pa.string(),
    "url": pa.string(),
    "owner_email": pa.string(),
    "created_at": _UTC_TIME,
    "updated_at": _UTC_TIME,
    "is_archived": pa.bool_(),
    "is_deleted": pa.bool_(),
}
"""The columns of a resource (spec, "sigma_resources")."""

SIGMA_RESOURCES = Table(
    "sigma_resources",
    "Workbooks and elements that the upstream Sigma integration discovered, one set per snapshot.",
    _schema(
        snapshot_id=pa.string(),
        **_RESOURCE,
    ),
    partition_by=("snapshot_id",),
)
RESOURCE_SNAPSHOTS = Table(
    "resource_snapshots",
    "Registry of the snapshots in sigma_resources: when each was taken and a digest of what it holds.",
    _schema(
        snapshot_id=pa.string(),
        taken_at=_UTC_TIME,
        content_digest=pa.string(),
        workbooks=pa.int64(),
        elements=pa.int64(),
        read_from=pa.string(),
    ),
)


def _per_window(*prefixes: str) -> dict[str, pa.DataType]:
    return {f"{prefix}_{days}d": pa.int64() for days in WINDOW_DAYS for prefix in prefixes}


_USER_OF_RESOURCE = pa.struct(
    [
        ("user_email", pa.string()),
        *_per_window("impressions").items(),
        ("first_impression_at", _UTC_TIME),
        ("last_impression_at", _UTC_TIME),
    ]
)
RESOURCE_IMPRESSIONS = Table(
    "resource_impressions",
    "Usage of every workbook and element as of the end of a day, also of those that nobody viewed.",
    _schema(
        as_of_date=pa.date32(),
        fingerprint=pa.string(),
        **_RESOURCE,
        **_per_window("total_impressions", "distinct_impressions_users"),
        **_per_window("total_impressions_with_elements", "distinct_impressions_users_with_elements"),
        total_impressions_prior_14d=pa.int64(),
        first_impression_at=_UTC_TIME,
        last_impression_at=_UTC_TIME,
        used=pa.list_(_USER_OF_RESOURCE),
    ),
    partition_by=("as_of_date", "fingerprint"),
)
USER_ACTIVITY = Table(
    "user_activity",
    "Activity of every user of the last 60 days as of the end of a day.",
    _schema(
        as_of_date=pa.date32(),
        fingerprint=pa.string(),
        user_email=pa.string(),
        **_per_window("total_impressions", "distinct_workbooks", "distinct_resources", "active_days"),
        first_impression_at=_UTC_TIME,
        last_impression_at=_UTC_TIME,
    ),
    partition_by=("as_of_date", "fingerprint"),
)
UNMATCHED_IMPRESSIONS = Table(
    "unmatched_impressions",
    "Good impressions of the last 60 days whose workbook or element no resource has.",
    _schema(
        as_of_date=pa.date32(),
        fingerprint=pa.string(),
        workbook_url_id=pa.string(),
        element_id=pa.string(),
        reason=pa.string(),
        total_impressions_60d=pa.int64(),
        distinct_impressions_users_60d=pa.int64(),
        first_impression_at=_UTC_TIME,
        last_impression_at=_UTC_TIME,
    ),
    partition_by=("as_of_date", "fingerprint"),
)
AS_OF_DATES = Table(
    "as_of_dates",
    "Registry of the as-of dates whose metric tables are complete, with the figures of the conservation check.",
    _schema(
        as_of_date=pa.date32(),
        fingerprint=pa.string(),
        snapshot_id=pa.string(),
        **_per_window("impressions", "matched_impressions", "unmatched_impressions"),
        resource_rows=pa.int64(),
        user_rows=pa.int64(),
        unmatched_rows=pa.int64(),
        computed_at=_UTC_TIME,
    ),
)

METRIC_TABLES = (RESOURCE_IMPRESSIONS, USER_ACTIVITY, UNMATCHED_IMPRESSIONS)


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file in the work folder that waits to become part of a table.

    `partition` gives the values of the table's partition columns, which the file itself does not hold.
    """

    path: Path
    partition: Mapping[str, str]
    rows: int


class Tables:
    """The tables under one local storage directory; created when they are first opened."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, table: Table) -> DeltaTable:
        """The table at its newest version.

        Open the tables that a decision depends on *before* the inputs of that decision are read, and commit
        with the same handle: a commit in between by another process is then found as a conflict.
        """
        path = self.root / table.name
        if not DeltaTable.is_deltatable(str(path)):
            path.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(
                path,
                schema=table.schema,
                mode="ignore",
                partition_by=list(table.partition_by) or None,
                name=table.name,
                description=table.description,
                configuration={_SCHEMA_VERSION_KEY: str(SCHEMA_VERSION)},
                raise_if_key_not_exists=False,
            )
        handle = DeltaTable(path)
        found = handle.metadata().configuration.get(_SCHEMA_VERSION_KEY)
        if found != str(SCHEMA_VERSION):
            raise TablesError(
                f"The table {table.name} under {self.root} has schema version {found}, this program works with "
                f"{SCHEMA_VERSION}. Use the version of Sigma Impressions that wrote it, or another storage."
            )
        return handle

    def read(self, table: Table) -> pl.LazyFrame:
        """All rows of the table's newest version, as a lazy frame."""
        return scan(self.open(table))

    def append(self, table: Table, staged: Sequence[StagedFile]) -> None:
        """Move staged Parquet files into the table and commit them together.

        Rows become visible to readers only when a registry names them, so an append needs no conflict check.
        """
        if not staged:
            return
        handle = self.open(table)
        actions: list[AddAction | RemoveAction] = [self._adopt(table, file) for file in staged]
        handle.create_write_transaction(
            actions,
            mode="append",
            schema=Schema.from_arrow(table.schema),
            partition_by=list(table.partition_by),
        )

    def _adopt(self, table: Table, file: StagedFile) -> AddAction:
        folder = "/".join(f"{column}={value}" for column, value in file.partition.items())
        relative = f"{folder}/{file.path.name}"
        target = self.root / table.name / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        file.path.replace(target)
        return AddAction(
            path=relative,
            size=target.stat().st_size,
            partition_values=dict(file.partition),
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": file.rows}),
        )


def polars_schema(table: Table) -> pl.Schema:
    """The columns of a table as polars types."""
    empty = pl.from_arrow(table.schema.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return empty.schema


def scan(handle: DeltaTable) -> pl.LazyFrame:
    """All rows of an opened table."""
    return pl.scan_delta(handle)


def append_rows(handle: DeltaTable, table: Table, rows: pl.DataFrame) -> None:
    """Append a small frame, for tables whose readers tolerate a row that two processes both added."""
    write_deltalake(handle, _conform(rows, table), mode="append")


def replace(
    handle: DeltaTable, table: Table, column: str, values: Iterable[object], rows: pa.Table | pl.DataFrame
) -> None:
    """Replace every row whose `column` is one of `values` by `rows`, in one commit.

    Raises `CommitFailedError` when another process has touched those rows since the handle was opened.
    """
    listed = ", ".join(f"'{value}'" for value in values)
    write_deltalake(handle, _conform(rows, table), mode="overwrite", predicate=f"{column} IN ({listed})")


def _conform(rows: pa.Table | pl.DataFrame, table: Table) -> pa.Table:
    arrow = rows.to_arrow() if isinstance(rows, pl.DataFrame) else rows
    return arrow.select(table.schema.names).cast(table.schema)


def partition_fingerprints(handle: DeltaTable, column: str) -> dict[str, set[str]]:
    """The fingerprints that a derived table holds, per partition value (ISO date), from its log alone."""
    found: dict[str, set[str]] = {}
    actions = pa.table(handle.get_add_actions(flatten=True))
    if actions.num_rows == 0:
        return found
    values = actions.column(f"partition.{column}").to_pylist()
    fingerprints = actions.column("partition.fingerprint").to_pylist()
    for value, fingerprint in zip(values, fingerprints, strict=True):
        found.setdefault(str(value), set()).add(fingerprint)
    return found


def data_files(handle: DeltaTable, column: str | None = None, values: Iterable[object] = ()) -> list[str]:
    """Local paths of the Parquet files of an opened table, of the partitions named if `column` is given."""
    if column is None:
        return list(handle.file_uris())
    wanted = [str(value) for value in values]
    return list(handle.file_uris(partition_filters=[(column, "in", wanted)])) if wanted else []


def retry_conflicts(attempt: Callable[[], T], attempts: int = 50) -> T:
    """Run `attempt` until no other process's commit gets in between.

    `attempt` looks at the tables anew each time, so the work that the other process has done is not repeated.
    """
    for number in range(1, attempts):
        try:
            return attempt()
        except (CommitFailedError, InputsChanged):
            time.sleep(random.uniform(0.01, min(1.0, 0.05 * number)))
    return attempt()
