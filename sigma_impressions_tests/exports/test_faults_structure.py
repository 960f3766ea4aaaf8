"""Files in forms that were once refused or misread: the small inputs of `faults/`, each with siblings of its kind."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import pytest

from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions_tests.exports.reading import Read, read

FAULTS = Path(__file__).parent / "faults"
ROW = "2026-11-19T08:00:00Z,ann@example.com,2opi6VLEne4BaPyj00US50"
NAMES = "request_time,user_email,workbook_url_id"


def of_fault(name: str) -> bytes:
    """The bytes of a fault, with times that are not later than the tests' files."""
    data = (FAULTS / name).read_bytes()
    return data.replace(b"2026-11-25", b"2026-11-19").replace(b"2\x000\x002\x006\x00-\x001\x001\x00-\x002\x005", DAY)


DAY = "2026-11-19".encode("utf-16-le")[:-1]


def refusal(data: bytes) -> RefusedFile:
    with pytest.raises(RefusedFile) as caught:
        read(data)
    return caught.value


def figures(got: Read) -> tuple[int, int]:
    """Rows that were accepted, and what they count together."""
    assert got.result.rows == got.result.accepted + got.result.rejected + got.result.skipped
    return got.result.accepted, int(got.accepted["count"].sum())


# --- content that is no CSV


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (of_fault("not_csv/zip.csv"), "ZIP archive"),
        (of_fault("not_csv/parquet.csv"), "Parquet"),
        (of_fault("not_csv/zstd.csv"), "zstd"),
        (bz2.compress(f"{NAMES}\n{ROW}\n".encode()), "bzip2"),
        (gzip.compress((FAULTS / "not_csv/zip.csv").read_bytes()), "ZIP archive"),
        (f"{NAMES}\n{ROW}\n".encode("utf-32"), "UTF-32"),
        (b"\xd0\xcf\x11\xe0" + bytes(500), "NUL"),
    ],
    ids=["zip", "Parquet", "zstd", "bzip2", "zip within gzip", "UTF-32", "an old Excel workbook"],
)
def test_what_is_no_text_is_called_by_its_name(data, said):
    error = refusal(data)
    assert error.reason == "not a CSV file"
    assert said in error.detail
    assert "SIGMA_IMPRESSIONS_HEADER_ALIASES" not in error.detail


@pytest.mark.parametrize(
    ("data", "reason", "form"),
    [
        (of_fault("not_csv/error.csv"), "missing required column", "XML"),
        (b"<!DOCTYPE html>\n<html><head><title>Sign in</title>", "missing required column", "HTML"),
        (b'\n[\n {"request_time": "2026-11-19"},\n', "missing required column", "JSON"),
        (b'{"time":"2026-11-19","user":"ann@example.com"}\n', "malformed quoting", "JSON"),
    ],
    ids=["XML", "HTML", "JSON", "JSON lines"],
)
def test_an_answer_in_place_of_the_file_is_called_by_its_name(data, reason, form):
    error = refusal(data)
    assert error.reason == reason
    assert f"The text begins as {form} does" in error.detail
    assert "SIGMA_IMPRESSIONS_HEADER_ALIASES" not in error.detail
    assert "ann@" not in error.detail


def test_data_that_zlib_packed_is_not_advised_to_be_mapped():
    error = refusal(zlib.compress(f"{NAMES}\n{ROW}\n".encode()))
    assert "HEADER_ALIASES" not in error.detail


@pytest.mark.parametrize(
    "data",
    [
        of_fault("not_csv/utf16le_nobom.csv"),
        f"{NAMES}\r\n{ROW}\r\n{ROW}\r\n".encode("utf-16-be"),
        gzip.compress(gzip.compress(f"{NAMES}\n{ROW}\n{ROW}\n".encode("utf-16-le"))),
        gzip.compress(gzip.compress(f"{NAMES}\n{ROW}\n".encode()) + gzip.compress(f"{ROW}\n".encode())),
    ],
    ids=["UTF-16", "UTF-16 BE", "twice compressed UTF-16", "twice compressed, two members"],
)
def test_what_can_be_read_without_guessing_is_read(data):
    assert figures(read(data)) == (2, 2)


def test_a_file_that_was_compressed_twice():
    assert read((FAULTS / "not_csv/double.csv.gz").read_bytes()).result.rows == 2


# --- columns that were passed over in silence


def test_camel_case():
    got = read(of_fault("headers/camel.csv"))
    assert (got.result.skipped, got.result.accepted) == (1, 0)  # eventStatus is read: the event failed
    assert read(of_fault("headers/camel.csv").replace(b"failure", b"success")).accepted["count"].to_list() == [7]


@pytest.mark.parametrize(
    "header",
    ["[Request Time],[User Email],[Workbook URL ID],[View Count]", "REQUESTTIME,UserEmail,workbookURLID,viewCount"],
)
def test_other_spellings(header):
    assert figures(read(f"{header}\n{ROW},5\n".encode())) == (1, 5)


def test_a_status_may_be_anything_s():
    got = read(of_fault("headers/status.csv"))
    assert figures(got) == (20, 20)
    assert got.result.unused_columns == ("status",)


@pytest.mark.parametrize("other", ["Workbook Status", "created_at", "Event Type"])
def test_what_another_column_says_skips_no_row(other):
    assert figures(read(f"{NAMES},{other}\n{ROW},x\n".encode())) == (1, 1)


