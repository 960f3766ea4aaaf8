"""A storage of the version that kept the users of every resource as of every date: they go, and nothing else does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from sigma_impressions.lake import tables as tables_module
from sigma_impressions.lake.commits import append_rows, drop_former_columns
from sigma_impressions.lake.schemas import AS_OF_DATES, METRIC_TABLES, RESOURCE_IMPRESSIONS
from sigma_impressions.lake.tables import Tables, files_of, local_paths
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.edit_users import forget_stored
from sigma_impressions_tests.metrics.captured import capture, discover, published_users
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

DATES = [date(2026, 11, 12), date(2026, 11, 20)]
USERS = ("ann@example.com", "bob@example.com")


def row(day: int, user: str, workbook: str = "Sales", count: int = 1) -> Row:
    return Row(datetime(2026, 11, day, 9, tzinfo=UTC), user, workbook, None, count)


def refresh(tables: Tables) -> tuple[date, ...]:
    refresh_daily_impressions(tables, "largest")
    return refresh_metrics(tables, DATES).built


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    workbooks = pl.DataFrame({"workbook_url_id": ["Sales", "Costs", "Unused"]})
    discover(tables, workbooks.with_columns(resource_type=pl.lit("sigma_workbook")))
    capture(tables, "a", [row(10, USERS[0]), row(11, USERS[1], count=5), row(18, USERS[0]), row(19, USERS[0], "Costs")])
    refresh(tables)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def stored_before(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same storage as the version before has written it."""
    tables = Tables(shutil.copytree(stored, tmp_path_factory.mktemp("stored") / "before"))
    rows = tables.read(RESOURCE_IMPRESSIONS).collect()
    key = ["as_of_date", "workbook_url_id"]
    lists = pl.concat([published_users(tables, as_of) for as_of in DATES])
    fields = ("user_email", pl.selectors.starts_with("impressions_"), pl.selectors.ends_with("_impression_at"))
    used = lists.group_by(key).agg(used=pl.struct(*fields))
    columns = {**RESOURCE_IMPRESSIONS.schema, "used": used.schema["used"]}
    table = replace(RESOURCE_IMPRESSIONS, schema=pl.Schema(columns))
    shutil.rmtree(tables.root / table.name)
    (tables.root / "sigma_impressions.duckdb").unlink()
    with pytest.MonkeyPatch.context() as earlier:
        earlier.setattr(tables_module, "SCHEMA_VERSION", 4)
        append_rows(Tables(tables.root).open(table), rows.join(used, on=key, how="left"))
    assert set(held_columns(Tables(tables.root))) == {True}
    return tables.root


@pytest.fixture
def older(stored_before: Path, tmp_path: Path) -> Tables:
    """A copy of what the version before has stored."""
    return Tables(shutil.copytree(stored_before, tmp_path, dirs_exist_ok=True))


def held_columns(tables: Tables) -> list[bool]:
    """Of each data file whether it holds the lists."""
    handle = tables.open(RESOURCE_IMPRESSIONS)
    return ["used" in pl.read_parquet_schema(path) for path in local_paths(handle, files_of(handle))]


def test_the_tables_of_the_as_of_dates_hold_numbers_only(tables: Tables) -> None:
    for table in METRIC_TABLES:
        handle = tables.open(table)
        for path in local_paths(handle, files_of(handle)):
            assert not any(dtype.is_nested() for dtype in pl.read_parquet_schema(path).values())


def test_who_viewed_is_published_for_any_as_of_date(tables: Tables) -> None:
    found = {as_of: published_users(tables, as_of) for as_of in DATES}
    figures = ("workbook_url_id", "user_email", "impressions_14d", "impressions_60d")
    assert found[date(2026, 11, 12)].select(figures).rows() == [("Sales", USERS[1], 5, 5), ("Sales", USERS[0], 1, 1)]
    assert found[date(2026, 11, 20)].select(figures).rows() == [
        ("Costs", USERS[0], 1, 1),
        ("Sales", USERS[1], 5, 5),
        ("Sales", USERS[0], 2, 2),
    ]


def test_the_users_of_an_older_storage_go_and_no_date_is_restated(older: Tables) -> None:
    rows, registered = older.read(RESOURCE_IMPRESSIONS).collect(), older.registry(AS_OF_DATES)
    published = published_users(older, DATES[0])
    assert refresh(older) == ()
    maintain(older, timedelta(days=7), silent)
    assert set(held_columns(older)) == {False}
    assert older.read(RESOURCE_IMPRESSIONS).collect().equals(rows)
    assert older.registry(AS_OF_DATES).equals(registered)
    assert refresh(older) == ()
    assert not publish_database(older, DATES[0]).is_new
    assert published_users(older, DATES[0]).equals(published)
    # Who reads the table itself finds the column, and nothing in it.
    assert pl.read_delta(str(older.root / RESOURCE_IMPRESSIONS.name))["used"].null_count() == rows.height
    # Known for good: nobody looks into the files again.
    version = older.open(RESOURCE_IMPRESSIONS).version()
    maintain(older, timedelta(days=7), silent)
    assert older.open(RESOURCE_IMPRESSIONS).version() == version


def test_a_date_that_is_restated_meanwhile_stays_as_it_was_restated(older: Tables) -> None:
    handle = older.open(RESOURCE_IMPRESSIONS)
    capture(older, "late", [row(9, USERS[1])])
    assert refresh(older) == tuple(DATES)
    restated = older.read(RESOURCE_IMPRESSIONS).collect()
    with pytest.raises(CommitFailedError):
        drop_former_columns(handle)
    maintain(older, timedelta(days=7), silent)
    assert older.read(RESOURCE_IMPRESSIONS).collect().equals(restated)


def test_a_run_that_is_overtaken_by_maintenance_looks_again(older: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    capture(older, "late", [row(9, USERS[1])])
    refresh_daily_impressions(older, "largest")
    overtake(monkeypatch, lambda: maintain(Tables(older.root), timedelta(days=7), silent))
    assert refresh(older) == tuple(DATES)
    total = older.read(RESOURCE_IMPRESSIONS).select(pl.col("total_impressions_60d").sum()).collect().item()
    assert total == (1 + 5 + 1) + (1 + 5 + 1 + 1 + 1)


def overtake(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Any]) -> None:
    """Let something happen once, after a run has computed and before it writes."""
    from sigma_impressions.metrics import as_of

    write, done = as_of.replace_days, []

    def overtaken(*args: Any) -> None:
        if not done:
            done.append(meanwhile())
        write(*args)

    monkeypatch.setattr(as_of, "replace_days", overtaken)


def test_a_user_of_an_older_storage_is_forgotten_in_the_lists_too(older: Tables) -> None:
    forget_stored(older, USERS[0], None, silent)
    assert set(held_columns(older)) == {False}
    for path in older.root.rglob("*.parquet"):
        assert USERS[0] not in str(pl.read_parquet(path, hive_partitioning=False).to_dicts()), path
    assert refresh(older) == ()
    users = published_users(older, DATES[1])["user_email"]
    assert sorted(user.split("_")[0] for user in users) == [USERS[1], "forgotten", "forgotten"]
