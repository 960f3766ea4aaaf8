"""What a reader leaves behind, or a disk damages, keeps nobody from the next publication."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.destinations.files import export_tables
from sigma_impressions.destinations.workbook_usage import workbook_usage
from sigma_impressions.errors import DatabaseUnreadable
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import (
    GROUP_READS,
    OWNER_READS,
    opened,
    publication_figures,
    publish_database,
    remove_database,
    top_workbooks,
)
from sigma_impressions.report.read import read_usage
from sigma_impressions.report.write import write_report
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.rights import linux_only

pytestmark = pytest.mark.slow

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


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    workbook = pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]})
    discover(tables, workbook)
    count(tables, "ann")
    publish_database(tables)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path, dirs_exist_ok=True))


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


def damage(database: Path, how: str) -> None:
    content = database.read_bytes()
    # It begins with three headers of 4 KiB; what follows holds the rows, and what says where they are.
    kept = {"empty": 0, "another header": 0, "other rows": 3 * 4096}[how]
    other = b"" if how == "empty" else bytes(byte ^ 0xFF for byte in content[kept:])
    database.chmod(0o600)
    database.write_bytes(content[:kept] + other)


@pytest.mark.parametrize("how", ["empty", "another header", "other rows"])
def test_who_reads_what_is_damaged_is_told_how_it_is_published_again(how: str, tables: Tables, tmp_path: Path) -> None:
    database = publish_database(tables).path
    damage(database, how)
    readers: list[Callable[[], object]] = [
        lambda: publication_figures(database),
        lambda: top_workbooks(database),
        lambda: workbook_usage(database),
        lambda: read_usage(database),
        lambda: write_report(tables.storage, "Usage"),
        lambda: list(export_tables(database, tmp_path / "exported", "csv")),
    ]
    for read in readers:
        with pytest.raises(DatabaseUnreadable, match=f"{database} cannot be read.* sigma-impressions run publishes it"):
            read()
    assert publish_database(tables).is_new
    for read in readers:
        read()


@linux_only
def test_a_full_disk_is_not_taken_for_damage(tables: Tables) -> None:
    database = publish_database(tables).path
    with pytest.raises(duckdb.IOException, match="No space left"), opened(database, Path("/dev")) as connection:
        connection.execute("COPY (SELECT repeat('x', 1000) FROM range(1000000)) TO '/dev/full' (USE_TMP_FILE false)")
