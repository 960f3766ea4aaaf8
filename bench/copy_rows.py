"""The floor of a load into PostgreSQL: `COPY` from CSV files, one for each table, into tables like those there.

`python -m bench.copy_rows FOLDER SCHEMA`; the URL of the database is in the environment.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
from psycopg import sql

URL = "BENCH_POSTGRES_URL"

_TARGET = "copied"
_BLOCK = 1_000_000


def copy(files: Path, like: str) -> None:
    """Copy each file into a table of its name, with the columns that the one of the schema `like` has."""
    with psycopg.connect(os.environ[URL]) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_TARGET)))
        for file in sorted(files.iterdir()):
            target, model = (sql.Identifier(schema, file.name) for schema in (_TARGET, like))
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {})").format(target, model))
            statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(target)
            with cursor.copy(statement) as into, file.open("rb") as rows:
                while block := rows.read(_BLOCK):
                    into.write(block)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), sys.argv[2])