def test_an_aggregate_of_sigma_is_the_count():
    assert figures(read(of_fault("headers/count_of.csv"))) == (1, 17)


def test_several_aggregates_or_one_of_distinct_things_are_not_the_count():
    several = read(f"{NAMES},Count of Rows,Count of Views\n{ROW},5,6\n".encode())
    assert figures(several) == (1, 1)
    assert "'Count of Rows' and 'Count of Views'" in several.result.warnings[0]
    distinct = read(f"{NAMES},Count of Distinct Users\n{ROW},5\n".encode())
    assert figures(distinct) == (1, 1)
    assert not distinct.result.warnings


def test_a_file_without_the_event_type_that_the_setting_asks_for_is_refused():
    with pytest.raises(RefusedFile, match="stands for event_type"):
        read(f"{NAMES}\n{ROW}\n".encode(), ReadingRules(event_types=("view",)))


# --- dialects of CSV


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (of_fault("dialects/sep.csv"), 1),
        (f'"sep=|"\n\n{NAMES}\n{ROW}\n'.replace(",", "|").encode("utf-16"), 1),
        (f"SEP=\t\r\n{NAMES}\r\n{ROW}\r\n".replace(",", "\t").encode(), 1),
        (of_fault("dialects/header_commas.csv"), 1),
        (f"{NAMES},notes|tags|team|owner|x\n{ROW},\n".encode(), 1),
        (f'{NAMES},"a;b;c;d;e;f"\n{ROW},\n'.encode(), 1),
    ],
    ids=["sep", "sep in quotes", "sep tab", "commas in a cell", "bars in a cell", "quoted"],
)
def test_the_delimiter(data, rows):
    assert figures(read(data)) == (rows, rows)


def test_a_declared_delimiter_is_not_doubted():
    assert figures(read(f" \n\nsep=, \n{NAMES},a;b;c;d;e\n{ROW},x\n".encode())) == (1, 1)
    assert refusal(f"sep=;\n{NAMES}\n{ROW}\n".encode()).reason == "missing required column"


@pytest.mark.parametrize("end", ["", "\r", "\n", "\r\n"])
def test_nothing_but_a_declared_delimiter_is_no_header_line(end):
    assert refusal(f"sep=;{end}".encode()).reason == "no header line"


@pytest.mark.parametrize("line", ["sep=.", "sep=", "sep=;;", "separator=;"])
def test_another_first_line_is_the_header_line(line):
    assert refusal(f"{line}\n{NAMES}\n{ROW}\n".encode()).reason == "missing required column"


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (of_fault("dialects/trailing.csv"), 2),
        (f'{NAMES}\r\n{ROW},""\r\n\r\n{ROW},\r\n'.encode(), 2),
        (f"{NAMES}\n{ROW},\n{ROW}, \n{ROW}\n".encode(), 2),
        (f"{NAMES}\n{ROW},\n{ROW}\n".encode(), 1),
        (f"{NAMES},\n{ROW},\n{ROW},\n".encode(), 2),
        (f"{NAMES}\n{ROW},x\n{ROW},\n{ROW},\n".encode(), 3),
        (f"{NAMES}\n{ROW},,\n{ROW},,\n".encode(), 0),
        (f"{NAMES}\n{ROW}\t\n{ROW}\t\u3000\n".replace(",", "\t").encode(), 2),
    ],
    ids=["fault", "quoted", "most", "half", "header too", "not empty in one", "two too many", "tab"],
)
def test_a_delimiter_behind_the_last_field(data, rows):
    got = read(data)
    assert got.result.accepted == rows
    assert set(got.result.reasons) <= {"wrong_field_count"}


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (of_fault("dialects/backslash.csv"), 1000),
        (f'{NAMES},name\n{ROW},"end \\\\"\n{ROW},"say \\"hi\\", twice"\n'.encode(), 2),
        (f'{NAMES},"the \\"name\\", said"\n{ROW},x\n'.encode(), 1),
        (gzip.compress(f'{NAMES},name\n{ROW},"C:\\dir \\"a\\""\n{ROW},"\\\\\\"x"\n'.encode()), 2),
    ],
    ids=["fault", "a backslash at the end", "in the header", "compressed"],
)
def test_a_quote_behind_a_backslash(data, rows):
    got = read(data)
    assert figures(got) == (rows, rows)
    assert got.result.warnings == ('the quoting is malformed unless \\" stands for a quote: so it is read',)


def test_backslashes_in_well_formed_quoting_are_what_they_are():
    got = read(f'{NAMES},element_id\n{ROW},"\\"\n{ROW},"a\\""b"\n'.encode())
    assert got.accepted["element_id"].to_list() == ["\\", 'a\\"b']
    assert not got.result.warnings


def test_quoting_that_is_malformed_either_way_is_refused():
    error = refusal(f'{NAMES},x\n{ROW},"say \\"hi"\n{ROW},"b"c\n'.encode())
    assert error.reason == "malformed quoting"
    assert "row 1," in error.detail


def test_a_quote_that_hides_a_megabyte_is_no_field_too_large():
    """Under standard quoting the field would go on to the next quote, far behind."""
    data = f'{NAMES},x\n{ROW},"a\\""\n' + f"{ROW},\n" * 20_000 + f'{ROW},"b"\n'
    got = read(data.encode())
    assert figures(got) == (20_002, 20_002)
