"""What dlt writes of our tables for databases that need an account: load files and statements. Nothing is sent."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import duckdb
import psycopg
import pytest

from sigma_impressions.destinations.warehouse import loader
from sigma_impressions.destinations.warehouse.days import Part
from sigma_impressions.destinations.warehouse.loader import Loaded, Loader, Warehouse
from sigma_impressions.destinations.warehouse.rows import Rows
from sigma_impressions.destinations.warehouse.tables import REGISTRY, TABLES, WarehouseTable
from sigma_impressions.insights.thresholds import DEFAULT_RULES
from sigma_impressions.lake.engine import DEFAULT_LIMITS
from sigma_impressions.publish.contents import AllContents
from sigma_impressions_tests.destinations.warehouse.published import Published, assert_holds, published
from sigma_impressions_tests.destinations.warehouse.stored import DAYS, stored
from sigma_impressions_tests.install.outside import ROOT, environment_of_pip, run

pytestmark = pytest.mark.soak

DATASET = "usage"


@dataclass(frozen=True)
class Dialect:
    """The credentials that docs/warehouse.md tells to set, and what our types and days become."""

    credentials: Mapping[str, str]
    types: Mapping[str, str]
    dataset: str
    quote: str = '"'
    capitals: bool = False
    partitioned: str = ""

    def name(self, of: str) -> str:
        return f"{self.quote}{of.upper() if self.capitals else of}{self.quote}"


_ARROW: Final = ("date32[day]", "string", "int32", "int64", "timestamp[us, tz=UTC]", "double", "bool")
_REGISTRY: Final = {
    "table_name": "string",
    "day": "date32[day]",
    "fingerprint": "string",
    "row_count": "int64",
    "storage_id": "string",
    "loaded_at": "timestamp[us, tz=UTC]",
}


def _types(*types: str) -> Mapping[str, str]:
    return dict(zip(_ARROW, types, strict=True))


DIALECTS: Final = {
    "snowflake": Dialect(
        {"CREDENTIALS": "snowflake://user:password@account/database?warehouse=w&role=r"},
        _types("DATE", "VARCHAR", "NUMBER(19,0)", "NUMBER(19,0)", "TIMESTAMP_LTZ", "FLOAT", "BOOLEAN"),
        '"USAGE"',
        capitals=True,
    ),
    "bigquery": Dialect(
        {
            "CREDENTIALS__PROJECT_ID": "project",
            "CREDENTIALS__PRIVATE_KEY": "key",
            "CREDENTIALS__CLIENT_EMAIL": "loader@project.example",
            "LOCATION": "EU",
        },
        _types("DATE", "STRING", "INT64", "INT64", "TIMESTAMP", "FLOAT64", "BOOL"),
        "`project`.`usage`",
        quote="`",
        partitioned="PARTITION BY {}",
    ),
    "databricks": Dialect(
        {
            "CREDENTIALS__SERVER_HOSTNAME": "host.example",
            "CREDENTIALS__HTTP_PATH": "/sql/1.0/warehouses/1",
            "CREDENTIALS__CATALOG": "catalog",
            "CREDENTIALS__ACCESS_TOKEN": "token",
        },
        _types("DATE", "STRING", "INT", "BIGINT", "TIMESTAMP", "DOUBLE", "BOOLEAN"),
        "`catalog`.`usage`",
        quote="`",
        partitioned="PARTITIONED BY ({})",
    ),
    "redshift": Dialect(
        {"CREDENTIALS": "redshift://user:password@host.example:5439/database"},
        _types("date", "varchar(max)", "integer", "bigint", "timestamp with time zone", "double precision", "boolean"),
        '"usage"',
    ),
}


@dataclass(frozen=True)
class Written:
    """What dlt has written for a database: the load files of each table, and a client that was not opened."""

    destination: str
    files: Mapping[str, list[Path]]
    client: Any
    tables: Mapping[str, Any]

    def created(self, table: str) -> str:
        """The statement that creates a table."""
        columns = list(self.tables[table]["columns"].values())
        return "\n".join(self.client._get_table_update_sql(table, columns, False))

    def replaced(self, table: WarehouseTable) -> list[str]:
        """The statements that bring rows from the staging dataset to where they are read."""
        client = self.client
        jobs = client._create_merge_followup_jobs if table.day else client._create_replace_followup_jobs
        (job,) = jobs([client.prepare_load_table(table.name)])
        return re.split(r"\n(?=INSERT )", Path(job._file_path).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The drivers in an environment of their own, which is found after this one."""
    folder = tmp_path_factory.mktemp("drivers")
    run(sys.executable, "-m", "venv", "venv", cwd=folder)
    wanted = "dlt[snowflake,bigquery,databricks]"
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "--constraint", ROOT / "constraints.txt", wanted, cwd=folder, env=environment_of_pip(), timeout=1200)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(packages)])
        yield


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = tmp_path_factory.mktemp("stored")
    tables = stored(folder / "storage")
    contents = AllContents(tables, DEFAULT_RULES, with_members=True)
    (folder / "scratch").mkdir()
    found = Rows(tables, contents, contents.as_of(DAYS[-1]), folder / "scratch", DEFAULT_LIMITS)
    found.prepare(DAYS)
    return found


