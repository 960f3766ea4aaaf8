"""The export to a PostgreSQL by the command and by the asset: contents, a wrong password, and what is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dagster as dg
import psycopg
import pytest

from sigma_impressions.check.warehouse import check_warehouse
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.destinations.warehouse.tables import TABLES
from sigma_impressions.interrupts import Interrupted
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions_tests.commands import COMMAND, environment
from sigma_impressions_tests.destinations.warehouse.published import assert_holds, published
from sigma_impressions_tests.destinations.warehouse.stored import DAYS, HOSTILE, add_late_file, stored
from sigma_impressions_tests.servers.processes import sigma_impressions

pytestmark = pytest.mark.slow

DATASET = "sigma_usage"
CREDENTIALS = "DESTINATION__POSTGRES__CREDENTIALS"


class Company:
    """A storage, and the PostgreSQL of the company that its results go to."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.tables = stored(folder / "data")

    def settings(self, url: str | None = None) -> dict[str, str]:
        return {
            "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports",
            "SIGMA_IMPRESSIONS_STORAGE": str(self.folder / "data"),
            "SIGMA_IMPRESSIONS_MEMBERS": "members.csv",
            "SIGMA_IMPRESSIONS_WAREHOUSE": "postgres",
            "SIGMA_IMPRESSIONS_WAREHOUSE_DATASET": DATASET,
            CREDENTIALS: url or self.url,
        }

    def command(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        return sigma_impressions(*arguments, env=environment(self.folder, self.settings(url)))

    def execute(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query.encode()).fetchall()

    def forget(self, table: str) -> None:
        """Let the registry of the warehouse say that nothing of a table was loaded."""
        with psycopg.connect(self.url) as connection:
            connection.execute(f"DELETE FROM {DATASET}.loaded_days WHERE table_name = '{table}'".encode())

    def start_export(self) -> subprocess.Popen[str]:
        env = environment(self.folder, self.settings())
        return subprocess.Popen([*COMMAND, "export", "warehouse"], env=env, stderr=subprocess.PIPE, text=True)

    def wait_for(self, condition: str) -> None:
        """Wait until the server is at something, as its `pg_stat_activity` tells."""
        query = f"SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND {condition}"
        while not self.execute(query):
            time.sleep(0.05)

    def everything(self) -> str:
        """All rows of all tables of the database, with those between dlt's loads."""
        with psycopg.connect(self.url) as connection:
            query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname LIKE %s"
            names = connection.execute(query, [f"{DATASET}%"]).fetchall()
            return "\n".join(
                str(connection.execute(f'SELECT * FROM "{schema}"."{name}"'.encode()).fetchall())
                for schema, name in names
            )


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, postgres_server: Any) -> Company:
    return Company(tmp_path_factory.mktemp("company"), postgres_server.new_database())


def with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}"))


def test_the_command_brings_everything_and_says_what(company: Company) -> None:
    done = company.command("export", "warehouse")
    assert done.returncode == 0, done.stderr
    assert_holds(company.execute, DATASET, published(company.tables, DAYS))
    assert f"postgres, dataset {DATASET}: " in done.stdout and f"As of {DAYS[-1]}: " in done.stdout
    # By which the rows of a day are found among those of years.
    indexes = company.execute("SELECT tablename FROM pg_indexes WHERE indexname LIKE '%_by_day'")
    assert {name for (name,) in indexes} == {table.name for table in TABLES.values() if table.day}
    # A hostile name is there as it is, but for what PostgreSQL takes in no text.
    names = company.execute(f"SELECT name FROM {DATASET}.sigma_resources WHERE workbook_url_id = 'Sales' ORDER BY 1")
    assert (HOSTILE.replace("\x00", "\ufffd"),) in names


def test_the_settings_of_dlt_may_lie_in_the_folder_of_the_project(company: Company) -> None:
    # Which the command finds from wherever it is started.
    folder = company.folder / ".dlt"
    folder.mkdir()
    secret = urlsplit(with_password(company.url, "of the file"))
    (folder / "secrets.toml").write_text(f'[destination.postgres]\ncredentials = "{secret.geturl()}"\n')
    # No module of this name is imported.
    (company.folder.parent / f"{company.folder.name}.py").write_text("raise SystemExit('imported')")
    settings = {name: text for name, text in company.settings().items() if name != CREDENTIALS}
    env = environment(company.folder, settings) | {"PYTHONPATH": str(company.folder.parent)}
    done = subprocess.run([*COMMAND, "export", "warehouse"], env=env, capture_output=True, text=True, check=False)
    assert "refuses the user or the password" in " ".join(done.stderr.split())
    shutil.rmtree(folder)


def test_a_late_file_restates_its_days_there(company: Company) -> None:
    company.command("export", "warehouse")
    add_late_file(company.tables, DAYS[1])
    done = company.command("export", "warehouse")
    assert f"{DAYS[1]} to {DAYS[2]}, 2 of 2 days" in done.stdout
    assert_holds(company.execute, DATASET, published(company.tables, DAYS))
    assert "nothing to send" in company.command("export", "warehouse").stdout


