"""The published tables as files for other programs: CSV for spreadsheets, Parquet for everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sigma_impressions.lake import engine
from sigma_impressions.lake.scratch import replacing
from sigma_impressions.publish.database import opened
from sigma_impressions.texts import FORMULA, NO_FORMULA

if TYPE_CHECKING:
    import duckdb

_NESTED = ("STRUCT", "MAP", "UNION")


@dataclass(frozen=True)
class ExportedFile:
    """A table that was written to the file `path`, and its rows."""

    table: str
    path: Path
    rows: int


def export_tables(database: Path, folder: Path, form: Literal["csv", "parquet"]) -> Iterator[ExportedFile]:
    """Write every table of a published database to `folder`, one file each, and tell of each when it is complete.

    In CSV (UTF-8, with a header) lists of records are JSON, and what a spreadsheet would take for a formula has an
    apostrophe before it. Parquet holds everything as it is. Raises `OSError` if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with opened(database, writing_to=folder) as connection:
        names = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY table_name").fetchall()
        for (table,) in names:
            path = folder / f"{table}.{form}"
            if form == "csv":
                rows = write_csv(connection, table, path)
            else:
                with replacing(path) as partial:
                    rows = engine.copy_to(
                        connection, f"FROM {_name(table)}", partial, "FORMAT parquet, COMPRESSION zstd"
                    )
            yield ExportedFile(table, path, rows)


def write_csv(connection: duckdb.DuckDBPyConnection, table: str, target: Path) -> int:
    """Write a table or view to a CSV file, inert in a spreadsheet; how many rows there are.

    The connection may write into the folder. Raises `OSError` if that is not possible.
    """
    query, options = _csv(connection, table)
    with replacing(target) as partial:
        return engine.copy_to(connection, query, partial, f"FORMAT csv, {options}")


def _csv(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[str, str]:
    """The query and the options for a table as CSV; texts are quoted, and inert where they are cut all the same."""
    columns = connection.execute(f"DESCRIBE {_name(table)}").fetchall()
    texts = [_name(name) for name, kind, *_ in columns if kind == "VARCHAR"]
    cells = []
    for name, kind in ((_name(name), kind) for name, kind, *_ in columns):
        if kind == "VARCHAR":
            cells.append(f"{_inert(name)} AS {name}")
        elif kind.endswith("]") or kind.startswith(_NESTED):
            cells.append(f"{_inert(f'to_json({name})::VARCHAR')} AS {name}")
        else:
            cells.append(name)
    forced = f", FORCE_QUOTE ({', '.join(texts)})" if texts else ""
    return f"SELECT {', '.join(cells)} FROM {_name(table)}", f"HEADER, DELIMITER ','{forced}"


def _inert(cell: str) -> str:
    return f"regexp_replace({cell}, {engine.quoted(FORMULA)}, {engine.quoted(NO_FORMULA)}, 'g')"


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
