"""The published database and the report of it are a pair, whoever publishes, and whatever comes in between."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import InputsChanged, NothingComputed, ReportError
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import (
    DATABASE_NAME,
    Published,
    publication_figures,
    publish_database,
    published_database,
)
from sigma_impressions.publish.settle import publish_settled
from sigma_impressions.report import render, write
from sigma_impressions.report.read import Publication, read_publication
from sigma_impressions.report.write import (
    REPORT_NAME,
    published_pair,
    remove_report,
    report_companion,
    write_report,
)
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_PATIENCE", Backoff(attempts=3, first=0.01))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    discover(tables, pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]}))
    view(tables, "ann")
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path, dirs_exist_ok=True))


def view(tables: Tables, user: str) -> None:
    """Another user views the workbook, and is counted."""
    capture(tables, user, [Row(datetime(2026, 11, 20, 9, tzinfo=UTC), f"{user}@x.org", "wb1", None, 1, None)])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])


def publish(tables: Tables, told: Callable[[str], None] = pytest.fail) -> Published:
    return publish_database(tables, companion=report_companion(tables.storage, "Usage", told))


def users(tables: Tables) -> int:
    """The users of the published pair."""
    with published_pair(tables.storage) as pair:
        assert f"{pair.publication.made_from}" in pair.report.read_text(encoding="utf-8")
        assert read_publication(pair.database) == pair.publication
        return int(publication_figures(pair.database)["users"])


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without hard links"])
def test_a_publication_is_a_pair(links: bool, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    assert publish(tables).is_new
    assert users(tables) == 1
    # Nothing is left to do for those who look after the report.
    assert not write_report(tables.storage, "Usage").is_new
    view(tables, "bob")
    with published_pair(tables.storage) as before:
        assert publish(tables).is_new
        assert users(tables) == 2
        assert publication_figures(before.database)["users"] == 1
    assert not publish(tables).is_new


def test_a_report_of_another_database_is_refused_and_made_good(tables: Tables) -> None:
    with pytest.raises(ReportError, match="sigma-impressions run publishes it"), published_pair(tables.storage):
        pass
    with pytest.raises(NothingComputed, match="sigma-impressions run publishes it"):
        published_database(tables.storage)
    publish_database(tables)
    refused = rf"{REPORT_NAME} is not the report of the database beside it.* sigma-impressions report makes it anew"
    publish(tables)
    view(tables, "bob")
    # As by a run that was killed before its report was there; the one of before is, and then none.
    publish_database(tables)
    for _ in range(2):
        with pytest.raises(ReportError, match=refused):
            users(tables)
        assert write_report(tables.storage, "Usage").is_new
        assert users(tables) == 2
        remove_report(tables.storage)


def test_a_report_that_cannot_be_made_keeps_no_database_back(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tables)
    view(tables, "bob")
    told: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(render, "render", lambda *_: 1 / 0)
        assert publish(tables, told.append).is_new
        with pytest.raises(ZeroDivisionError):
            write_report(tables.storage, "Usage")
    assert told == ["The report was not published with the database: ZeroDivisionError"]
    assert publication_figures(published_database(tables.storage))["users"] == 2
    assert write_report(tables.storage, "Usage").is_new
    assert users(tables) == 2


def test_who_is_overtaken_while_building_publishes_nothing_and_begins_again(tables: Tables, tmp_path: Path) -> None:
    storage, overtakes = tables.storage, ["bob", "cyd"]

    def overtaken(database: Path) -> Callable[[], None]:
        """Somebody else sees more, and publishes that, while the database of this publication is built."""
        if overtakes:
            view(tables, overtakes.pop())
            other = tmp_path / ".work" / "of another"
            shutil.copyfile(database, other)
            storage.publish(DATABASE_NAME, other, storage.fetch(DATABASE_NAME))
        return report_companion(storage, "Usage", pytest.fail)(database)

    with pytest.raises(InputsChanged, match=f"Another process has published .*{DATABASE_NAME} in between"):
        publish_database(tables, companion=overtaken)
    assert publication_figures(published_database(storage))["users"] == 1
    told: list[str] = []
    published = publish_settled(tables, "largest", [AS_OF], None, report=told.append, companion=overtaken)
    assert published.is_new
    assert len(told) == 1
    assert "in between. Computing again." in told[0]
    assert users(tables) == 3


@pytest.mark.parametrize("overtaken", ["before it looks", "after it has looked", "half, after it has looked"])
def test_no_report_takes_the_place_of_that_of_a_newer_database(
    overtaken: str, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    companion = report_companion(tables.storage, "Usage", pytest.fail)
    late: list[Callable[[], None]] = []

    def slow(database: Path) -> Callable[[], None]:
        late.append(companion(database))
        return lambda: None

    def overtake() -> None:
        view(tables, "bob")
        publish_database(tables, companion=slow if overtaken.startswith("half") else companion)

    def overtaken_reading(database: Path) -> Publication:
        monkeypatch.undo()
        publication = read_publication(database)
        overtake()
        return publication

    publish_database(tables, companion=slow)
    if overtaken == "before it looks":
        overtake()
    else:
        monkeypatch.setattr(write, "read_publication", overtaken_reading)
    # The older one first, then what the newer one had left for later.
    for publish_report in late:
        publish_report()
    assert users(tables) == 2
    assert len(late) == 1 + overtaken.startswith("half")
