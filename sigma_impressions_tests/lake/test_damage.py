"""Something of the storage is lost or broken: what is published is right, or nothing is, and the message says why."""

from __future__ import annotations

import random
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sigma_impressions.errors import DamagedError
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.inventory import require_intact
from sigma_impressions.lake.repair import drop_damaged
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DATA_FILES,
    EXPORT_FILES,
    RESOURCE_IMPRESSIONS,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
)
from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.lake.tables import StoredTable, Tables, shorten_log
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.publish.settle import publish_settled
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.drop_detail import drop_detail
from sigma_impressions.upstream.contract import SCHEMA, conform
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members, members_as_of
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests import cases
from sigma_impressions_tests.exports.bucket import Bucket, scanned

HEADER = "request_time,user_email,workbook_url_id\n"
LAST = date(2026, 11, 20)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

AS_OF_DATES = [date(2026, 11, day) for day in (12, 13, 18, 19, 20)]


def day_of(number: int) -> date:
    return date(2026, 11, number)


def export(*rows: tuple[int, str, str]) -> bytes:
    """An export file of views (day of the month, user, workbook), one minute after the other; the last row is none."""
    lines = [f"2026-11-{day} 08:{n:02}:00,{user},{workbook}\n" for n, (day, user, workbook) in enumerate(rows)]
    return (HEADER + "".join(lines) + "never,ada@x,wb1\n").encode()


def members_on(day: int) -> pl.DataFrame:
    """The only member on a day, another one on the last."""
    email = "ada@x" if day < LAST.day else "new@x"
    return as_stored(pl.DataFrame([{"member_id": email, "email": email, "teams": ["HR"]}], MEMBERS), None)


@dataclass
class World:
    """A storage, and the bucket and workbooks that runs read."""

    folder: Path
    bucket: Bucket = field(default_factory=Bucket)
    workbooks: tuple[str, ...] = ("wb1", "wb2", "wb3")

    def put(self, day: int, *rows: tuple[int, str, str]) -> None:
        content = export(*rows)
        self.bucket.put(f"{day}-{digest([content])}.csv", content, datetime(2026, 11, day, 20, tzinfo=UTC))

    def run(self, *days: int, renormalize: bool = False) -> None:
        """What a run of the job does, in the order of its steps."""
        tables, file_dates = Tables(self.folder), [day_of(day) for day in days]
        scanned(tables, self.bucket, *file_dates, days=file_dates, renormalize=file_dates if renormalize else ())
        require_intact(tables)
        refresh_daily_impressions(tables, "largest")
        names = [{"resource_type": "sigma_workbook", "workbook_url_id": name, "name": name} for name in self.workbooks]
        frame = conform(pl.DataFrame(names, schema=SCHEMA), "the test")
        taken_at = datetime(2026, 11, days[-1], 21, tzinfo=UTC)
        capture_snapshot(tables, frame, "the test", taken_at)
        capture_members(tables, members_on(days[-1]), "the test", taken_at)
        refresh_metrics(tables, file_dates)
        publish_settled(tables, "largest", file_dates, None, report=lambda line: None)

    def numbers(self) -> dict[str, Any]:
        """What is published, and what the tables say of every day that a run has covered."""
        tables = Tables(self.folder)
        stored = {
            f"{table.name} {day}": read_as_of(tables, table, day).drop("used", strict=False).to_dicts()
            for table in (RESOURCE_IMPRESSIONS, USER_ACTIVITY, UNMATCHED_IMPRESSIONS)
            for day in AS_OF_DATES
        }
        stored |= {f"members {day}": members_as_of(tables, day).to_dicts() for day in AS_OF_DATES}
        published = cases.published(self.folder / DATABASE_NAME)
        published["files"].sort(key=lambda file: str(file["key"]))
        return {**stored, **published}

    def copy(self, folder: Path) -> World:
        shutil.copytree(self.folder, folder)
        bucket = Bucket()
        bucket.objects = dict(self.bucket.objects)
        return World(folder, bucket, self.workbooks)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Runs of nine days, with days of which only the totals are left, vanished workbooks, and one maintenance."""
    world = World(tmp_path_factory.mktemp("world") / "a storage")
    world.put(12, (11, "ada@x", "wb1"), (12, "bob@x", "wb2"), (12, "bob@x", "gone"))
    world.run(12)
    world.put(13, (13, "ada@x", "wb1"), (13, "cyd@x", "wb3"))
    world.run(13)
    # Closes the days before the 13th.
    now = datetime.now(UTC)
    drop_detail(Tables(world.folder), (now.date() - day_of(13)).days, "largest", now, lambda line: None)
    world.put(18, (13, "ada@x", "wb1"), (13, "cyd@x", "wb3"), (18, "eve@x", "wb2"))
    world.put(18, (18, "eve@x", "wb2"), (18, "ada@x", "wb2"))
    world.run(18)
    world.workbooks = ("wb1", "wb2")
    world.put(19, (19, "bob@x", "wb3"), (19, "bob@x", "wb1"))
    world.run(18, 19)
    maintain(Tables(world.folder), timedelta(days=1), lambda line: None)
    world.put(20, (20, "bob@x", "wb1"), (20, "new@x", "wb1"))
    world.run(19, 20)
    return world


@pytest.fixture(scope="module")
def right(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The numbers after one more run over an intact storage."""
    intact = world.copy(tmp_path_factory.mktemp("right") / "storage")
    one_more_run(intact)
    return intact.numbers()


def one_more_run(world: World) -> None:
    world.put(20, (20, "zoe@x", "wb2"), (19, "zoe@x", "wb1"))
    world.run(19, 20)


