"""Delimiters, header names and aliases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.exports.reading.headers import (
    COLUMN_LIMIT,
    COLUMNS,
    WHITE_SPACE,
    detect_delimiter,
    normalize_name,
    read_header,
)
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions_tests.exports import reference

REQUIRED = ["request_time", "user_email", "workbook_url_id"]


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("a,b,c", ","),
        ("a;b;c", ";"),
        ("a\tb\tc", "\t"),
        ("a|b|c", "|"),
        ("a;b,c", ","),
        ("a;b;c|d|e", ";"),
        ('"a,b,c";d;e', ";"),
        ("request_time", ","),
    ],
)
def test_delimiter(line, delimiter):
    assert detect_delimiter(line) == delimiter


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Request Time", "request_time"),
        ("\ufeff request__time ", "request_time"),
        ("REQUEST-TIME (UTC)", "request_time_utc"),
        ("_count_", "count"),
        ("Größe", "gr_sse"),
        ("日本", ""),
    ],
)
def test_names(cell, name):
    assert normalize_name(cell) == name


def test_white_space_is_that_of_unicode():
    assert sorted(WHITE_SPACE) == sorted(reference.WHITE_SPACE)


def test_aliases_are_those_of_the_spec():
    assert {column: " ".join(aliases) for column, aliases in COLUMNS.items()} == reference.COLUMNS


def test_the_exact_name_wins_over_an_alias():
    header = read_header(["Email", "user_email", "time", "Workbook", "Comment "], ",", {})
    assert header.positions == {"user_email": 1, "request_time": 2, "workbook_url_id": 3}
    assert header.unused_columns == ("Email", "Comment")


def test_configured_aliases():
    header = read_header(["when", "user_email", "workbook"], ",", {"request_time": ("When?",)})
    assert header.positions["request_time"] == 0


@pytest.mark.parametrize(
    "cells",
    [[*REQUIRED, "Request-Time"], ["user_email", "workbook", "time", "Timestamp"], [*REQUIRED, "Views", "Impressions"]],
)
def test_an_ambiguous_header_names_both_cells(cells):
    with pytest.raises(RefusedFile) as caught:
        read_header(cells, ",", {})
    assert caught.value.reason == "ambiguous header"
    assert caught.value.detail.count("(column ") == 2
    assert repr(cells[-1]) in caught.value.detail


def test_missing_columns_are_all_named():
    with pytest.raises(RefusedFile) as caught:
        read_header(["workbook", "comment"], ",", {})
    assert caught.value.reason == "missing required column"
    assert "request_time, user_email;" in caught.value.detail


def test_too_many_columns():
    read_header([*REQUIRED, *["x"] * (COLUMN_LIMIT - 3)], ",", {})
    with pytest.raises(RefusedFile) as caught:
        read_header([*REQUIRED, *["x"] * (COLUMN_LIMIT - 2)], ",", {})
    assert caught.value.reason == "too many columns"


SPELLINGS = (str, str.title, lambda name: name.replace("_", " "))
NAMES = st.builds(
    lambda spell, name: spell(name),
    st.sampled_from(SPELLINGS),
    st.sampled_from(" ".join([*reference.COLUMNS, *reference.COLUMNS.values()]).split()),
)


@given(st.lists(NAMES | st.text(max_size=5), max_size=8))
def test_any_header(cells):
    try:
        expected = reference.find_columns(cells, {})
    except reference.Refused as refused:
        with pytest.raises(RefusedFile) as caught:
            read_header(cells, ",", {})
        assert caught.value.reason == str(refused)
    else:
        assert read_header(cells, ",", {}).positions == expected
