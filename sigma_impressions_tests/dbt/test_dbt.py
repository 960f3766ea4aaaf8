"""dbt builds the example on a PostgreSQL that holds the demo's tables, and finds what is broken there.

It has an environment of its own, from its own lock.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.commands import COMMAND
from sigma_impressions_tests.dbt.sources import PROJECT, columns
from sigma_impressions_tests.install.outside import ROOT, clean_environment, environment_of_pip, run
from sigma_impressions_tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

DATASET, MODELS = "usage_data", "usage_models"
DAYS = "20"


BROKEN = {
    ("resource_impressions", "total_impressions_60d = total_impressions_60d + 1"): "impressions_are_conserved",
    ("user_activity", "user_email = NULL"): "source_not_null_sigma_impressions_user_activity_user_email",
    ("active_users", "tier = 'curious'"): "source_accepted_values_sigma_impressions_active_users_tier__"
    "power__regular__occasional__lapsed__dormant__never__unknown",
}
"""What is set in one row of a table; the test that finds it."""

TWICE = "INSERT INTO owner_usage SELECT * FROM owner_usage LIMIT 1"
FOUND_TWICE = "source_unique_together_sigma_impressions_owner_usage_as_of_date__owner_email"


@dataclass(frozen=True)
class Dbt:
    """dbt, on a copy of the example and one database."""

    program: Path
    project: Path
    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *arguments, "--no-use-colors"]
        return subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )

    def failures(self) -> set[str]:
        """The tests that failed in the last run."""
        results = json.loads((self.project / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
        return {result["unique_id"].split(".")[2] for result in results if result["status"] not in ("pass", "success")}


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """dbt, from its lock, as the README has it."""
    # On the disk: it is too much for memory, where the other tests have their folders.
    with tempfile.TemporaryDirectory() as name:
        folder, env = Path(name), environment_of_pip()
        run(sys.executable, "-m", "venv", folder / "venv", cwd=folder, env=env)
        lock = PROJECT / "requirements.txt"
        pip = (folder / "venv/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes")
        run(*pip, "--only-binary", ":all:", "--requirement", lock, cwd=folder, env=env, timeout=600)
        yield folder / "venv/bin/dbt"


@dataclass(frozen=True)
class Filled:
    """A database with the tables of the demo, and the published database of it."""

    url: str
    published: Path
    environment: Mapping[str, str]

    def export(self, *options: str) -> None:
        """Send the tables to the database."""
        run(*COMMAND, "export", "warehouse", *options, cwd=ROOT, env=self.environment, timeout=300)


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder, url = tmp_path_factory.mktemp("demo"), postgres_server.new_database()
    storage = folder / "data" / "demo" / "storage"
    env = {**clean_environment(), "SIGMA_IMPRESSIONS_PROJECT": str(folder)}
    run(*COMMAND, "demo", "--no-ui", "--days", DAYS, cwd=ROOT, env=env, timeout=300)
    env |= {
        "DAGSTER_HOME": str(folder / "dagster_home"),
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://acme-audit/sigma",
        "SIGMA_IMPRESSIONS_STORAGE": str(storage),
        "SIGMA_IMPRESSIONS_WAREHOUSE": "postgres",
        "SIGMA_IMPRESSIONS_WAREHOUSE_DATASET": DATASET,
        "DESTINATION__POSTGRES__CREDENTIALS": url,
    }
    filled = Filled(url, storage / DATABASE_NAME, env)
    filled.export()
    return filled


@pytest.fixture
def dbt(program: Path, filled: Filled, tmp_path: Path) -> Dbt:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    where = conninfo_to_dict(filled.url)
    environment = {
        **clean_environment(),
        **{f"PG{name.upper()}": str(where[name]) for name in ("host", "port", "user", "password")},
        "PGDATABASE": str(where["dbname"]),
        "SIGMA_IMPRESSIONS_WAREHOUSE_DATASET": DATASET,
        "DBT_SCHEMA": MODELS,
    }
    return Dbt(program, project, environment)


def test_what_is_loaded_is_what_the_sources_describe(filled: Filled) -> None:
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
    with psycopg.connect(filled.url) as connection:
        found = connection.execute(query, [DATASET]).fetchall()
    # What dlt keeps for itself is no part of them.
    loaded = {names for names in found if not any(name.startswith("_dlt") for name in names)}
    assert loaded == {(table, column) for table, names in columns().items() for column in names}


def test_everything_is_built_and_every_test_passes(dbt: Dbt, filled: Filled) -> None:
    built = dbt("--warn-error", "build")
    assert built.returncode == 0, built.stdout
    assert " WARN=0 ERROR=0 SKIP=0 " in built.stdout
    fresh = dbt("source", "freshness")
    assert fresh.returncode == 0, fresh.stdout
    assert "PASS freshness of sigma_impressions.loaded_days" in fresh.stdout
    # It keeps a name for whom it reports on, if it reports.
    assert not list(dbt.project.rglob(".user.yml"))
    with psycopg.connect(filled.url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        listed = connection.execute(
            "SELECT owner_email, workbook_url_id, last_impression_at, workbooks_of_owner, unused_workbooks_of_owner "
            f"FROM {MODELS}.unused_workbooks_by_owner"  # type: ignore[call-overload]
        ).fetchall()
    assert sorted(listed, key=str) == sorted(expected_unused(filled.published), key=str)
    assert listed
    # Views of the tables are not in the way of what is sent later.
    with psycopg.connect(filled.url) as connection:
        connection.execute(f"CREATE VIEW {MODELS}.resources AS TABLE {DATASET}.sigma_resources")  # type: ignore[call-overload]
    filled.export("--resend")


def expected_unused(published: Path) -> list[Any]:
    """What the model has to list, of the published database: one workbook after the other."""
    workbooks: dict[str | None, list[tuple[str, Any, int]]] = {}
    with duckdb.connect(str(published), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(
            "SELECT owner_email, workbook_url_id, last_impression_at, total_impressions_60d "
            "FROM popular_resources WHERE resource_type = 'sigma_workbook'"
        ).fetchall()
    for owner, *workbook in rows:
        workbooks.setdefault(owner and owner.strip().lower(), []).append(tuple(workbook))
    return [
        (owner, url_id, last, len(owned), sum(impressions == 0 for *_, impressions in owned))
        for owner, owned in workbooks.items()
        for url_id, last, total in owned
        if total == 0
    ]


def test_what_is_broken_is_found(dbt: Dbt, filled: Filled) -> None:
    with psycopg.connect(filled.url) as connection:
        connection.execute(f"SET search_path = {DATASET}")  # type: ignore[call-overload]
        for table, said in BROKEN:
            update = f"UPDATE {table} SET {said} WHERE ctid = (SELECT min(ctid) FROM {table})"
            assert connection.execute(update).rowcount == 1  # type: ignore[call-overload]
        connection.execute(TWICE)
        connection.execute("UPDATE loaded_days SET loaded_at = loaded_at - INTERVAL '5 days'")
    assert dbt("build").returncode == 1
    assert dbt.failures() >= {*BROKEN.values(), FOUND_TWICE}
    stale = dbt("source", "freshness")
    assert (stale.returncode, "ERROR STALE freshness of sigma_impressions.loaded_days" in stale.stdout) == (1, True)