@pytest.fixture(scope="module")
def wanted(rows: Rows) -> Published:
    return published(rows.tables, DAYS)


def _written(pipeline: Any, resources: list[Any]) -> SimpleNamespace:
    """The files of a load, of which none can fail."""
    pipeline.extract(resources)
    pipeline.normalize()
    return SimpleNamespace(raise_on_failed_jobs=lambda: None)


@pytest.fixture(scope="module", params=DIALECTS)
def written(request: pytest.FixtureRequest, rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    name: str = request.param
    with pytest.MonkeyPatch.context() as patch, loader._settings_of_dlt():
        for field, text in DIALECTS[name].credentials.items():
            patch.setenv(f"DESTINATION__{name.upper()}__{field}", text)
        warehouse = Warehouse(name, DATASET)
        pipeline: Any = loader._pipeline(warehouse, tmp_path_factory.mktemp(name))
        # As far as dlt comes without the database.
        patch.setattr(pipeline, "run", lambda resources: _written(pipeline, resources))
        sent = Loader(pipeline, warehouse)
        sent.load({table: partial(rows.of, table, DAYS) for table in TABLES.values()})
        sent.register({Part("page_usage", DAYS[0]): Loaded("f", 1, "s")}, datetime.now(UTC))
        files: dict[str, list[Path]] = {}
        for load in pipeline.list_normalized_load_packages():
            for job in pipeline.get_load_package_info(load).jobs["new_jobs"]:
                files.setdefault(job.job_file_info.table_name, []).append(Path(job.file_path))
        yield Written(name, files, pipeline.destination_client(), pipeline.default_schema.tables)


def test_the_load_files_hold_what_is_published(written: Written, wanted: Published, postgres_server: Any) -> None:
    with_rows = {name: found for name, found in wanted.items() if found[1]}
    assert with_rows.keys() <= written.files.keys()
    if written.destination == "redshift":
        with psycopg.connect(postgres_server.new_database()) as connection:
            _insert_as_redshift(connection, written)
            assert_holds(lambda query: connection.execute(query.encode()).fetchall(), DATASET, wanted)
    else:
        with duckdb.connect() as database:
            database.execute(f"CREATE SCHEMA {DATASET}")
            for name in with_rows:
                paths = [str(path) for path in written.files[name]]
                database.read_parquet(paths).to_view("loaded")
                database.execute(f"CREATE TABLE {DATASET}.{name} AS FROM loaded")
            assert_holds(lambda query: database.execute(query).fetchall(), DATASET, with_rows)


def _insert_as_redshift(connection: psycopg.Connection, written: Written) -> None:
    """Insert the rows into a PostgreSQL that reads texts as Redshift, which comes from it: a backslash escapes."""
    from dlt.destinations.insert_job_client import InsertValuesLoadJob

    connection.execute("SET standard_conforming_strings = off")
    connection.execute(f"CREATE SCHEMA {DATASET}".encode())
    for name in TABLES:
        connection.execute(written.created(name).replace("varchar(max)", "text").encode())
        for path in written.files.get(name, ()):
            job: Any = InsertValuesLoadJob(str(path))
            job._sql_client = written.client.sql_client
            for fragments in job._insert(f"{DATASET}.{name}", str(path)):
                connection.execute("".join(fragments).encode())


def test_the_tables_have_the_types_of_the_columns(written: Written, rows: Rows) -> None:
    dialect = DIALECTS[written.destination]
    for table in TABLES.values():
        statement = written.created(table.name)
        assert statement.startswith(f"CREATE TABLE {dialect.dataset}.{dialect.name(table.name)} (")
        for field in next(rows.of(table, DAYS)).schema:
            assert f"{dialect.name(field.name)} {dialect.types[str(field.type)]} " in statement, (table, field)
        if dialect.partitioned:
            by_day = dialect.partitioned.format(dialect.name(str(table.day)))
            assert (by_day in statement) is (table.day is not None)
    for name, kind in _REGISTRY.items():
        assert f"{dialect.name(name)} {dialect.types[kind]} " in written.created(REGISTRY)


def test_what_was_there_is_deleted_and_the_rest_inserted(written: Written) -> None:
    dialect = DIALECTS[written.destination]
    for table in TABLES.values():
        deleted, inserted = written.replaced(table)
        there = f"{dialect.dataset}.{dialect.name(table.name)}"
        if table.day is None:
            assert deleted == f"TRUNCATE TABLE {there}"
        else:
            assert deleted.startswith(f"DELETE FROM {there} "), deleted
            assert "WHERE EXISTS (SELECT 1 FROM " in deleted and deleted.count(dialect.name(table.day)) == 2
        assert inserted.startswith(f"INSERT INTO {there}("), inserted


def test_no_copy_of_the_rows_stays_in_a_stage(written: Written) -> None:
    assert getattr(written.client.config, "keep_staged_files", False) is False
