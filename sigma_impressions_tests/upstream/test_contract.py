"""What is accepted as sigma_resources, and what is refused."""

from __future__ import annotations

import csv
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sigma_impressions.errors import ResourcesRefused, ResourcesUnreadable
from sigma_impressions.lake.schemas import SIGMA_RESOURCES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.contract import SCHEMA, conform, counted
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions.upstream.snapshots import capture_snapshot

WORKBOOK = {"resource_type": "sigma_workbook", "workbook_url_id": "w1", "name": "Sales"}
ELEMENT = {"resource_type": "sigma_workbook_element", "workbook_url_id": "w1", "element_id": "e1"}
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), infer_schema_length=None)


def test_columns_are_completed_and_ordered() -> None:
    found = conform(frame(WORKBOOK, ELEMENT), "the file")
    assert found.columns == list(SCHEMA)
    assert found["resource_type"].to_list() == ["sigma_element", "sigma_workbook"]
    assert found["owner_email"].null_count() == 2


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"resource_type": "sigma_workbook", "name": "x"}], "lacks the column workbook_url_id"),
        ([WORKBOOK, {**WORKBOOK, "name": "again"}], r"the same resource is there twice: row 1 .*, row 2"),
        ([WORKBOOK, ELEMENT, ELEMENT], "the same resource is there twice: row 2"),
        ([{**WORKBOOK, "resource_type": "dashboard"}], r"resource_type is none of .*: row 1 \(dashboard, w1"),
        ([{**WORKBOOK, "workbook_url_id": " "}], "workbook_url_id is missing: row 1"),
        ([WORKBOOK, {**ELEMENT, "element_id": None}], "element_id is missing: row 2"),
        ([WORKBOOK, {**ELEMENT, "workbook_url_id": "w2"}], "the element's workbook has no row: row 2"),
        (
            [{**WORKBOOK, "workbook_id": "A"}, {**WORKBOOK, "workbook_url_id": "w2", "workbook_id": "a"}],
            "two workbooks have the same workbook_id: row 1",
        ),
        ([WORKBOOK, {**WORKBOOK, "resource_type": "sigma_data_model"}], "the same resource is there twice: row 1"),
        ([{**WORKBOOK, "element_id": "e1"}], "a workbook's row has an element_id"),
        ([{**WORKBOOK, "created_at": "yesterday"}], "created_at cannot be read as .* in row 1"),
        ([{**WORKBOOK, "is_archived": "maybe"}], "is_archived cannot be read as Boolean in row 1"),
    ],
)
def test_refusals_name_the_rows(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(ResourcesRefused, match=message):
        conform(frame(*rows), "the file")


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (
            "created_at",
            ["2026-11-24", "11/24/2026", "24.11.2026"],
            "created_at cannot be read as a time in row 2, 3; the first one is '11/24/2026'. Write ISO 8601, such as "
            "2026-11-24T10:00:00Z.",
        ),
        ("is_archived", ["no", "nein"], "row 2; the first one is 'nein'. Write true or false."),
        ("updated_at", ["Ann <ann@example.com>"], "the first one is 'Ann <[address]>'"),
        ("updated_at", ["\x1b[2J\u202e" + "x" * 999], "the first one is '?[2J?xxx"),
        (
            "name",
            [datetime(2026, 1, 1)],
            "name cannot be read as String in row 1; it has the type Datetime. Write",
        ),
        ("created_at", [[1]], "row 1; it has the type List. Write ISO 8601, such as"),
    ],
)
def test_a_value_that_cannot_be_read_is_shown_with_the_form_that_is_wanted(
    column: str, values: list[object], said: str
) -> None:
    rows = [{**WORKBOOK, "workbook_url_id": f"w{number}", column: it} for number, it in enumerate(values)]
    with pytest.raises(ResourcesRefused) as caught:
        conform(frame(*rows), "the file")
    assert said in str(caught.value)
    assert "ann@" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("declared", [False, True])
