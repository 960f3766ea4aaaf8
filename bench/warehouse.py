"""What it takes to bring a history into a PostgreSQL, beside `COPY` of the same rows."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg import sql

from bench import copy_rows, windows
from bench.measure import Measured, measure
from sigma_impressions.destinations.warehouse.tables import DAILY, NUMBERS, PEOPLE
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions_tests.servers.postgres import postgres_programs, running_postgres

_METRICS, _INSIGHTS = "metric tables", "insight tables"
_TABLES = {
    _METRICS: [table.name for table in (*NUMBERS, *PEOPLE, *DAILY)],
    _INSIGHTS: [*INSIGHT_TABLES],
}
_EXPORT, _AGAIN, _FLOOR = "export warehouse", "export warehouse, again", "COPY"
_DATASET = "sigma_impressions"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    programs = postgres_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    yield "A history in a warehouse"
    yield (
        f"{windows.WINDOW} as-of dates and their event dates, of {windows.ROWS:,} rows a day, into an empty PostgreSQL "
        f"({_version(programs)}) on the same machine, which does not wait for its disk, by dlt {version('dlt')}. "
        f"`{_METRICS}`: {', '.join(f'`{name}`' for name in _TABLES[_METRICS])}; `{_INSIGHTS}`, with "
        "`--large` only: those of docs/insights.md, which are built for each as-of date before they are sent. The "
        "users of each resource (`resource_users`) are in neither. `again`: all is found to be there. `COPY`, the "
        "floor: the same rows from "
        "CSV files, by psycopg's `cursor.copy`, into tables without an index. The memory is that of the process, "
        "without the server's. Each is run once."
    )
    yield ""
    yield "| tables | rows | CSV | way | seconds | COPY = 1 | peak memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with _published(folder) as storage, tempfile.TemporaryDirectory(prefix="sigma-impressions-bench-") as scratch:
        for name, tables in _TABLES.items() if large else [(_METRICS, _TABLES[_METRICS])]:
            with running_postgres(programs) as server:
                rows, size, results = _measure(server.new_database(), storage, Path(scratch) / name, tables)
            for way, measured in results.items():
                ratio = measured.seconds / results[_FLOOR].seconds
                yield (
                    f"| {name} | {rows:,} | {size / 1e6:.0f} MB | {way} | {measured.seconds:.1f} | {ratio:.2f} "
                    f"| {measured.memory} |"
                )


def _version(programs: Path) -> str:
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    storage = folder / "published"
    shutil.rmtree(storage, ignore_errors=True)  # of a measurement that was broken off
    windows.published(folder, storage)
    try:
        yield storage
    finally:
        shutil.rmtree(storage)


def _measure(url: str, storage: Path, scratch: Path, tables: Sequence[str]) -> tuple[int, int, dict[str, Measured]]:
    """Rows and bytes of the tables, and what each way took."""
    settings = _settings(scratch, storage, tables, url)
    files = scratch / "rows"
    files.mkdir(parents=True)
    results = {way: measure(("sigma_impressions", "export", "warehouse"), settings) for way in (_EXPORT, _AGAIN)}
    rows = _write(url, files, tables)
    results[_FLOOR] = measure(("bench.copy_rows", str(files), _DATASET), {copy_rows.URL: url})
    return rows, sum(file.stat().st_size for file in files.iterdir()), results


def _settings(scratch: Path, storage: Path, tables: Sequence[str], url: str) -> Mapping[str, str]:
    return {
        "SIGMA_IMPRESSIONS_PROJECT": str(scratch),
        "DAGSTER_HOME": str(scratch),
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bench",
        "SIGMA_IMPRESSIONS_STORAGE": str(storage),
        "SIGMA_IMPRESSIONS_WAREHOUSE": "postgres",
        "SIGMA_IMPRESSIONS_WAREHOUSE_DATASET": _DATASET,
        "SIGMA_IMPRESSIONS_WAREHOUSE_TABLES": ",".join(tables),
        "DESTINATION__POSTGRES__CREDENTIALS": url,
    }


def _write(url: str, files: Path, tables: Sequence[str]) -> int:
    """Write each table into a file; how many rows they have together."""
    rows = 0
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for table in tables:
            statement = sql.SQL("COPY {} TO STDOUT (FORMAT csv)").format(sql.Identifier(_DATASET, table))
            with cursor.copy(statement) as blocks, (files / table).open("wb") as file:
                for block in blocks:
                    file.write(block)
            rows += cursor.rowcount
    return rows
