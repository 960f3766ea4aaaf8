"""What is missing or broken in the storage is named, table and day, and put right by the ways that the message says."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sigma_impressions.errors import DamagedError
from sigma_impressions.exports import capture
from sigma_impressions.exports.manifest import MISSING
from sigma_impressions.lake.inventory import Damage, take_stock, verify
from sigma_impressions.lake.repair import drop_damaged
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DAILY_IMPRESSIONS,
    DATA_FILES,
    EVENT_DATES,
    EXPORT_FILES,
    MEMBER_SNAPSHOTS,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    WORKBOOK_ALIASES,
    Table,
)
from sigma_impressions.lake.tables import Tables, files_of, scan_files
from sigma_impressions.upkeep.verify import verify_storage
from sigma_impressions.upstream.contract import ALIASES, SCHEMA, conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.lake.test_damage import World, day_of, one_more_run, right, world

pytestmark = pytest.mark.slow

__all__ = ["right", "world"]


@pytest.fixture
def hurt(world: World, tmp_path: Path) -> World:
    return world.copy(tmp_path / "storage")


def log_of(world: World, table: Table) -> list[Path]:
    return sorted((world.folder / table.name / "_delta_log").glob("*.json"))


def active(world: World, table: Table) -> list[Path]:
    return [world.folder / table.name / path for path in files_of(Tables(world.folder).open(table))["path"]]


def no_more_exports(world: World) -> None:
    world.bucket.objects.clear()


def lose_folder(table: Table) -> Callable[[World], None]:
    return lambda world: shutil.rmtree(world.folder / table.name)


def lose_commits(table: Table, commits: int) -> Callable[[World], None]:
    def lose(world: World) -> None:
        # As an old backup has it: without a newer checkpoint too.
        for path in log_of(world, table)[-commits:]:
            path.unlink()

    return lose


def empty_last_commit(table: Table) -> Callable[[World], None]:
    return lambda world: log_of(world, table)[-1].write_bytes(b"") and None


@pytest.mark.parametrize(
    ("lose", "named"),
    [
        (
            lose_folder(NORMALIZED_IMPRESSIONS),
            r"normalized_impressions, file date 2026-11-\d\d: file_date=\S+parquet is ",
        ),
        (empty_last_commit(NORMALIZED_IMPRESSIONS), "normalized_impressions, file date 2026-11-20: "),
        (lose_folder(REJECTED_ROWS), "rejected_rows, file date 2026-11-13: "),
        (lose_folder(SIGMA_RESOURCES), "sigma_resources, snapshot [0-9a-f]{32}: "),
        (lose_folder(EXPORT_FILES), r"export_files, file date 2026-11-13: 13-\w+\.csv is captured, not registered any"),
        (lose_commits(EXPORT_FILES, 1), r"export_files, file date 2026-11-20: 20-\w+\.csv is captured, not registered"),
        (lose_folder(DAILY_IMPRESSIONS), "daily_impressions, event date 2026-11-11: "),
        (lose_folder(SIGMA_MEMBERS), "sigma_members, snapshot [0-9a-f]{32}: "),
        (lose_folder(MEMBER_SNAPSHOTS), "member_snapshots: 2 snapshots of sigma_members are not registered any more"),
        (lose_commits(MEMBER_SNAPSHOTS, 1), "member_snapshots: 1 snapshots of sigma_members are not registered any"),
    ],
    ids=[
        *("rows", "last commit", "rejected", "resources", "registry", "old registry", "closed days"),
        *("members", "registry of members", "old registry of members"),
    ],
)
def test_what_is_lost_is_named_and_nothing_is_published(hurt: World, lose: Callable[[World], None], named: str) -> None:
    no_more_exports(hurt)
    lose(hurt)
    before = (hurt.folder / "sigma_impressions.duckdb").read_bytes()
    for _ in range(2):  # It does not go away by itself.
        with pytest.raises(DamagedError, match=named):
            hurt.run(19, 20)
    assert (hurt.folder / "sigma_impressions.duckdb").read_bytes() == before
    drop_damaged(Tables(hurt.folder), lambda line: None)
    hurt.run(19, 20)
    assert take_stock(Tables(hurt.folder)) == []


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("fault", ["removed", "cut", "flipped"])
def test_a_broken_file_of_captured_rows_is_replaced_by_reading_the_exports_again(
    hurt: World, right: dict[str, Any], fault: str
) -> None:
    (file,) = [path for path in active(hurt, NORMALIZED_IMPRESSIONS) if "2026-11-19" in str(path)]
    if fault == "removed":
        file.unlink()
    elif fault == "cut":
        file.write_bytes(file.read_bytes()[:100])
    else:
        flip(file, 20)
    one_more = hurt.copy(hurt.folder.with_name("again"))
    if fault != "flipped":
        with pytest.raises(
            DamagedError, match=r"normalized_impressions, file date 2026-11-19: .* (is missing|has 100 b)"
        ):
            one_more_run(hurt)
    one_more.put(20, (20, "zoe@x", "wb2"), (19, "zoe@x", "wb1"))
    one_more.run(19, 20, renormalize=True)
    assert one_more.numbers() == right


def test_what_the_bucket_still_holds_is_read_again_after_it_was_given_up(hurt: World, right: dict[str, Any]) -> None:
    for table in (NORMALIZED_IMPRESSIONS, SIGMA_RESOURCES):
        lose_folder(table)(hurt)
    said: list[str] = []
    assert drop_damaged(Tables(hurt.folder), said.append) == len(said) > 3
    one_more_run(hurt)
    found = hurt.numbers()
    assert {name: found[name] for name in ("user_activity", "files")} == {
        # Those of the closed days are not in the bucket's files only.
        name: right[name]
        for name in ("user_activity", "files")
    }


def test_an_error_of_a_library_at_a_flipped_byte_names_the_file(hurt: World) -> None:
    (file,) = [path for path in active(hurt, NORMALIZED_IMPRESSIONS) if "2026-11-19" in str(path)]
    for position in range(4, 400, 3):
        flip(file, position)
    with pytest.raises(DamagedError, match=rf"normalized_impressions, file date 2026-11-19: \S+{file.name} "):
        one_more_run(hurt)


def test_every_flipped_byte_is_found(hurt: World) -> None:
    choose = random.Random(7)
    for table in ALL_TABLES:
        for path in choose.sample(active(hurt, table), k=min(2, len(active(hurt, table)))):
            content = path.read_bytes()
            for _ in range(3):
                flip(path, choose.randrange(len(content)))
                (found,) = verify(Tables(hurt.folder), [table])
                assert (found.table, found.fault) == (table, "does not hold the bytes any more that were written")
                assert str(path).endswith(str(found.file))
                path.write_bytes(content)
    verify_storage(Tables(hurt.folder), lambda line: None)


def test_a_damaged_database_is_removed_and_published_again(hurt: World) -> None:
    database, before = hurt.folder / "sigma_impressions.duckdb", hurt.numbers()
    size = database.stat().st_size
    for position in range(size // 3, size, size // 40):
        flip(database, position)
    said: list[str] = []
    verify_storage(Tables(hurt.folder), said.append)
    assert "was damaged and is removed" in said[0]
    hurt.run(20)
    assert hurt.numbers() == before


def test_a_storage_of_before_is_taken_as_it_is(hurt: World, right: dict[str, Any]) -> None:
    noted = Tables(hurt.folder).read(DATA_FILES).collect()
    shutil.rmtree(hurt.folder / DATA_FILES.name)
    assert take_stock(Tables(hurt.folder)) == []
    columns = ["table_name", "partition", "file", "size_bytes", "rows"]
    again = Tables(hurt.folder).read(DATA_FILES).collect()
    assert again.select(columns).sort(columns).equals(noted.select(columns).unique().sort(columns))
    one_more_run(hurt)
    assert hurt.numbers() == right


def test_a_snapshot_of_which_anything_is_lost_is_taken_again(hurt: World) -> None:
    aliases = pl.DataFrame({"alias_id": ["tagged"], "workbook_url_id": ["wb1"], "tag_name": ["prod"]}).select(*ALIASES)
    names = [{"resource_type": "sigma_workbook", "workbook_url_id": name, "name": name} for name in ("wb1", "wb2")]
    resources = conform(pl.DataFrame(names, schema=SCHEMA), "the test")

    def taken(hour: int) -> bool:
        moment = datetime(2026, 11, 20, hour, tzinfo=UTC)
        return capture_snapshot(Tables(hurt.folder), resources, "the test", moment, aliases=aliases).is_new

    assert taken(22)
    assert not taken(22)
    (file,) = active(hurt, WORKBOOK_ALIASES)
    file.unlink()
    assert [damage.table for damage in take_stock(Tables(hurt.folder))] == [WORKBOOK_ALIASES]
    drop_damaged(Tables(hurt.folder), lambda line: None)
    assert take_stock(Tables(hurt.folder)) == []
    assert taken(23)
    assert Tables(hurt.folder).read(WORKBOOK_ALIASES).collect()["alias_id"].to_list() == ["tagged"]


def test_registries_are_given_up_before_what_they_name(hurt: World) -> None:
    for table in (DAILY_IMPRESSIONS, EVENT_DATES, DATA_FILES):
        for file in active(hurt, table):
            file.unlink()
    drop_damaged(Tables(hurt.folder), lambda line: None)
    assert take_stock(Tables(hurt.folder)) == verify(Tables(hurt.folder)) == []


def test_a_changed_byte_of_a_registry_is_named(hurt: World) -> None:
    for file in active(hurt, EXPORT_FILES):
        flip(file, 30)
    named = r"export_files: [0-9a-f-]+\.parquet does not hold the bytes any more"
    for work in (lambda: take_stock(Tables(hurt.folder)), lambda: one_more_run(hurt)):
        with pytest.raises(DamagedError, match=named):
            work()
    said: list[str] = []
    with pytest.raises(DamagedError, match=named):
        verify_storage(Tables(hurt.folder), said.append)
    assert said[0].startswith("Damaged: export_files: ")


class Killed(BaseException):
    """Ends the process as far as the code can tell: nothing catches it."""


def test_a_killed_run_blocks_no_later_one_though_its_rows_were_seen(
    hurt: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(capture._Batch, "_register", lambda batch, rows: raise_killed())
        with pytest.raises(Killed):
            one_more_run(hurt)
    assert take_stock(Tables(hurt.folder)) == []  # as a maintenance does meanwhile
    no_more_exports(hurt)
    hurt.put(20, (20, "new@x", "wb1"))
    hurt.run(19, 20)
    assert set(Tables(hurt.folder).read(EXPORT_FILES).collect()["status"]) == {"read", MISSING}


def raise_killed() -> None:
    raise Killed


def test_rows_noted_before_they_were_registered_are_missed_after_it(
    hurt: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = capture._Batch._register

    def seen(batch: capture._Batch, rows: list[dict[str, Any]]) -> None:
        assert take_stock(Tables(hurt.folder)) == []
        register(batch, rows)

    monkeypatch.setattr(capture._Batch, "_register", seen)
    one_more_run(hurt)
    assert take_stock(Tables(hurt.folder)) == []
    no_more_exports(hurt)
    lose_commits(EXPORT_FILES, 1)(hurt)
    with pytest.raises(DamagedError, match="captured, not registered any more, and not in the bucket"):
        hurt.run(19, 20)


def test_what_was_read_again_and_lost_is_registered_as_missing(hurt: World) -> None:
    hurt.run(19, 20, renormalize=True)
    newest = Tables(hurt.folder).read(EXPORT_FILES).filter(pl.col("file_date") == day_of(19)).collect()
    handle = Tables(hurt.folder).open(NORMALIZED_IMPRESSIONS)
    for file in files_of(handle, "file_date", [day_of(19)]).iter_slices(1):
        if set(scan_files(handle, file).collect()["capture_id"]) & set(newest["capture_id"]):
            (hurt.folder / NORMALIZED_IMPRESSIONS.name / file["path"].item()).unlink()
    no_more_exports(hurt)
    hurt.run(19, 20, renormalize=True)
    after = Tables(hurt.folder).read(EXPORT_FILES).filter(pl.col("file_date") == day_of(19)).collect()
    assert after["status"].to_list() == [MISSING]


def test_a_damage_says_where_it_is() -> None:
    damage = Damage(NORMALIZED_IMPRESSIONS, "2026-11-20", "is missing", "file_date=2026-11-20/a.parquet")
    assert str(damage) == "normalized_impressions, file date 2026-11-20: file_date=2026-11-20/a.parquet is missing"
    assert str(Damage(EXPORT_FILES, "", "is registered twice")) == "export_files: is registered twice"
