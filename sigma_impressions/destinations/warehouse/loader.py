"""dlt: how rows and their registry come into a warehouse, and what is read from it."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sigma_impressions.destinations.warehouse.days import Part
from sigma_impressions.destinations.warehouse.failures import (
    RowsUnreadable,
    clear_failures,
    nothing_printed,
    refused_destination,
)
from sigma_impressions.destinations.warehouse.tables import REGISTRY, TABLES, WarehouseTable
from sigma_impressions.errors import OperatorError, WarehouseError, missing_extra
from sigma_impressions.project import project_folder
from sigma_impressions.quiet import without_debug_lines
from sigma_impressions.waiting import interruptibly, waiting_for

if TYPE_CHECKING:
    import dlt
    import pyarrow as pa

T = TypeVar("T")

PIPELINE: Final = "sigma_impressions"
"""The name under which dlt keeps its schema in the dataset."""

_DLT: Final = {
    # As Dagster's own: nobody is told that this runs.
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # It would hold back Ctrl-C until a whole load is done; a load that was cut off is begun again.
    "RUNTIME__INTERCEPT_SIGNALS": "false",
    # What goes wrong is raised; the rest says that types are as they are.
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    # Else the users of the last load would stay in a second dataset.
    "LOAD__TRUNCATE_STAGING_DATASET": "true",
    # Else a copy of all rows stays as files in a stage, or a volume, also of who is forgotten.
    "DESTINATION__SNOWFLAKE__KEEP_STAGED_FILES": "false",
    "DESTINATION__DATABRICKS__KEEP_STAGED_FILES": "false",
    # By way of the second dataset, so that no reader sees an empty table; dlt takes it from nowhere else.
    "DESTINATION__REPLACE_STRATEGY": "insert-from-staging",
    "LOAD__WORKERS": "4",
}
"""Settings of dlt that are not its defaults; the environment has the last word but for those that are `_FIXED`."""

_FIXED: Final = ("RUNTIME__DLTHUB_TELEMETRY",)

_INDEXED: Final = ("postgres",)
"""Destinations that find the rows of a day by an index, and would read a whole table of years for each otherwise."""

Columns = Mapping[str, frozenset[str]]
"""The columns of each table."""


@dataclass(frozen=True)
class Warehouse:
    """Where the tables go: the name of one of dlt's destinations, and of the dataset (a schema, in most)."""

    destination: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.destination}, dataset {self.dataset}"


@dataclass(frozen=True)
class Loaded:
    """What the registry of the warehouse says of a part: what it was made from, its rows, and of which storage."""

    fingerprint: str
    rows: int
    storage_id: str