def test_an_export_that_waits_for_a_lock_ends_when_it_is_told_to(company: Company) -> None:
    company.command("export", "warehouse")
    company.forget("page_usage")
    with psycopg.connect(company.url) as other:
        # As dashboards do that read for long, and the maintenance of the database.
        other.execute(f"LOCK TABLE {DATASET}.page_usage".encode())
        with company.start_export() as process:
            company.wait_for("wait_event_type = 'Lock'")
            process.terminate()
            said = process.communicate(timeout=20)[1]
    assert said == str(Interrupted()).replace("Interrupted", "Ended by SIGTERM") + "\n"
    assert process.returncode == 128 + signal.SIGTERM


def test_a_connection_that_breaks_off_shows_no_row(company: Company) -> None:
    company.command("export", "warehouse")
    company.forget("user_activity")
    staged = f"{DATASET}_staging.user_activity"
    with psycopg.connect(company.url) as other:
        other.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN new; END';"
            f"CREATE TRIGGER slow BEFORE INSERT ON {staged} FOR EACH ROW EXECUTE FUNCTION slow()".encode()
        )
    with company.start_export() as process:
        company.wait_for("wait_event = 'PgSleep'")
        with psycopg.connect(company.url) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            other.execute(f"DROP TRIGGER slow ON {staged}".encode())
        # It is tried again.
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_a_wrong_password_names_the_setting_and_shows_no_secret(company: Company) -> None:
    done = company.command("export", "warehouse", url=with_password(company.url, "wrong-secret-1"))
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert f"refuses the user or the password. Check {CREDENTIALS}" in " ".join(said.split())
    password = urlsplit(company.url).password
    assert "wrong-secret-1" not in said and password not in said and "Traceback" not in said


def test_missing_rights_are_told_as_such(company: Company) -> None:
    with psycopg.connect(company.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'p@ss/w:rd'")
    url = with_password(company.url, "p%40ss%2Fw%3Ard").replace("//sigma_impressions:", "//reader:")
    done = company.command("export", "warehouse", url=url)
    assert done.returncode == 1
    assert "does not permit it; docs/warehouse.md has the rights that the user needs" in " ".join(done.stderr.split())
    assert "p%40ss" not in done.stdout + done.stderr


def test_of_who_is_forgotten_nothing_is_left(company: Company) -> None:
    company.command("export", "warehouse")
    assert "ann@x.org" in company.everything()
    done = company.command("forget", "ann@x.org")
    assert "sigma-impressions export warehouse" in done.stdout
    assert company.command("export", "warehouse").returncode == 0
    assert "ann@x.org" not in company.everything()
    for path in company.folder.rglob("*"):
        assert not path.is_file() or b"ann@x.org" not in path.read_bytes(), path


def test_the_asset_brings_it_and_shows_what(company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in company.settings().items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    definitions = build_definitions(environ=os.environ)
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:

        def materialize() -> dg.ExecuteInProcessResult:
            job = definitions.resolve_job_def("sigma_impressions")
            keys = [dg.AssetKey("warehouse_tables")]
            return job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False)

        assert materialize().success
        event = instance.get_latest_materialization_event(dg.AssetKey("warehouse_tables"))
        assert event is not None and event.asset_materialization is not None
        shown = {name: entry.value for name, entry in event.asset_materialization.metadata.items()}
        assert (shown["destination"], shown["dataset"], shown["as_of"]) == ("postgres", DATASET, str(DAYS[-1]))
        (members,) = (row.data for row in shown["tables"].records if row.data["table"] == "sigma_members")
        assert (members["rows"], members["days"], members["first"]) == (2, "", "")
        assert definitions.resolve_asset_graph().get(dg.AssetKey("warehouse_tables")).kinds == {"dlt", "postgres"}
        monkeypatch.setenv(CREDENTIALS, with_password(company.url, "wrong-secret-2"))
        failed = materialize()
        assert not failed.success
        said = str([event.event_specific_data for event in failed.all_events if event.is_failure])
        assert CREDENTIALS in said and "wrong-secret-2" not in said


def test_the_check_says_what_is_there_and_writes_nothing(company: Company, postgres_server: Any) -> None:
    def checked(url: str | None = None) -> tuple[bool | None, str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, text in company.settings(url).items():
                patch.setenv(name, text)
            step = check_warehouse(read_settings(environment_values(os.environ)))
        return step.passed, step.message

    company.command("export", "warehouse")
    (rows, first, last) = company.execute(f"SELECT sum(row_count), min(day), max(day) FROM {DATASET}.loaded_days")[0]
    there = f"18 tables with {rows} rows, of days from {first} to {last}"
    assert checked() == (True, f"postgres, dataset {DATASET}: {there}")
    empty = postgres_server.new_database()
    assert checked(empty) == (True, f"postgres, dataset {DATASET}: nothing was sent there yet")
    with psycopg.connect(empty) as connection:
        assert connection.execute("SELECT * FROM pg_namespace WHERE nspname LIKE 'sigma%'").fetchall() == []
    passed, said = checked(with_password(company.url, "wrong-secret-3"))
    assert passed is False and f"refuses the user or the password. Check {CREDENTIALS}" in said
    with psycopg.connect(company.url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {DATASET}.page_usage ADD COLUMN mine TEXT")
        passed, said = checked()
        connection.execute(f"ALTER TABLE {DATASET}.page_usage DROP COLUMN mine")
    assert passed is False and "page_usage has another column, mine" in said