def test_a_table_may_have_any_delimiter_that_exports_may_have(delimiter: str, declared: bool, tmp_path: Path) -> None:
    path = tmp_path / "resources.csv"
    rows = [["resource_type", "workbook_url_id", 'the, "best" name;', "name"]]
    rows += [["sigma_workbook", f"w{number}", "x,y;z", "Sales; 2026,\tall"] for number in range(3)]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(f"sep={delimiter}\r\n" if declared else "")
        csv.writer(file, delimiter=delimiter).writerows(rows)
    found = read_snapshot(str(path))
    assert found["workbook_url_id"].to_list() == ["w0", "w1", "w2"]
    assert found["name"].unique().to_list() == ["Sales; 2026,\tall"]


@pytest.mark.parametrize(
    "refused",
    [
        frame(*[{**WORKBOOK, "resource_type": "\x1b[2J\u202e\n" * 1_000, "workbook_url_id": "w" * 9_000}] * 50),
        pl.DataFrame({f"{number}\x1b[2J\n" + "c" * 10_000: ["x"] for number in range(500)}),
    ],
    ids=["values", "columns"],
)
def test_refusals_are_a_line_that_can_be_read(refused: pl.DataFrame) -> None:
    with pytest.raises(ResourcesRefused) as caught:
        conform(refused, "the file")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 4_000
    assert str(caught.value).endswith((" more.", "…"))


@pytest.mark.parametrize(
    "text",
    ["2026-11-20T08:00:00Z", "2026-11-20T09:00:00+01:00", "2026-11-20 08:00:00", "2026-11-20T08:00:00.000000"],
)
def test_times_are_utc(text: str) -> None:
    found = conform(frame({**WORKBOOK, "created_at": text}), "the file")
    assert found["created_at"].item() == datetime(2026, 11, 20, 8, tzinfo=UTC)


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson", "jsonl"])
def test_all_formats_say_the_same(tmp_path: Path, ending: str) -> None:
    rows = frame(
        {**WORKBOOK, "is_archived": True, "created_at": "2026-11-20T08:00:00Z", "element_id": None},
        {**ELEMENT, "name": 'a,b;"c"', "is_archived": None, "created_at": None},
    )
    path = tmp_path / f"resources.{ending}"
    write = {"parquet": rows.write_parquet, "csv": rows.write_csv}.get(ending, rows.write_ndjson)
    write(path)
    assert read_snapshot(str(path)).equals(conform(rows, "memory"))


@pytest.mark.parametrize(
    "kind",
    [pa.string_view(), pa.binary(8), pa.binary_view(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())],
)
def test_texts_of_a_parquet_file_may_be_of_any_type_for_them(kind: pa.DataType, tmp_path: Path) -> None:
    texts: list[Any] = ["a-b-c-d1", "a-b-c-d2"]
    ids = pa.array([text.encode() for text in texts] if "binary" in str(kind) else texts, kind)
    uuids = [uuid.UUID(int=number) for number in (1, 2**127)]
    columns = {"workbook_url_id": ids, "workbook_id": pa.array([each.bytes for each in uuids], pa.uuid())}
    path = tmp_path / "resources.parquet"
    pq.write_table(pa.table({"resource_type": ["sigma_workbook"] * 2, **columns}), path)
    found = read_snapshot(str(path)).select("workbook_url_id", "workbook_id")
    assert found.rows() == list(zip(texts, map(str, uuids), strict=True))


