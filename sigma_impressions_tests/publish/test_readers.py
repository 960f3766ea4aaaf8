"""What a reader leaves behind, or a disk damages, keeps nobody from the next publication."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import (
    GROUP_READS,
    OWNER_READS,
    publication_figures,
    publish_database,
    remove_database,
)
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)

# Opens the database as DuckDB does unless it is told otherwise, writes to it, and is killed.
WRITER = """
import os, signal, sys
import duckdb

connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE mine AS SELECT 1 AS one")
os.kill(os.getpid(), signal.SIGKILL)
"""


def count(tables: Tables, file_id: str) -> None:
    capture(tables, file_id, [Row(datetime(2026, 11, 20, 9, tzinfo=UTC), f"{file_id}@x.org", "wb1", None, 1, None)])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    tables = Tables(tmp_path)
    workbook = pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]})
    discover(tables, workbook)
    count(tables, "ann")
    publish_database(tables)
    return tables


# Opens the database to read, and then as DuckDB does unless it is told otherwise; as a user whom modes mean something.
READER = """
import os, sys
import duckdb

if os.geteuid() == 0:
    os.setuid(65534)
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(connection.execute("SELECT count(*) FROM publication").fetchone()[0])
duckdb.connect(sys.argv[1])
"""


@pytest.mark.parametrize("mode", [OWNER_READS, GROUP_READS], ids=oct)
def test_nobody_may_write_to_the_published_file(mode: int, tables: Tables) -> None:
    # Not in pytest's folder, which other users cannot enter.
    with tempfile.TemporaryDirectory() as shared:
        there = Tables(Path(shared) / "data")
        shutil.copytree(tables.root, there.root)
        database = publish_database(there, mode=mode).path
        assert database.stat().st_mode & 0o777 == mode
        remove_database(there.storage)
        database = publish_database(there, mode=mode).path
        assert database.stat().st_mode & 0o777 == mode
        if os.geteuid() == 0:
            for path in (Path(shared), there.root, database):
                os.chown(path, 65534, 65534)
        done = subprocess.run(
            [sys.executable, "-c", READER, str(database)], capture_output=True, text=True, check=False, timeout=60
        )
        assert [path.name for path in there.root.glob(f"{database.name}*")] == [database.name]
    assert done.stdout == "1\n"
    assert "IOException" in done.stderr
    assert "Permission denied" in done.stderr


def test_a_file_that_was_opened_to_a_group_stays_open_to_it(tables: Tables) -> None:
    database = publish_database(tables).path
    database.chmod(0o640)
    count(tables, "bob")
    assert publish_database(tables).is_new
    assert database.stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize("more", [True, False], ids=["with a new file", "with nothing new"])
def test_what_a_program_wrote_that_was_killed_is_gone_with_the_next_publication(more: bool, tables: Tables) -> None:
    database = publish_database(tables).path
    database.chmod(0o600)
    subprocess.run([sys.executable, "-c", WRITER, str(database)], check=False, timeout=60)
    left = database.with_name(f"{database.name}.wal")
    assert left.exists()
    if more:
        count(tables, "bob")
    assert publish_database(tables).is_new
    assert not left.exists()
    assert publication_figures(database)["users"] == 1 + more
    with duckdb.connect(str(database), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'").fetchone() == (0,)
    assert not publish_database(tables).is_new


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_is_published_anew(kept: float, tables: Tables) -> None:
    database = publish_database(tables).path
    figures = publication_figures(database)
    database.chmod(0o600)
    os.truncate(database, int(database.stat().st_size * kept))
    assert publish_database(tables).is_new
    assert publication_figures(database) == figures
