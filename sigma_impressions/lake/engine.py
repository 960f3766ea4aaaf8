"""DuckDB as the engine of queries over the tables: connections, and Delta data files as views.

DuckDB is loaded by the first connection: most processes that import this, such as a sensor's tick, never make one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sigma_impressions.errors import InputsChanged
from sigma_impressions.lake.schemas import Table
from sigma_impressions.lake.scratch import scratch_folder, temporary_folder
from sigma_impressions.lake.tables import StoredTable, files_of, local_paths, partition_fingerprints

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class Limits:
    """What a query may use: `memory_gigabytes`, and beyond it the disk under `spill_to`, by default the work folder."""

    memory_gigabytes: int = 1
    spill_to: Path | None = None


DEFAULT_LIMITS = Limits()

_NO_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
"""What a query would need one for fails, instead of fetching a program and running it; none of ours does."""


@contextmanager
def connect(scratch: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that speaks UTC, with a thread per processor."""
    import duckdb

    with ExitStack() as stack:
        spill_to = scratch if limits.spill_to is None else stack.enter_context(scratch_folder(limits.spill_to))
        connection = stack.enter_context(
            duckdb.connect(
                config={
                    **_NO_EXTENSIONS,
                    "memory_limit": f"{limits.memory_gigabytes}GB",
                    "temp_directory": str(spill_to),
                    "threads": os.cpu_count() or 1,
                }
            )
        )
        connection.execute("SET TimeZone = 'UTC'")
        # It would stand among what a command prints, or in a log.
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET lock_configuration = true")
        yield connection


@contextmanager
def folder_for_databases(scratch: Path) -> Iterator[Path]:
    """Where DuckDB can write a database: the scratch folder, or a temporary one elsewhere, removed at the end."""
    # What stands behind a question mark in a path is something else to it, of its log of changes at least.
    if "?" not in str(scratch):
        yield scratch
    else:
        with temporary_folder() as folder:
            yield folder


def open_database(path: Path, writing_to: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Read a published database, in UTC, and no other file; only below `writing_to` files may be written.

    Raises `duckdb.Error` if it cannot be opened.
    """
    import duckdb

    connection = duckdb.connect(str(path), read_only=True, config=_NO_EXTENSIONS)
    connection.execute("SET TimeZone = 'UTC'")
    if writing_to is not None:
        connection.execute(f"SET allowed_directories = [{quoted(str(writing_to))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def view_days(
    connection: duckdb.DuckDBPyConnection,
    handle: StoredTable,
    column: str,
    fingerprints: Mapping[date, str],
    *,
    may_lack_rows: bool = False,
) -> None:
    """A view named as the derived table, over its partitions of some days.

    Raises `InputsChanged` unless each of them is still built from the given fingerprint; a day for which the table
    has no rows is one that changed, unless it `may_lack_rows`.
    """
    held = partition_fingerprints(handle)
    for day, fingerprint in fingerprints.items():
        if held.get(str(day), {fingerprint} if may_lack_rows else set()) != {fingerprint}:
            raise InputsChanged(f"{handle.table.name} of {day} was rebuilt in between.")
    view(connection, handle, column, fingerprints)


def view(
    connection: duckdb.DuckDBPyConnection, handle: StoredTable, column: str | None = None, values: Iterable[object] = ()
) -> None:
    """A view named as the Delta table, over all of it, or the partitions whose `column` is one of `values`."""
    table, files = handle.table, files_of(handle, column, values)
    if not files.height:
        # By way of another name: what is registered does not take the place of a view.
        connection.register(f"no_{table.name}", table.no_rows().to_arrow())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {table.name} AS FROM no_{table.name}")
        return
    source = parquet(local_paths(handle, files))
    held = {name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    columns = ", ".join(_column(table, name, files, name in held) for name in table.schema)
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {table.name} AS SELECT {columns} FROM {source}")


def _column(table: Table, name: str, files: pl.DataFrame, held: bool) -> str:
    if name in table.partition_by:
        values = ", ".join(quoted(str(value)) for value in files[name])
        dtype = "DATE" if table.schema[name] == pl.Date else "VARCHAR"
        return f"([{values}]::{dtype}[])[(file_index + 1)::BIGINT] AS {name}"
    return name if held else f"NULL AS {name}"


def parquet(paths: Iterable[str]) -> str:
    """The rows of Parquet files, as SQL. A file may lack a column: files from before it was added do."""
    # Paths are patterns to DuckDB. And a folder above may be called like a partition of a column.
    listed = ", ".join(quoted(re.sub(r"[*?\[]", r"[\g<0>]", path)) for path in paths)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"


def copy_to(connection: duckdb.DuckDBPyConnection, query: str, file: Path, options: str) -> int:
    """Write the result of a query into a file; how many rows there are."""
    # Into that file itself: another of DuckDB's own beside it would have a name that can be foreseen.
    copy = f"COPY ({query}) TO {quoted(str(file))} (USE_TMP_FILE false, {options})"
    ((rows,),) = connection.execute(copy).fetchall()
    return int(rows)


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def frame(table: pa.Table) -> pl.DataFrame:
    """An Arrow table as a polars frame."""
    result = pl.from_arrow(table)
    assert isinstance(result, pl.DataFrame)
    return result