class Loader:
    """A warehouse through dlt, whose files lie in a folder of this export alone; made by `opened_loader`."""

    def __init__(self, pipeline: dlt.Pipeline, warehouse: Warehouse) -> None:
        self._pipeline, self._warehouse = pipeline, warehouse
        self._known: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()

    def loaded(self) -> dict[Part, Loaded]:
        """What the registry of the warehouse names; nothing before the first load."""
        rows = self._execute(
            f"SELECT table_name, day, fingerprint, row_count, storage_id FROM {{{REGISTRY}}}", REGISTRY
        )
        found: dict[Part, Loaded] = {}
        for table, day, fingerprint, count, storage in rows:
            if table not in TABLES:
                # Of a later version.
                continue
            part = Part(table, _day(day))
            # Twice there it was loaded from two machines at once, and nobody knows which of them was the last.
            found[part] = Loaded("" if part in found else fingerprint, count, storage)
        return found

    def counts(self, table: WarehouseTable) -> dict[date | None, int]:
        """How many rows the table has of each day, or in all; nothing if it is not there."""
        of_day = table.day or "NULL"
        grouped = f" GROUP BY {table.day}" if table.day else ""
        found = self._execute(f"SELECT {of_day}, COUNT(*) FROM {{{table.name}}}{grouped}", table.name)
        return {_day(day): count for day, count in found}

    def columns(self) -> tuple[Columns, Columns]:
        """The columns that were loaded into each table, and those that it has; both without tables that have none."""
        names = [*TABLES, REGISTRY]

        def look() -> tuple[dict[str, Any], dict[str, Any]]:
            from dlt.destinations.exceptions import DatabaseUndefinedRelation

            with self._pipeline.destination_client() as client:
                looking: Any = client
                if not looking.is_storage_initialized():
                    return {}, {}
                # Not as the pipeline has it: that of a first load that was killed knows nothing of the tables.
                try:
                    stored = looking.get_stored_schema(PIPELINE)
                except DatabaseUndefinedRelation:
                    stored = None
                tables = json.loads(stored.schema)["tables"] if stored else {}
                known = {name: tables[name]["columns"] for name in names if name in tables}
                return known, dict(looking.get_storage_tables(names))

        loaded, there = map(_names, self._asked("looking at its tables", look))
        self._known, self._gone = frozenset(there), frozenset(loaded.keys() - there.keys())
        return loaded, there

    def load(self, rows: Mapping[WarehouseTable, Callable[[], Iterator[pa.Table]]]) -> Counter[Part]:
        """Load tables: the days that their rows are of are replaced, a table without days as a whole.

        How many rows there are of each part that has any.
        """
        counted: Counter[Part] = Counter()
        if gone := self._gone & {table.name for table in rows}:
            self._asked("creating its tables", partial(self._create, gone))
            self._gone -= gone
        resources = []
        for table, make in rows.items():
            batches = make()
            # The first one has columns, and no rows: a table without any is created, and nothing is loaded into it.
            none = next(batches)
            batches = (batch for batch in batches if batch.num_rows)
            some = next(batches, None)
            if some is not None:
                resources.append(_resource(table, chain([some], batches), counted, self._form("parquet")))
            elif table.name not in self._known:
                resources.append(_resource(table, iter([none]), counted, self._form("csv", "parquet")))
            elif table.day is None:
                self._delete(table.name, "1 = 1")
        self._run(resources)
        self._index([table for table in rows if table.name not in self._known])
        return counted

    def _create(self, names: frozenset[str]) -> None:
        # By itself dlt looks only where its schema has changed whether tables are missing.
        with self._pipeline.destination_client() as client:
            client.update_stored_schema(only_tables=names, force=True)

    def _index(self, created: Collection[WarehouseTable]) -> None:
        for table in created:
            if table.day and self._warehouse.destination in _INDEXED:
                index = f"CREATE INDEX IF NOT EXISTS {table.name}_by_day ON {{{table.name}}} ({table.day})"
                self._execute(index, table.name)
        self._known |= {table.name for table in created}

    def register(self, loaded: Mapping[Part, Loaded], now: datetime) -> None:
        """Add what was loaded to the registry, which names none of these parts."""
        import dlt

        rows = [
            {
                "table_name": part.table,
                "day": part.day,
                "fingerprint": of_part.fingerprint,
                "row_count": of_part.rows,
                "storage_id": of_part.storage_id,
                "loaded_at": now,
            }
            for part, of_part in loaded.items()
        ]
        columns: Any = {"day": {"data_type": "date"}}
        self._run([dlt.resource(rows, name=REGISTRY, write_disposition="append", columns=columns)])

    def unregister(self, parts: Collection[Part]) -> None:
        """Take parts out of the registry, before they are replaced or deleted: cut off then, they count as missing."""
        days: defaultdict[str, list[date | None]] = defaultdict(list)
        for table, day in parts:
            days[table].append(day)
        conditions = [f"table_name = '{table}' AND {_is_one_of('day', of_table)}" for table, of_table in days.items()]
        if conditions:
            self._delete(REGISTRY, " OR ".join(f"({condition})" for condition in conditions))

    def delete(self, table: WarehouseTable, days: Collection[date]) -> None:
        """Delete the rows of some days; a load without rows of a day would leave those that are there."""
        if days and table.day:
            self._delete(table.name, _is_one_of(table.day, days))

    def _delete(self, table: str, condition: str) -> None:
        self._execute(f"DELETE FROM {{{table}}} WHERE {condition}", table)

    def _run(self, resources: list[Any]) -> None:
        def run() -> None:
            # Also where dlt is set up to go on: what is registered must be there.
            self._pipeline.run(resources).raise_on_failed_jobs()

        if resources:
            self._asked("loading", run)

    def _form(self, *wanted: str) -> str | None:
        """The first of these forms of files that the destination takes; without any, its own.

        Rows come as Parquet, which PostgreSQL takes by ADBC: by CSV or SQL a load would take five times as long. But
        dlt gives ADBC no file without rows.
        """
        supported = self._pipeline.destination.capabilities().supported_loader_file_formats
        return next((form for form in wanted if form in supported), None)

    def _execute(self, statement: str, table: str) -> list[Any]:
        """Execute a statement about one table, which it names in braces; no rows if the table is not there."""
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        def execute() -> list[Any]:
            with self._pipeline.sql_client() as client:
                named = statement.replace(f"{{{table}}}", client.make_qualified_table_name(table))
                try:
                    return list(client.execute_sql(named) or ())
                except DatabaseUndefinedRelation:
                    return []

        return self._asked("asking it", execute)

    def _asked(self, doing: str, ask: Callable[[], T]) -> T:
        return _asked(self._warehouse, doing, ask)