def stored_files(folder: Path) -> list[Path]:
    """Every file of every table, those of its log too."""
    return sorted(path for table in ALL_TABLES for path in (folder / table.name).rglob("*") if path.is_file())


def damage(path: Path, how: str, share: float = 0.5) -> None:
    if how == "removed":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)] if how == "cut" else b"")


def check_damage(world: World, right: dict[str, Any], folder: Path, seed: int) -> str:
    """Damage a file, run, and give up what is lost; what came of it."""
    choose = random.Random(seed)
    hurt = world.copy(folder / "storage")
    path = choose.choice(stored_files(hurt.folder))
    how = choose.choice(("removed", "emptied", "cut"))
    damage(path, how, choose.random())
    if choose.random() < 0.5:
        # What was captured before may not be in the bucket any more.
        hurt.bucket.objects.clear()
    return run_and_give_up(hurt, right, path.relative_to(hurt.folder).parts[0], f"seed {seed}: {path} {how}")


def run_and_give_up(hurt: World, right: dict[str, Any], table: str, what: str) -> str:
    """One more run over a storage of which a table is damaged, and what is lost given up; what came of it."""
    before = (hurt.folder / DATABASE_NAME).read_bytes()
    try:
        one_more_run(hurt)
    except DamagedError as error:
        assert table in str(error), f"{what}: {error}"
        assert (hurt.folder / DATABASE_NAME).read_bytes() == before, what
    else:
        assert hurt.numbers() == right, what
        return "right"
    drop_damaged(Tables(hurt.folder), lambda line: None)
    hurt.run(19, 20)
    assert drop_damaged(Tables(hurt.folder), lambda line: None) == 0, what
    return "named"


@pytest.mark.parametrize("seeds", [range(6), pytest.param(range(6, 500), marks=pytest.mark.soak)], ids=["few", "many"])
def test_whatever_file_is_damaged_nothing_wrong_is_published(
    world: World, right: dict[str, Any], tmp_path: Path, seeds: Sequence[int]
) -> None:
    found = set()
    for seed in seeds:
        found.add(check_damage(world, right, tmp_path / str(seed), seed))
        shutil.rmtree(tmp_path / str(seed))
    assert found == {"right", "named"} or len(seeds) < 10


def test_an_entry_that_only_a_checkpoint_holds_is_missed_when_the_table_changes(
    world: World, right: dict[str, Any], tmp_path: Path
) -> None:
    """Delta Lake reads such a table, and changes it never again."""
    hurt = world.copy(tmp_path / "storage")
    handle = Tables(hurt.folder).open(DATA_FILES)
    handle.create_checkpoint()
    (hurt.folder / DATA_FILES.name / "_delta_log" / f"{handle.version():020}.json").unlink()
    assert run_and_give_up(hurt, right, DATA_FILES.name, "the newest entry") == "named"


# --- Power loss -----------------------------------------------------------------------------------------------------


class PowerLoss(BaseException):
    """Ends the machine as far as the code can tell: nothing catches it."""


class Disk:
    """A disk that holds what was synced to it; at a certain sync the power goes, and all else is cut to nothing."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
        self._folder = folder
        self._held = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
        self._fails_at = fails_at
        self.syncs = 0
        sync = LocalStorage._sync

        def synced(storage: LocalStorage, files: Collection[Path]) -> None:
            self.syncs += 1
            if self.syncs > self._fails_at:
                self._lose()
                raise PowerLoss
            sync(storage, files)
            self._held |= {path: path.stat().st_mtime_ns for path in files}

        monkeypatch.setattr(LocalStorage, "_sync", synced)

    def _lose(self) -> None:
        for path in self._folder.rglob("*"):
            if path.is_file() and path.stat().st_mtime_ns != self._held.get(path):
                path.write_bytes(b"")


def work(world: World) -> None:
    """A run and a maintenance: whatever writes."""
    one_more_run(world)
    maintain(Tables(world.folder), timedelta(days=1), lambda line: None)


def syncs_of(world: World, folder: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        whole = world.copy(folder)
        disk = Disk(whole.folder, patch, fails_at=10**6)
        work(whole)
    return disk.syncs


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.soak)], ids=["some", "each"])
def test_a_power_loss_at_any_moment_loses_nothing(
    world: World, right: dict[str, Any], tmp_path: Path, step: int
) -> None:
    syncs = syncs_of(world, tmp_path / "whole")
    assert syncs > 20
    for moment in range(0, syncs, step):
        hurt = world.copy(tmp_path / str(moment))
        with pytest.MonkeyPatch.context() as patch:
            Disk(hurt.folder, patch, moment)
            with pytest.raises(PowerLoss):
                work(hurt)
        work(hurt)
        assert hurt.numbers() == right, moment
        shutil.rmtree(hurt.folder)


def test_what_is_left_of_a_log_is_on_the_disk_before_the_rest_goes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(world.copy(tmp_path / "storage").folder)
    synced: set[str] = set()
    sync = LocalStorage._sync

    def noted(storage: LocalStorage, files: Collection[Path]) -> None:
        sync(storage, files)
        synced.update(path.name for path in files)

    def cleaned_up(handle: StoredTable) -> None:
        assert {f"{handle.version():020}.checkpoint.parquet", "_last_checkpoint"} <= synced

    monkeypatch.setattr(LocalStorage, "_sync", noted)
    monkeypatch.setattr(StoredTable, "cleanup_metadata", cleaned_up)
    tables.mark_edited()
    handle = tables.open(EXPORT_FILES)
    assert f"{handle.version():020}.json" in synced
    synced.clear()
    shorten_log(handle)
    assert synced
