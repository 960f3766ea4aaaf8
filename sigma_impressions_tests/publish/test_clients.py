"""The published database opens in what people have: DuckDB of today, and of their drivers and tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.build import OLDEST_CLIENT
from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)

DOCS = Path(__file__).parents[2] / "docs"
QUERIES = [
    query
    for page in ("tables-and-metrics.md", "insights.md")
    for block in re.findall(r"```sql\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    if "ATTACH" not in block  # how it is opened in a bucket
    for query in filter(str.strip, block.split(";"))
]
"""What the docs ask of the database."""

# Everything that a client sees: its version, the rows of all tables and of the queries of the docs.
CLIENT = """
import json, sys
import duckdb

connection = duckdb.connect(sys.argv[1], read_only=True)
names = sorted(name for name, in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall())
tables = {name: sorted(map(str, connection.execute(f"FROM {name}").fetchall())) for name in names}
answers = [sorted(map(str, connection.execute(query).fetchall())) for query in json.loads(sys.argv[2])]
print(json.dumps([duckdb.__version__, tables, answers]))
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with rows in each kind of table, lists of records and times with zones among them."""
    tables = Tables(tmp_path_factory.mktemp("published"))
    rows = {"resource_type": ["sigma_workbook"] * 2, "workbook_url_id": ["wb1", "wb2"], "name": ["Lead Funnel", "Ö"]}
    discover(tables, pl.DataFrame(rows))
    views = [("ann@x.org", "wb1"), ("bob@x.org", "wb1"), ("ann@x.org", "ghost")]
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    capture(tables, "file", [Row(moment, user, workbook, None, 1, None) for user, workbook in views])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    return publish_database(tables).path


def seen_by(database: Path, packages: Path | None = None) -> list[Any]:
    """What a process with DuckDB sees, by default with the one of this environment."""
    environment = os.environ | ({"PYTHONPATH": str(packages)} if packages else {})
    command = [sys.executable, "-c", CLIENT, str(database), json.dumps(QUERIES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def test_the_file_says_which_client_is_the_oldest(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        ((tags,),) = connection.execute("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert tags["storage_version"] == f"v{OLDEST_CLIENT}+"
    assert f"DuckDB {OLDEST_CLIENT.removesuffix('.0')} or newer" in (DOCS / "tables-and-metrics.md").read_text("utf-8")


@pytest.mark.soak
@pytest.mark.parametrize("version", ["1.2.0", "1.2.2", "1.3.2", "1.4.4", "1.5.0", "2.0.0"])
def test_clients_of_all_versions_see_the_same(version: str, database: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "packages")]
    installed = subprocess.run([*pip, f"duckdb=={version}"], capture_output=True, timeout=300, check=False)
    if installed.returncode:
        pytest.skip(f"DuckDB {version} cannot be installed here")
    _, tables, answers = seen_by(database)
    assert {name for name, rows in tables.items() if rows} >= {"resource_impressions", "user_activity", "export_files"}
    assert sum(map(bool, answers)) >= 4
    assert seen_by(database, tmp_path / "packages") == [version, tables, answers]