def test_a_long_text_in_a_column_that_is_not_read_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "resources.csv"
    path.write_text(f"resource_type,workbook_url_id,definition\nsigma_workbook,wb1,{'x' * 500_000}\n")
    previous = csv.field_size_limit(131_072)
    assert read_snapshot(str(path))["workbook_url_id"].to_list() == ["wb1"]
    csv.field_size_limit(max(previous, csv.field_size_limit()))


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".ndjson"])
@pytest.mark.parametrize("name", ["resources[1]", "resources*", "resource?1", "resources{1,2}", "**"])
def test_a_path_is_no_pattern(name: str, ending: str, tmp_path: Path) -> None:
    def write(name: str, workbook: str) -> Path:
        path = tmp_path / f"{name}{ending}"
        rows = frame({**WORKBOOK, "workbook_url_id": workbook})
        {".parquet": rows.write_parquet, ".csv": rows.write_csv, ".ndjson": rows.write_ndjson}[ending](path.open("wb"))
        return path

    for other in ("resources1", "resources2"):
        write(other, "another")
    with pytest.raises(ResourcesUnreadable, match="There is no file"):
        read_snapshot(str(tmp_path / f"{name}{ending}"))
    assert read_snapshot(str(write(name, "w1")))["workbook_url_id"].to_list() == ["w1"]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResourcesUnreadable, match=r"There is no file .*nowhere\.parquet"):
        read_snapshot(str(tmp_path / "nowhere.parquet"))
    with pytest.raises(ResourcesUnreadable, match=r"ends in none of \.parquet"):
        read_snapshot(str(tmp_path / "resources.xlsx"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ResourcesUnreadable, match="cannot be read"):
        read_snapshot(str(tmp_path / "torn.parquet"))


def test_a_snapshot_is_kept_only_when_something_changed(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    first = capture_snapshot(tables, conform(frame(WORKBOOK, ELEMENT), "f"), "f", NOW)
    again = capture_snapshot(tables, conform(frame(ELEMENT, WORKBOOK), "f"), "f", NOW)
    later = NOW + timedelta(hours=1)
    changed = capture_snapshot(tables, conform(frame({**WORKBOOK, "name": "New"}), "f"), "f", later)
    assert (first.is_new, again.is_new, changed.is_new) == (True, False, True)
    assert again.snapshot_id == first.snapshot_id
    # The element is gone, and kept as deleted.
    assert tables.read(SIGMA_RESOURCES).collect()["is_deleted"].to_list().count(True) == 1
    assert tables.read(SIGMA_RESOURCES).collect().height == 4


def test_a_data_model_is_to_its_elements_what_a_workbook_is(tmp_path: Path) -> None:
    model = {**WORKBOOK, "resource_type": "sigma_data_model", "workbook_url_id": "m1"}
    found = conform(frame(model, {**ELEMENT, "workbook_url_id": "m1"}), "the file")
    assert found["resource_type"].to_list() == ["sigma_data_model", "sigma_element"]
    assert counted(found) == "0 workbooks, 1 data model, 1 element"
    assert counted(found, elements=False) == "0 workbooks, 1 data model"
    assert counted(conform(frame(WORKBOOK, ELEMENT), "the file")) == "1 workbook, 1 element"
    tables = Tables(tmp_path)
    first = capture_snapshot(tables, found, "f", NOW)
    assert (first.workbooks, first.elements) == (1, 1)
    with pytest.raises(ResourcesRefused, match="holds no resources"):
        capture_snapshot(tables, found.clear(), "f", NOW + timedelta(hours=1))


def test_the_page_of_an_element_is_kept(tmp_path: Path) -> None:
    tables, paged = Tables(tmp_path), {**ELEMENT, "page_id": "p1", "page_name": "Overview"}
    capture_snapshot(tables, conform(frame(WORKBOOK, paged), "f"), "f", NOW)
    pages = tables.read(SIGMA_RESOURCES).collect().sort("resource_type")
    assert pages.select("page_id", "page_name").rows() == [("p1", "Overview"), (None, None)]


def test_an_empty_snapshot_after_a_full_one_is_refused(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    empty = conform(pl.DataFrame(schema={"resource_type": pl.String, "workbook_url_id": pl.String}), "f")
    assert capture_snapshot(tables, empty, "f", NOW).is_new
    capture_snapshot(tables, conform(frame(WORKBOOK), "f"), "f", NOW + timedelta(hours=1))
    with pytest.raises(ResourcesRefused, match="holds no resources"):
        capture_snapshot(tables, empty, "f", NOW + timedelta(hours=2))
