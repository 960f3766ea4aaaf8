"""The published tables as files: every table and row is there, and CSV is inert in a spreadsheet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from sigma_impressions.destinations.files import export_tables

NAMES = (
    "=HYPERLINK(\"https://example.com\",\"x\")",
    "+1",
    "-2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1+1",
    "a;=1",
    "'=1",
    "plain, with \"quotes\"\nand lines",
    "<script>alert(1)</script>",
    "",
    None,
)  # fmt: skip


def database(folder: Path, names: Any) -> Path:
    path = folder / "published.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE resource_impressions (name VARCHAR, total BIGINT, viewed_at TIMESTAMPTZ, day DATE, "
            "flag BOOLEAN, used STRUCT(user_email VARCHAR, impressions BIGINT)[])"
        )
        for number, name in enumerate(names):
            connection.execute(
                "INSERT INTO resource_impressions VALUES ($name, $number, '2026-11-20 09:00:00+00', '2026-11-20', "
                "true, [{user_email: $name, impressions: $number}])",
                {"name": name, "number": -number},
            )
        connection.execute("CREATE TABLE publication AS SELECT DATE '2026-11-20' AS as_of_date")
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_is_a_file(tmp_path: Path) -> None:
    written = list(export_tables(database(tmp_path, NAMES), tmp_path / "out", "csv"))
    assert [(file.table, file.rows) for file in written] == [("publication", 1), ("resource_impressions", len(NAMES))]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"publication.csv", "resource_impressions.csv"}
    row = rows(tmp_path / "out" / "resource_impressions.csv")[1]
    # A number is no text: it keeps its sign.
    assert (row["total"], row["viewed_at"], row["day"], row["flag"]) == (
        "-1",
        "2026-11-20 09:00:00+00",
        "2026-11-20",
        "true",
    )
    assert json.loads(row["used"]) == [{"user_email": "+1", "impressions": -1}]


def test_what_a_spreadsheet_would_calculate_is_text(tmp_path: Path) -> None:
    list(export_tables(database(tmp_path, NAMES), tmp_path, "csv"))
    cells = [row["name"] for row in rows(tmp_path / "resource_impressions.csv")]
    assert cells == [f"'{name}" if number < 7 else name or "" for number, name in enumerate(NAMES)]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))), max_size=30)
)
def test_any_text_comes_back_with_at_most_an_apostrophe_before_it(names: list[str | None], tmp_path: Path) -> None:
    list(export_tables(database(tmp_path, names), tmp_path, "csv"))
    for row, name in zip(rows(tmp_path / "resource_impressions.csv"), names, strict=True):
        text = name or ""
        assert row["name"] in (text, f"'{text}")
        assert (row["name"] != text) == text.startswith(tuple("=+-@\t\r\n＝＋－＠"))
        assert row["used"].startswith("[")


def test_parquet_holds_everything_as_it_is(tmp_path: Path) -> None:
    path = database(tmp_path, NAMES)
    assert [file.path.name for file in export_tables(path, tmp_path, "parquet")] == [
        "publication.parquet",
        "resource_impressions.parquet",
    ]
    with duckdb.connect(str(path), read_only=True) as connection:
        stored = connection.sql("FROM resource_impressions").pl()
    found = pl.read_parquet(tmp_path / "resource_impressions.parquet")
    assert_frame_equal(
        found.with_columns(pl.col("viewed_at").dt.convert_time_zone("UTC")),
        stored.cast(found.schema),
        check_dtypes=False,
    )
    assert found["name"].to_list() == list(NAMES)


def test_a_failed_export_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = database(tmp_path, NAMES)
    (tmp_path / "resource_impressions.csv").write_text("before")
    monkeypatch.setattr("sigma_impressions.destinations.files.FORMULA", "(")
    with pytest.raises(duckdb.Error):
        list(export_tables(path, tmp_path, "csv"))
    assert (tmp_path / "resource_impressions.csv").read_text() == "before"
    assert not list(tmp_path.glob(".*"))
