"""Database and report in a bucket: machines that share nothing else have the same pair, and never an older one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.errors import NothingComputed, ReportError
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import (
    DATABASE_NAME,
    publication_figures,
    publish_database,
    published_database,
    remove_database,
)
from sigma_impressions.report.write import (
    REPORT_NAME,
    published_pair,
    remove_report,
    report_companion,
    write_report,
)
from sigma_impressions.upkeep.edit_users import forget_stored
from sigma_impressions.upkeep.verify import verify_storage
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.servers.processes import Machine, command, nothing, publisher, reader
from sigma_impressions_tests.servers.test_storage import machine

AS_OF = date(2026, 11, 20)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def settings(remote_storage: RemoteStorage) -> dict[str, str]:
    return {
        **remote_storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://not-read/",
        "SIGMA_IMPRESSIONS_RESOURCES": "resources.csv",
        "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri,
    }


@pytest.fixture
def stored(settings: dict[str, str], tmp_path: Path) -> Iterator[Tables]:
    """The tables as one machine has them, with a workbook and a user's view of it."""
    with machine(tmp_path / "one", settings) as stored:
        discover(stored, pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]}))
        view(stored, "ann@x.org")
        yield stored


def view(stored: Tables, user: str) -> None:
    capture(stored, user, [Row(datetime(2026, 11, 20, 9, tzinfo=UTC), user, "wb1", None, 1, None)])
    refresh_daily_impressions(stored, "largest")
    refresh_metrics(stored, [AS_OF])


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_a_machine_that_has_nothing_reads_what_another_has_published(
    stored: Tables, settings: dict[str, str], tmp_path: Path
) -> None:
    publish_database(stored, companion=report_companion(stored.storage, "Usage", pytest.fail))
    (tmp_path / "two").mkdir()
    other = Machine(tmp_path / "two", {**settings, "SIGMA_IMPRESSIONS_NAME": "Usage"})
    other.run(command("report", "--to", str(tmp_path / "report.html")))
    assert (tmp_path / "report.html").read_bytes() == (stored.root / REPORT_NAME).read_bytes()
    other.run(command("export", "tables", "--format", "parquet", "--to", str(tmp_path / "tables")))
    assert pl.read_parquet(tmp_path / "tables" / "user_activity.parquet")["user_email"].to_list() == ["ann@x.org"]

    # Another database, whose report is still missing: it is made of that one, not of what this machine has.
    view(stored, "bob@x.org")
    publish_database(stored)
    other.run(command("report", "--to", str(tmp_path / "report.html")))
    with published_pair(stored.storage) as pair:
        assert publication_figures(pair.database)["users"] == 2
        assert pair.report.read_bytes() == (tmp_path / "report.html").read_bytes()


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_what_a_reader_has_written_into_its_copy_is_not_what_is_published(stored: Tables) -> None:
    publish_database(stored)
    database = stored.root / DATABASE_NAME
    changes = database.with_name(f"{DATABASE_NAME}.wal")
    changes.write_bytes(b"of a program that was killed")
    assert publication_figures(published_database(stored.storage))["users"] == 1
    assert not changes.exists()
    assert not publish_database(stored).is_new


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_what_an_earlier_version_has_published_stays_until_there_is_something_newer(
    stored: Tables, settings: dict[str, str], tmp_path: Path
) -> None:
    def as_by_an_earlier_version() -> None:
        """Files of this machine alone, of the same result."""
        publish_database(stored, companion=report_companion(stored.storage, "Usage", pytest.fail))
        kept = {name: (stored.root / name).read_bytes() for name in files}
        for name, content in kept.items():
            stored.storage.withdraw(name)
            (stored.root / name).write_bytes(content)

    def are_there() -> bool:
        return all((stored.root / name).exists() for name in files)

    files = (DATABASE_NAME, REPORT_NAME)
    as_by_an_earlier_version()
    told = rf"There is no {stored.storage.uri(DATABASE_NAME)} yet. .*{stored.root / DATABASE_NAME} stays until then"
    with pytest.raises(ReportError, match=told):
        write_report(stored.storage, "Usage")
    with pytest.raises(NothingComputed, match=told):
        published_database(stored.storage)
    # Neither by what a program has written to it, nor by a look at every byte that is published.
    changes = stored.root / f"{DATABASE_NAME}.wal"
    changes.write_bytes(b"of a program that was killed")
    verify_storage(stored, lambda _: None)
    assert not changes.exists()
    with pytest.raises(ZeroDivisionError):
        publish_database(stored, companion=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    assert are_there()
    # It is the same result, but nobody else has it yet.
    assert publish_database(stored, companion=report_companion(stored.storage, "Usage", pytest.fail)).is_new
    with machine(tmp_path / "two", settings) as other:
        assert publication_figures(published_database(other.storage))["users"] == 1
    remove_report(stored.storage)
    remove_database(stored.storage)
    as_by_an_earlier_version()
    forget_stored(stored, "ann@x.org", None, lambda _: None)
    assert not any((stored.root / name).exists() for name in files)


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_who_forgets_a_user_takes_away_what_is_published(
    stored: Tables, settings: dict[str, str], tmp_path: Path
) -> None:
    publish_database(stored)
    write_report(stored.storage, "Usage")
    with machine(tmp_path / "two", settings) as other:
        assert published_database(other.storage).exists()
        forget_stored(stored, "ann@x.org", None, lambda _: None)
        for name in (DATABASE_NAME, REPORT_NAME):
            # Of what is published, and of its copies.
            assert other.storage.fetch(name) is None
            assert not (other.root / name).exists()
            assert not (stored.root / name).exists()
        assert publish_database(other).is_new
        assert publication_figures(published_database(stored.storage))["users"] == 1


@pytest.mark.parametrize(
    ("remote_storage", "in_turn", "at_once"),
    [("s3", 1, 2), *(pytest.param(store, 10, 40, marks=pytest.mark.soak) for store in ("s3", "gcs"))],
    indirect=["remote_storage"],
)
def test_who_only_reads_has_complete_pairs_and_never_an_older_one(
    in_turn: int, at_once: int, stored: Tables, settings: dict[str, str], tmp_path: Path
) -> None:
    for name in ("two", "three", "reading"):
        (tmp_path / name).mkdir()
    two, three, reading = (Machine(tmp_path / name, settings) for name in ("two", "three", "reading"))
    publish_database(stored, companion=report_companion(stored.storage, "Usage", pytest.fail))
    two.run(nothing())
    files = 1 + 2 * (in_turn + at_once)
    under_way = [(reading, reading.start(reader(files)))]
    for number in range(in_turn):
        for other in (two, three):
            other.run(publisher(f"in turn {number} by {other.storage.parent.name}", 1))
    under_way += [(other, other.start(publisher(f"by {other.storage.parent.name}", at_once))) for other in (two, three)]
    for other, process in under_way:
        other.end(process)
    assert "publications were read" in reading.log.read_text(encoding="utf-8")
    assert files_published(stored) == files


def files_published(stored: Tables) -> int:
    """How many export files the published pair is of."""
    with published_pair(stored.storage) as pair, duckdb.connect(str(pair.database), read_only=True) as connection:
        ((counted,),) = connection.execute("SELECT count(*) FROM export_files").fetchall()
    return int(counted)


@pytest.mark.soak
@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_what_a_killed_publisher_leaves_is_made_a_pair(
    stored: Tables, settings: dict[str, str], tmp_path: Path
) -> None:
    rng, files = random.Random(17), 0
    (tmp_path / "two").mkdir()
    other = Machine(tmp_path / "two", settings)
    other.run(nothing())
    seconds = other.run(publisher("calm", 1))
    names = (f"killed {number}" for number in count())
    for _ in range(40):
        while not other.kill(publisher(next(names), 1), rng.uniform(0, seconds)):
            pass
        # Of some there is a database with the report of the one before it.
        write_report(stored.storage, "Usage")
        try:
            counted = files_published(stored)
        except ReportError:
            # The server has put the killed one's database in place after that; the error says to do it again.
            write_report(stored.storage, "Usage")
            counted = files_published(stored)
        assert counted >= files
        files = counted
    other.run(publisher("calm at last", 1))
    assert not write_report(stored.storage, "Usage").is_new