def _asked(warehouse: Warehouse, doing: str, ask: Callable[[], T]) -> T:
    """What the warehouse answers: whoever waits for it is told so, and may be interrupted."""

    def wait() -> T:
        with waiting_for(f"{warehouse}: {doing}"):
            return ask()

    with clear_failures(str(warehouse), warehouse.destination, doing):
        return interruptibly(wait)


_REPLACED_BY_KEY: Any = {"disposition": "merge", "strategy": "delete-insert"}


@contextmanager
def opened_loader(warehouse: Warehouse, folder: Path) -> Iterator[Loader]:
    """A loader that keeps dlt's files in `folder`, which is to be removed afterwards: they hold what is loaded.

    Raises `WarehouseError` if dlt, or the driver of the destination, is not installed, if the destination cannot
    replace a day, or does not let us in.
    """
    with _settings_of_dlt(), nothing_printed():
        yield _opened(warehouse, folder)


@contextmanager
def _settings_of_dlt() -> Iterator[None]:
    """Inside, dlt is set up as here is said; other pipelines of this process, and its children, have their own."""
    before = {name: os.environ.get(name) for name in _DLT}
    os.environ.update({name: text for name, text in _DLT.items() if name in _FIXED or name not in os.environ})
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text


def _opened(warehouse: Warehouse, folder: Path) -> Loader:
    with clear_failures(str(warehouse), warehouse.destination, "opening"):
        pipeline = _pipeline(warehouse, folder)
    _asked(warehouse, "reading its schema", pipeline.sync_destination)
    return Loader(pipeline, warehouse)


def _pipeline(warehouse: Warehouse, folder: Path) -> dlt.Pipeline:
    """What dlt knows of the warehouse, which was not asked yet."""
    try:
        import dlt
    except ModuleNotFoundError:
        raise WarehouseError(missing_extra("The export to a warehouse", "dlt", "warehouse")) from None
    from dlt.common.runtime.run_context import switch_context

    without_debug_lines()
    # Else dlt looks for `.dlt` in the working directory, and a file of DuckDB would be there.
    switch_context(str(project_folder()))
    pipeline = dlt.pipeline(
        PIPELINE,
        pipelines_dir=str(folder),
        # In full: else dlt looks for it in a module of the name of the project's folder, which it imports.
        destination=f"dlt.destinations.{warehouse.destination}",
        dataset_name=warehouse.dataset,
    )
    if "delete-insert" not in (pipeline.destination.capabilities().supported_merge_strategies or []):
        raise refused_destination(warehouse.destination)
    return pipeline


def _resource(table: WarehouseTable, batches: Iterator[pa.Table], counted: Counter[Part], form: Any) -> Any:
    import dlt

    def rows() -> Iterator[pa.Table]:
        for batch in _read(batches):
            _count(table, batch, counted)
            yield batch

    more: dict[str, Any] = {"write_disposition": "replace"}
    if table.day is not None:
        columns = {table.day: {"partition": True, "nullable": False}}
        more = {"write_disposition": _REPLACED_BY_KEY, "merge_key": table.day, "columns": columns}
    return dlt.resource(rows, name=table.name, file_format=form, **more)


def _read(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    try:
        yield from batches
    except OperatorError:
        raise
    except Exception as reason:
        raise RowsUnreadable(reason) from None


def _count(table: WarehouseTable, batch: pa.Table, counted: Counter[Part]) -> None:
    if table.day is None:
        counted[Part(table.name, None)] += batch.num_rows
        return
    for found in batch.column(table.day).value_counts().to_pylist():
        counted[Part(table.name, found["values"])] += found["counts"]


def _names(tables: Mapping[str, Mapping[str, Any]]) -> Columns:
    # Some databases know names in capital letters only.
    return {name: frozenset(map(str.lower, columns)) for name, columns in tables.items() if columns}


def _day(found: Any) -> date | None:
    return found.date() if isinstance(found, datetime) else found


def _is_one_of(column: str, days: Collection[date | None]) -> str:
    """A condition that any database understands; None is no day."""
    named = ", ".join(f"CAST('{day}' AS DATE)" for day in sorted(day for day in days if day is not None))
    return f"{column} IN ({named})" if named else f"{column} IS NULL"
