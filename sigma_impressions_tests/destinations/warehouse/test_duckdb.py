"""The export to a warehouse, with DuckDB for one: the same code as for any other, in a second or two each."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sigma_impressions.destinations.warehouse import export
from sigma_impressions.destinations.warehouse.export import Asked, Exported, export_to_warehouse
from sigma_impressions.destinations.warehouse.loader import Loader, Warehouse, opened_loader
from sigma_impressions.destinations.warehouse.rows import Rows
from sigma_impressions.errors import WarehouseChanged, WarehouseError
from sigma_impressions.lake.commits import replace_rows
from sigma_impressions.lake.schemas import DAILY_TOTALS, USER_ACTIVITY, Table
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.upkeep.edit_users import forget_stored
from sigma_impressions_tests.destinations.warehouse.published import Published, assert_holds, published
from sigma_impressions_tests.destinations.warehouse.stored import DAYS, add_late_file, stored

pytestmark = pytest.mark.slow

DATASET = "usage"
WAREHOUSE = Warehouse("duckdb", DATASET)


@dataclass(frozen=True)
class Place:
    """A storage, and the file of the database that is its warehouse."""

    folder: Path

    @property
    def tables(self) -> Tables:
        return Tables(self.folder / "storage")

    def execute(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(query).fetchall()

    @property
    def file(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def export(self, report: Callable[[str], None] = lambda _: None, **asked: Any) -> Exported:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(self.file))
            return export_to_warehouse(self.tables, WAREHOUSE, report, asked=Asked(**asked))

    def assert_exported(self, wanted: Published | None = None) -> None:
        """The warehouse holds just what is published."""
        assert_holds(self.execute, DATASET, wanted or published(self.tables, DAYS))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A storage whose warehouse is empty yet."""
    place = Place(tmp_path_factory.mktemp("original"))
    stored(place.folder / "storage")
    return place


