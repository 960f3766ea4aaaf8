"""The Delta tables as they are opened and read."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from sigma_impressions.lake.commits import append_rows, replace_rows
from sigma_impressions.lake.schemas import RESOURCE_IMPRESSIONS, RESOURCE_SNAPSHOTS, Table
from sigma_impressions.lake.tables import StoredTable, Tables


def rows(*ids: str) -> pl.DataFrame:
    return pl.concat(
        [RESOURCE_SNAPSHOTS.no_rows(), pl.DataFrame({"snapshot_id": ids}, schema={"snapshot_id": pl.String})],
        how="diagonal",
    )


def add(folder: Path, *ids: str) -> None:
    append_rows(Tables(folder).open(RESOURCE_SNAPSHOTS), rows(*ids))


def ids(tables: Tables) -> set[str]:
    return set(tables.read(RESOURCE_SNAPSHOTS).collect()["snapshot_id"])


def test_a_table_is_read_at_its_newest_version(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    assert ids(tables) == set()
    add(tmp_path, "a")
    assert ids(tables) == {"a"}
    add(tmp_path, "b")
    assert ids(tables) == {"a", "b"}


def test_a_table_is_read_at_its_newest_version_when_the_log_of_the_one_before_is_gone(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    add(tmp_path, "a")
    assert ids(tables) == {"a"}
    for number in range(3):
        add(tmp_path, str(number))
    other = Tables(tmp_path).open(RESOURCE_SNAPSHOTS)
    other.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 seconds"}, raise_if_not_exists=False)
    other.create_checkpoint()
    other.cleanup_metadata()
    assert not (tmp_path / RESOURCE_SNAPSHOTS.name / "_delta_log" / f"{1:020}.json").exists()
    assert ids(tables) == {"a", "0", "1", "2"}
    add(tmp_path, "z")
    assert ids(tables) == {"a", "0", "1", "2", "z"}


def test_a_table_without_a_new_commit_is_not_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(tmp_path)
    add(tmp_path, "a")
    handle = tables.newest(RESOURCE_SNAPSHOTS)
    updated: list[int] = []

    def counted(self: StoredTable) -> None:
        if self is handle:
            updated.append(self.version())
        DeltaTable.update_incremental(self)

    monkeypatch.setattr(StoredTable, "update_incremental", counted)
    assert tables.newest(RESOURCE_SNAPSHOTS) is handle
    assert not updated
    add(tmp_path, "b")
    assert ids(tables) == {"a", "b"}
    assert len(updated) == 1


def test_a_small_table_has_few_files(tmp_path: Path) -> None:
    handle = Tables(tmp_path).open(RESOURCE_SNAPSHOTS)
    for number in range(50):
        replace_rows(handle, "snapshot_id", [str(number)], rows(str(number)))
        append_rows(handle, rows(f"a{number}"))
    assert len(handle.file_uris()) <= 40
    assert ids(Tables(tmp_path)) == {f"{kind}{number}" for number in range(50) for kind in ("", "a")}


def test_the_log_of_a_table_that_nobody_maintains_is_that_of_a_month(tmp_path: Path) -> None:
    handle = Tables(tmp_path).open(RESOURCE_SNAPSHOTS)

    def replace(times: int) -> None:
        for number in range(times):
            replace_rows(handle, "snapshot_id", ["a"], rows("a").with_columns(workbooks=number))

    log = tmp_path / RESOURCE_SNAPSHOTS.name / "_delta_log"
    replace(60)
    before = len(list(log.iterdir()))
    for entry in log.iterdir():
        month_ago = entry.stat().st_mtime - 31 * 86_400
        os.utime(entry, (month_ago, month_ago))
    replace(20)
    assert len(list(log.iterdir())) < before / 2
    assert ids(Tables(tmp_path)) == {"a"}


@pytest.mark.parametrize("table", [RESOURCE_SNAPSHOTS, RESOURCE_IMPRESSIONS], ids=lambda table: table.name)
def test_data_files_are_compressed(table: Table, tmp_path: Path) -> None:
    handle = Tables(tmp_path).open(table)
    column = "snapshot_id" if table is RESOURCE_SNAPSHOTS else "fingerprint"
    filled = table.no_rows().clear(1).with_columns(pl.lit("a").alias(column))
    if table is RESOURCE_IMPRESSIONS:
        filled = filled.with_columns(as_of_date=date(2026, 11, 20))
    replace_rows(handle, column, ["a"], filled)
    (file,) = handle.file_uris()
    group = pq.ParquetFile(file).metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}


def test_reading_does_not_hide_a_conflict(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    add(tmp_path, "a")
    handle = tables.open(RESOURCE_SNAPSHOTS)
    replace_rows(Tables(tmp_path).open(RESOURCE_SNAPSHOTS), "snapshot_id", ["a"], rows())
    assert ids(tables) == set()
    with pytest.raises(CommitFailedError):
        replace_rows(handle, "snapshot_id", ["a"], rows("a"))
    assert ids(tables) == set()
