"""Well-formed files: the fields that are read are those that DuckDB's `read_csv` reads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions_tests.exports import reference
from sigma_impressions_tests.exports.fuzz.target import cut_into
from sigma_impressions_tests.exports.reading import read

FIXED = {"request_time": "2026-11-19T08:00:00Z", "user_email": "a@b", "workbook_url_id": "x"}
"""The values that make a row an accepted one; the others are whatever they like to be."""

FREE = ("element_id", "event_id")
"""The columns whose values are passed on as they are, but for the white space around them."""


@dataclass(frozen=True)
class Table:
    """A file and how it is written."""

    columns: list[str]
    delimiter: str
    line_end: str
    text: str


SPECIAL = st.sampled_from(
    [*',;\t|"\r\n\0 \x0b\x1c\x85\xa0\u2028\ufeff\ufffd\U0001f600é', "\r\n", '""', '",', "\\N", "NULL"]
)
PLAIN = st.text(st.characters(codec="utf-8"), max_size=8)
VALUE = PLAIN | st.lists(SPECIAL | PLAIN, max_size=6).map("".join)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = draw(st.permutations([*FIXED, *FREE, *draw(st.sampled_from([[], ["comment"], ["comment", "page"]]))]))
    delimiter = draw(st.sampled_from(",;\t|"))
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    lines = []
    for row in [None, *draw(st.lists(st.tuples(*[VALUE] * len(columns)), max_size=8))]:
        fields = []
        for column, value in zip(columns, row or columns, strict=True):
            field = FIXED.get(column, value) if row else column
            must_be_quoted = not {delimiter, '"', "\r", "\n"}.isdisjoint(field)
            if must_be_quoted or draw(st.booleans()):
                field = '"{}"'.format(field.replace('"', '""'))
            fields.append(field)
        lines.append(delimiter.join(fields) + line_end)
    text = "".join(lines)
    return Table(columns, delimiter, line_end, text if draw(st.booleans()) else text.removesuffix(line_end))


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def read_by_duckdb(table: Table, connection: duckdb.DuckDBPyConnection) -> list[dict[str, str | None]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(table.text.encode())
        relation = connection.read_csv(
            str(path),
            header=True,
            auto_detect=False,
            columns=dict.fromkeys(table.columns, "VARCHAR"),
            delimiter=table.delimiter,
            quotechar='"',
            escapechar='"',
            lineterminator=table.line_end.encode("unicode_escape").decode(),
        )
        return [dict(zip(table.columns, row, strict=True)) for row in relation.fetchall()]


@pytest.mark.slow
@settings(max_examples=120)
@given(table=tables(), size=st.sampled_from([1, 64, 2**20]))
def test_the_fields_are_those_that_duckdb_reads(duck, table, size):
    expected = [
        tuple(reference.absent((row[column] or "").strip(reference.WHITE_SPACE)) for column in FREE)
        for row in read_by_duckdb(table, duck)
    ]
    with cut_into(size):
        got = read(table.text.encode())
    assert got.result.rejected == 0
    assert got.accepted.select(*FREE).rows() == expected
    assert got.accepted.get_column("row_number").to_list() == list(range(1, len(expected) + 1))
