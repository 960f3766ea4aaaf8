"""The published tables as files: every table and row is there, and CSV is inert in a spreadsheet."""

from __future__ import annotations

import csv
import itertools
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
    "a;\"=1",
    "\ufeff @x",
    "'=1",
    "plain, with \"quotes\"\nand lines",
    "<script>alert(1)</script>",
    "",
    None,
)  # fmt: skip

INERT = {
    **{name: f"'{name}" for name in NAMES[:4]},
    "\t=1": "\t'=1",
    "\r=1": "\r'=1",
    "＝1+1": "'＝1+1",
    "a;=1": "a;'=1",
    'a;"=1': "a;'\"=1",
    "\ufeff @x": "'\ufeff @x",
}
"""What becomes of those that would be formulas."""

SIGNS, DROPPED = tuple("=+-@＝＋－＠"), '\ufeff "\xa0'


def database(folder: Path, names: Any) -> Path:
    path = folder / "published.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE resource_impressions (name VARCHAR, total BIGINT, viewed_at TIMESTAMPTZ, day DATE, "
            "flag BOOLEAN, used STRUCT(user_email VARCHAR, impressions BIGINT)[])"
        )
        connection.execute(
            "INSERT INTO resource_impressions SELECT name, -number, '2026-11-20 09:00:00+00', '2026-11-20', true, "
            "[{user_email: name, impressions: -number}] FROM (SELECT unnest($names) AS name, "
            "generate_subscripts($names, 1) - 1 AS number)",
            {"names": list(names)},
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
    assert cells == [INERT.get(name, name) if name else "" for name in NAMES]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0'"))), max_size=30)
)
def test_any_text_comes_back_with_at_most_apostrophes_before_formulas(names: list[str | None], tmp_path: Path) -> None:
    list(export_tables(database(tmp_path, names), tmp_path, "csv"))
    for row, name in zip(rows(tmp_path / "resource_impressions.csv"), names, strict=True):
        text = name or ""
        assert row["name"].replace("'", "") == text
        assert row["name"].startswith("'") or not text.lstrip(DROPPED).startswith(SIGNS)
        assert json.loads(row["used"])[0]["user_email"] in (name, row["name"])


def test_no_cell_is_a_formula_wherever_lines_are_cut(tmp_path: Path) -> None:
    names = ["".join(part) for part in itertools.product("x;\t|\n\"' =", repeat=3)]
    list(export_tables(database(tmp_path, names), tmp_path, "csv"))
    path = tmp_path / "resource_impressions.csv"
    for delimiter in ",;\t|":
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for cells in csv.reader(file, delimiter=delimiter) for cell in cells]
        assert not [cell for cell in cells if cell.lstrip(DROPPED).startswith("=")], delimiter


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
