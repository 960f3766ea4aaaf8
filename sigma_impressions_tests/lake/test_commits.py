"""Rows come, go and are replaced in one commit, which others' commits of other rows do not hinder; in any folder."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError

from sigma_impressions.lake import engine
from sigma_impressions.lake.commits import append_rows, delete_rows, merge_files, replace_rows
from sigma_impressions.lake.schemas import EVENT_DATES, REJECTED_ROWS, USER_ACTIVITY, Table
from sigma_impressions.lake.tables import Tables, files_of

DAYS = [date(2026, 11, day) for day in (18, 19, 20)]


def rows(table: Table, days: Iterable[date], user: str = "ada@x") -> pl.DataFrame:
    """A row for each day, with nothing in the columns that do not matter here."""
    filled = [dict.fromkeys(table.schema) | _key(table, day, user) for day in days]
    return pl.DataFrame(filled, schema=table.schema)


def _key(table: Table, day: date, user: str) -> dict[str, object]:
    keys: dict[Table, dict[str, object]] = {
        USER_ACTIVITY: {"as_of_date": day, "fingerprint": "f1", "user_email": user},
        EVENT_DATES: {"event_date": day, "fingerprint": user},
        REJECTED_ROWS: {"file_date": day, "file_id": user, "capture_id": "c1", "row_number": 1},
    }
    return keys[table]


def days_of(tables: Tables, table: Table, column: str) -> list[date]:
    return tables.read(table).select(pl.col(column).sort()).collect()[column].to_list()


@pytest.mark.parametrize(
    ("table", "column"), [(USER_ACTIVITY, "as_of_date"), (EVENT_DATES, "event_date")], ids=["partitioned", "registry"]
)
def test_a_commit_of_other_rows_in_between_is_no_conflict(table: Table, column: str, tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    append_rows(tables.open(table), rows(table, DAYS[:1]))
    append_rows(tables.open(table), rows(table, DAYS[1:2]))
    late = tables.open(table)
    replace_rows(tables.open(table), column, DAYS[:1], rows(table, DAYS[:1], "bob@x"))
    replace_rows(late, column, DAYS[1:2], rows(table, [*DAYS[1:2], *DAYS[1:2]], "eve@x"))
    assert days_of(tables, table, column) == [DAYS[0], DAYS[1], DAYS[1]]
    # The same rows are one, also where there were none yet.
    for days in (DAYS[:1], DAYS[2:]):
        late = tables.open(table)
        replace_rows(tables.open(table), column, days, rows(table, days))
        with pytest.raises(CommitFailedError):
            replace_rows(late, column, days, rows(table, days, "eve@x"))
    assert days_of(tables, table, column) == [DAYS[0], DAYS[1], DAYS[1], DAYS[2]]


def test_rows_of_a_file_that_holds_others_are_replaced_and_deleted(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    append_rows(tables.open(EVENT_DATES), rows(EVENT_DATES, DAYS))
    replace_rows(tables.open(EVENT_DATES), "event_date", DAYS[:2], rows(EVENT_DATES, DAYS[:1], "bob@x"))
    held = tables.read(EVENT_DATES).select("event_date", "fingerprint").sort("event_date").collect()
    assert held.rows() == [(DAYS[0], "bob@x"), (DAYS[2], "ada@x")]
    handle = tables.open(EVENT_DATES)
    assert delete_rows(handle, files_of(handle), pl.col("event_date") == DAYS[2]) == 1
    assert delete_rows(handle, files_of(handle), pl.col("event_date") == DAYS[2]) == 0
    assert days_of(tables, EVENT_DATES, "event_date") == DAYS[:1]


def test_some_or_all_rows_of_partitions_are_deleted(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    for user in ("ada@x", "bob@x"):
        append_rows(tables.open(REJECTED_ROWS), rows(REJECTED_ROWS, DAYS, user))
    handle, late = tables.open(REJECTED_ROWS), tables.open(REJECTED_ROWS)
    files = files_of(handle)
    assert delete_rows(handle, files.filter(file_date=DAYS[0])) == 2
    assert delete_rows(handle, files_of(handle), pl.col("file_id") == "bob@x") == 2
    assert days_of(tables, REJECTED_ROWS, "file_date") == DAYS[1:]
    with pytest.raises(CommitFailedError):
        delete_rows(late, files)


def test_a_row_without_a_partition_is_no_row_of_a_table(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    nowhere = rows(REJECTED_ROWS, DAYS[:1]).with_columns(file_date=pl.lit(None, pl.Date))
    with pytest.raises(ValueError, match="a row of rejected_rows has no file_date"):
        append_rows(tables.open(REJECTED_ROWS), nowhere)
    assert days_of(tables, REJECTED_ROWS, "file_date") == []


@pytest.mark.parametrize("name", ["plain", "a*b", "a**b", "file_date=2020-01-01", "[a]b", "what?", "100%"])
def test_a_table_is_that_of_its_folder_and_its_partitions_those_of_its_log(name: str, tmp_path: Path) -> None:
    # Another one beside it that the name would match as a pattern.
    for folder in (tmp_path / "axb", tmp_path / "whatx", tmp_path / "ab", tmp_path / name):
        append_rows(Tables(folder).open(REJECTED_ROWS), rows(REJECTED_ROWS, DAYS[:2], folder.name))
    tables = Tables(tmp_path / name)
    expected = [(DAYS[0], name), (DAYS[1], name)]
    assert tables.read(REJECTED_ROWS).select("file_date", "file_id").sort("file_date").collect().rows() == expected
    with engine.connect(tmp_path) as connection:
        engine.view(connection, tables.open(REJECTED_ROWS), "file_date", DAYS)
        found = connection.execute("SELECT file_date, file_id FROM rejected_rows ORDER BY ALL").fetchall()
    assert found == expected
    handle = tables.open(REJECTED_ROWS)
    append_rows(handle, rows(REJECTED_ROWS, DAYS[:1], name))
    handle.optimize.compact()
    handle.vacuum(0, dry_run=False, enforce_retention_duration=False, full=True)
    handle.create_checkpoint()
    assert days_of(Tables(tmp_path / name), REJECTED_ROWS, "file_date") == [DAYS[0], DAYS[0], DAYS[1]]


@pytest.mark.parametrize("table", [EVENT_DATES, REJECTED_ROWS], ids=["registry", "partitioned"])
def test_an_append_goes_on_after_others_have_joined_the_files(table: Table, tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    for user in ("ada@x", "bob@x", "cyd@x"):
        append_rows(tables.open(table), rows(table, DAYS[:1], user))
    handle = tables.open(table)
    merge_files(tables.open(table))
    append_rows(handle, rows(table, DAYS[:1], "eve@x"))
    assert tables.read(table).collect().height == 4
    assert files_of(tables.open(table)).height == 2