@pytest.fixture(scope="module")
def exported(original: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same, exported."""
    place = copy(original, tmp_path_factory.mktemp("exported"))
    place.export()
    return place


@pytest.fixture(scope="module")
def unchanged(original: Place) -> Published:
    """What is published of the storage as it is."""
    return published(original.tables, DAYS)


@pytest.fixture
def empty(original: Place, tmp_path: Path) -> Place:
    return copy(original, tmp_path)


@pytest.fixture
def place(exported: Place, tmp_path: Path) -> Place:
    return copy(exported, tmp_path)


def copy(place: Place, folder: Path) -> Place:
    return Place(Path(shutil.copytree(place.folder, folder, dirs_exist_ok=True)))


def test_it_holds_what_is_published_of_every_as_of_date(place: Place, unchanged: Published) -> None:
    place.assert_exported(unchanged)
    # Nothing is sent twice.
    again = place.export()
    assert (again.rows.total(), again.days.total(), again.changed) == (0, 0, [])
    # dlt's files are gone, and so is what lay between.
    assert [path for path in (place.tables.root / WORK_FOLDER).iterdir() if path.is_dir()] == []
    assert place.execute(f"SELECT count(*) FROM {DATASET}_staging.resource_users") == [(0,)]


def test_a_restated_day_is_restated_there_and_nothing_else_is_sent(place: Place) -> None:
    add_late_file(place.tables, DAYS[1])
    sent = place.export().days
    place.assert_exported()
    assert {"daily_impressions": 1, "resource_impressions": 2, "usage_summary": 2}.items() <= sent.items()


def test_a_day_that_has_become_empty_is_emptied_there(place: Place, unchanged: Published) -> None:
    # An empty load would leave them where they are.
    row = f"('{DAYS[0]}', 'unknown_workbook')"
    place.execute(f"INSERT INTO {DATASET}.unmatched_impressions (as_of_date, reason) VALUES {row}")
    assert [str(one) for one in place.export().changed] == [
        f"unmatched_impressions of {DAYS[0]} has 1 rows, 0 were loaded"
    ]
    place.export(resend=True, tables=("unmatched_impressions",))
    place.assert_exported(unchanged)


def test_who_is_forgotten_is_forgotten_there(place: Place) -> None:
    forget_stored(place.tables, "ann@x.org", None, lambda _: None)
    place.export()
    place.assert_exported()
    for schema, name in place.execute("SELECT schema_name, table_name FROM duckdb_tables()"):
        assert "ann@x.org" not in str(place.execute(f"FROM {schema}.{name}"))


def test_an_interrupted_export_goes_on_where_it_was(
    empty: Place, unchanged: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_DAYS_AT_ONCE", 1)

    def stop(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        empty.export(stop)
    said: list[str] = []
    assert empty.export(said.append).days["resource_users"] == 2
    assert [line.partition(" rows of ")[2] for line in said] == [
        f"{DAYS[1]} to {DAYS[1]}, 1 of 2 days",
        f"{DAYS[0]} to {DAYS[0]}, 2 of 2 days",
    ]
    empty.assert_exported(unchanged)


def test_a_first_load_that_was_killed_is_begun_again(place: Place, unchanged: Published) -> None:
    # As it is after the tables were created, and before anything was in them.
    for (name,) in place.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'usage'"):
        if name == "_dlt_pipeline_state" or not name.startswith("_dlt_"):
            place.execute(f"DELETE FROM usage.{name}")
    place.export()
    place.assert_exported(unchanged)


def test_a_period_is_brought_up_to_date_alone(empty: Place) -> None:
    sent = empty.export(first=DAYS[1], last=DAYS[1]).days
    assert set(sent.values()) == {1}
    assert "sigma_resources" not in sent
    assert empty.execute(f"SELECT DISTINCT as_of_date FROM {DATASET}.user_activity") == [(DAYS[1],)]


def test_tables_that_are_not_chosen_do_not_go(empty: Place) -> None:
    assert set(empty.export(tables=("user_activity", "sigma_resources")).rows) == {"user_activity", "sigma_resources"}
    said: list[str] = []
    assert empty.export(said.append, tables=("sigma_resources",)).rows.total() == 0
    assert said == [f"{WAREHOUSE}: not sent any more, and as they were: user_activity; drop them there"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("ALTER TABLE usage.popular_resources ADD COLUMN mine VARCHAR", "popular_resources has another column, mine"),
        ("ALTER TABLE usage.user_activity DROP COLUMN kind", "user_activity has no column kind any more"),
        ("DROP TABLE usage.page_usage", "the table page_usage is gone"),
        ("UPDATE usage.loaded_days SET storage_id = 'x'", "results of another storage location"),
    ],
)
def test_what_others_have_changed_is_told_and_nothing_is_written(place: Place, statement: str, told: str) -> None:
    place.execute(statement)
    before = place.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY ALL")
    with pytest.raises(WarehouseChanged, match=told):
        place.export(resend=True)
    assert place.execute("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY ALL") == before


def test_a_table_of_somebody_else_is_left_alone(empty: Place) -> None:
    empty.execute("CREATE SCHEMA usage")
    empty.execute("CREATE TABLE usage.user_activity (mine VARCHAR)")
    with pytest.raises(WarehouseChanged, match="there is a table user_activity that was not loaded by this"):
        empty.export()


def test_a_table_that_was_given_up_is_loaded_anew(place: Place, unchanged: Published) -> None:
    place.execute("DROP TABLE usage.page_usage")
    place.execute("DELETE FROM usage.loaded_days WHERE table_name = 'page_usage'")
    assert set(place.export().days) == {"page_usage"}
    place.assert_exported(unchanged)


def test_rows_that_others_have_changed_are_told_and_stay(place: Place, unchanged: Published) -> None:
    place.execute(f"DELETE FROM {DATASET}.resource_users WHERE as_of_date = '{DAYS[1]}'")
    exported = place.export()
    assert [(one.part.table, one.part.day, one.found) for one in exported.changed] == [("resource_users", DAYS[1], 0)]
    assert exported.rows.total() == 0
    assert place.export(resend=True, tables=("resource_users",)).changed == []
    place.assert_exported(unchanged)


def test_days_that_are_no_more_are_deleted(place: Place, unchanged: Published) -> None:
    later = datetime.now(UTC).date() + timedelta(days=30)
    place.execute(f"INSERT INTO usage.user_activity (as_of_date, user_email) VALUES ('{later}', 'x')")
    place.execute(
        "INSERT INTO usage.loaded_days SELECT * REPLACE ($$later$$ AS day) FROM usage.loaded_days "
        "WHERE table_name = 'user_activity' LIMIT 1".replace("$$later$$", f"DATE '{later}'")
    )
    assert place.export().deleted == 1
    place.assert_exported(unchanged)


@pytest.mark.parametrize(("table", "column"), [(DAILY_TOTALS, "event_date"), (USER_ACTIVITY, "as_of_date")])
def test_a_day_that_is_just_being_built_anew_stays(
    place: Place, unchanged: Published, table: Table, column: str
) -> None:
    # As a run leaves it that was killed between the tables and their registry, which it writes last.
    replace_rows(place.tables.open(table), column, [DAYS[1]], table.no_rows())
    exported = place.export()
    assert (exported.deleted, exported.rows.total()) == (0, 0)
    place.assert_exported(unchanged)


def test_what_two_machines_have_loaded_at_once_is_loaded_anew(place: Place, unchanged: Published) -> None:
    part = f"table_name = 'page_usage' AND day = '{DAYS[1]}'"
    other = "SELECT * REPLACE ('x' AS fingerprint) FROM usage.loaded_days"
    place.execute(f"INSERT INTO usage.loaded_days {other} WHERE {part}")
    assert place.export().days == {"page_usage": 1}
    assert place.execute(f"SELECT count(*) FROM usage.loaded_days WHERE {part}") == [(1,)]
    place.assert_exported(unchanged)


def test_what_another_export_has_loaded_meanwhile_is_loaded_anew(
    place: Place, unchanged: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They share the tables in which dlt prepares what it replaces, so that each may have emptied days of the other.
    place.execute("DELETE FROM usage.loaded_days WHERE table_name = 'page_usage'")
    load = Loader.load

    def with_another(loader: Loader, rows: Any) -> Any:
        counted = load(loader, rows)
        other = f"SELECT * REPLACE ('page_usage' AS table_name) FROM usage.loaded_days WHERE day = '{DAYS[0]}' LIMIT 1"
        place.execute(f"INSERT INTO usage.loaded_days {other}")
        place.execute(f"DELETE FROM usage.page_usage WHERE as_of_date = '{DAYS[0]}'")
        return counted

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "load", with_another)
        with pytest.raises(WarehouseError, match="another export was at work"):
            place.export(first=DAYS[1])
    assert place.export().days == {"page_usage": len(DAYS)}
    place.assert_exported(unchanged)


def test_what_a_later_version_has_loaded_is_left_alone(place: Place) -> None:
    row = "SELECT * REPLACE ('of_later' AS table_name) FROM usage.loaded_days LIMIT 1"
    place.execute(f"INSERT INTO usage.loaded_days {row}")
    assert place.export().rows.total() == 0


def test_a_warehouse_that_is_not_there_is_told_with_the_setting(empty: Place) -> None:
    empty.file.mkdir()
    with pytest.raises(WarehouseError, match="DESTINATION__DUCKDB__CREDENTIALS"):
        empty.export()


def test_what_dlt_is_told_lies_in_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dlt").mkdir()
    (tmp_path / ".dlt" / "secrets.toml").write_text('[destination.duckdb]\ncredentials = "usage.duckdb"\n')
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    with opened_loader(WAREHOUSE, tmp_path / "dlt") as loader:
        assert loader.loaded() == {}
    assert (tmp_path / "usage.duckdb").is_file()


@pytest.mark.parametrize(
    ("where", "reason", "told"),
    [
        (f"{Rows.__module__}.Rows.of", duckdb.OutOfMemoryException("too little memory"), "^too little memory$"),
        ("dlt.Pipeline.run", OSError(errno.ENOSPC, "No space left on device"), "This machine has no space left"),
    ],
)
def test_what_fails_on_this_machine_is_not_the_fault_of_the_warehouse(
    place: Place, monkeypatch: pytest.MonkeyPatch, where: str, reason: Exception, told: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise reason

    monkeypatch.setattr(where, fail)
    with pytest.raises((WarehouseError, duckdb.Error), match=told):
        place.export(tables=("page_usage",), resend=True)


def test_dlt_is_set_up_for_the_export_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "true")
    before = dict(os.environ)
    telemetry: list[str] = []
    place.export(
        lambda _: telemetry.append(os.environ["RUNTIME__DLTHUB_TELEMETRY"]), tables=("page_usage",), resend=True
    )
    # Nobody is told that this runs; other pipelines of the process have their own settings.
    assert set(telemetry) == {"false"}
    assert dict(os.environ) == before


def test_what_did_not_arrive_is_not_registered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    # As a constraint of others does that the rows do not keep.
    place.execute("DELETE FROM usage.user_activity; CREATE UNIQUE INDEX theirs ON usage.user_activity (as_of_date)")
    monkeypatch.setenv("LOAD__RAISE_ON_FAILED_JOBS", "false")
    with pytest.raises(WarehouseError, match="loading failed"):
        place.export(tables=("user_activity",), resend=True)
    assert place.execute("SELECT 1 FROM usage.loaded_days WHERE table_name = 'user_activity'") == []
