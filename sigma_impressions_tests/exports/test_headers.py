"""Delimiters, header names and aliases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.delimiters import likely_delimiters
from sigma_impressions.exports.reading.headers import (
    COLUMN_LIMIT,
    COLUMNS,
    WHITE_SPACE,
    is_count_of,
    normalize_name,
    other_format,
    read_header,
)
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.settings.parse import header_aliases
from sigma_impressions_tests.exports import reference

REQUIRED = ["request_time", "user_email", "workbook_url_id"]


@pytest.mark.parametrize(
    ("line", "delimiters"),
    [
        ("a,b,c", ","),
        ("a;b;c", ";"),
        ("a\tb\tc", "\t"),
        ("a|b|c", "|"),
        ("a;b,c", ",;"),
        ("a;b;c|d|e", ";|"),
        ('"a,b,c";d;e', ";,"),
        ("a|b|c,d", "|,"),
        ("request_time", ","),
    ],
)
def test_the_delimiters_a_header_line_may_have_the_likeliest_first(line, delimiters):
    assert "".join(likely_delimiters(line)) == delimiters


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("Request Time", "requesttime"),
        ("requestTime", "requesttime"),
        ("[REQUEST-TIME]", "requesttime"),
        ("\ufeff request__time ", "requesttime"),
        ("REQUEST-TIME (UTC)", "requesttimeutc"),
        ("_count_", "count"),
        ("Größe", "grsse"),
        ("Stra\u1e9ee", "strasse"),
        ("日本", ""),
    ],
)
def test_names(cell, name):
    assert normalize_name(cell) == name


@pytest.mark.parametrize("cell", ["Count of Request Id", "COUNT OF ROWS", "count_of_views", "(Count of)"])
def test_an_aggregate_of_sigma(cell):
    assert is_count_of(cell)


@pytest.mark.parametrize(
    "cell", ["Count of Distinct Users", "Distinct Count of Users", "Countof x", "Account of x", "count", "count offset"]
)
def test_other_columns_are_no_aggregates(cell):
    assert not is_count_of(cell)


def test_white_space_is_that_of_unicode():
    assert sorted(WHITE_SPACE) == sorted(reference.WHITE_SPACE)


def test_aliases_are_those_of_the_spec():
    assert {column: " ".join(aliases) for column, aliases in COLUMNS.items()} == reference.COLUMNS


def test_the_exact_name_wins_over_an_alias():
    header = read_header(["Email", "user_email", "time", "Workbook", "Comment "], ",", {})
    assert header.positions == {"user_email": 1, "request_time": 2, "workbook_url_id": 3}
    assert header.unused_columns == ("Email", "Comment")
    assert header.warnings == (
        "user_email is read from the column 'user_email', not from 'Email', which could be meant too; leave out what "
        "is not meant, or name the right one exactly user_email",
    )


def test_configured_aliases():
    header = read_header(["when", "user_email", "workbook"], ",", {"request_time": ("When?",)})
    assert header.positions["request_time"] == 0


def test_the_first_alias_of_the_documented_order_is_taken_and_both_are_named():
    header = read_header(["User", "Email", "Event Time", "Timestamp", "Workbook"], ",", {})
    assert header.positions == {"user_email": 1, "request_time": 3, "workbook_url_id": 4}
    assert header.unused_columns == ("User", "Event Time")
    assert [warning.split(";")[0] for warning in header.warnings] == [
        "request_time is read from the column 'Timestamp', not from 'Event Time', which could be meant too",
        "user_email is read from the column 'Email', not from 'User', which could be meant too",
    ]


def test_every_ignored_column_is_named_also_one_that_stands_twice():
    header = read_header([*REQUIRED, "Time", "time", "Viewed At"], ",", {})
    assert header.positions["request_time"] == 0
    assert "not from 'Time', 'time' and 'Viewed At', which" in header.warnings[0]


def test_a_configured_alias_comes_behind_the_exact_name_and_before_the_aliases():
    aliases = {"user_email": ("Login", "Who"), "request_time": ("Opened At",)}
    cells = ["Timestamp", "Opened At", "Email", "who", "login", "Workbook"]
    header = read_header(cells, ",", aliases)
    assert header.positions == {"request_time": 1, "user_email": 4, "workbook_url_id": 5}
    assert len(header.warnings) == 2
    assert read_header([*cells, "user_email"], ",", aliases).positions["user_email"] == 6


@pytest.mark.parametrize("dropped", ["status", "created_at"])
def test_a_name_that_may_be_anything_stands_for_nothing_unless_it_is_configured(dropped):
    assert dropped in read_header([*REQUIRED, dropped], ",", {}).unused_columns
    aliases = {"event_status": ("status",), "count": ("created_at",)}
    assert read_header([*REQUIRED, dropped], ",", aliases).unused_columns == ()


def test_one_aggregate_is_the_count():
    header = read_header([*REQUIRED, "Count of Distinct Users", "Count of Request Id"], ",", {})
    assert header.positions["count"] == 4
    assert header.warnings == ()


def test_of_several_aggregates_none_is_used_unless_it_is_configured():
    cells = [*REQUIRED, "Count of Rows", "Count of Request Id"]
    header = read_header(cells, ",", {"user_email": ("Login",)})
    assert "count" not in header.positions
    (warning,) = header.warnings
    assert "'Count of Rows' and 'Count of Request Id'" in warning
    assert warning.endswith(": SIGMA_IMPRESSIONS_HEADER_ALIASES='user_email=Login,count=Count of Rows'")
    chosen = read_header(cells, ",", {"count": ("count of request-id",)})
    assert chosen.positions["count"] == 4
    assert "not from 'Count of Rows', which" in chosen.warnings[0]


def test_an_aggregate_beside_a_count_is_ignored_with_a_warning():
    header = read_header([*REQUIRED, "Count of Rows", "Views"], ",", {})
    assert header.positions["count"] == 4
    assert "count is read from the column 'Views', not from 'Count of Rows'" in header.warnings[0]


def test_the_event_type_is_required_with_the_setting_only():
    assert "event_type" not in read_header(REQUIRED, ",", {}).positions
    assert read_header([*REQUIRED, "Event Name"], ",", {}, needs_event_type=True).positions["event_type"] == 3
    with pytest.raises(RefusedFile, match="stands for event_type;") as caught:
        read_header([*REQUIRED, "Action"], ",", {}, needs_event_type=True)
    assert caught.value.reason == "missing required column"
    assert caught.value.detail.endswith(": SIGMA_IMPRESSIONS_HEADER_ALIASES=event_type=Action")


@pytest.mark.parametrize(
    "cells",
    [
        [*REQUIRED, "Request-Time"],
        ["user_email", "workbook", "Time", "time"],
        [*REQUIRED, "Views", "views"],
        [*REQUIRED, "Status", "eventStatus", "event_status"],
    ],
)
def test_a_name_that_is_taken_and_stands_twice_is_ambiguous(cells):
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


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["Zeitpunkt", "user_email", "workbook"], "request_time=Zeitpunkt"),
        (["created_at", "user_email", "workbook"], "request_time=created_at"),
        (["Opened, at", "Nutzer", "Mappe", "workbook"], "'request_time=Opened at,user_email=Nutzer'"),
        (["日時", "user_email", "workbook"], "'request_time=<header>'"),
        (["Uhrzeit", "uhr-zeit", "user_email", "workbook"], "'request_time=<header>'"),
        (["Event Name", "user_email", "workbook"], "'request_time=<header>'"),
        (
            ["Time zone", "Login", "Dashboard URL"],
            "'request_time=Time zone,user_email=Login,workbook_url_id=Dashboard URL'",
        ),
    ],
)
def test_the_message_ends_with_a_line_to_paste(cells, line):
    """A header that cannot be named, stands twice or stands for another column already is not proposed."""
    with pytest.raises(RefusedFile) as caught:
        read_header(cells, ",", {})
    assert caught.value.detail.endswith(f": SIGMA_IMPRESSIONS_HEADER_ALIASES={line}")


def test_the_line_to_paste_works_and_keeps_what_is_configured():
    cells, aliases = ["Opened, at", "Anmeldung (Nutzer)", "Workbook"], {"count": ("n", "Hits")}
    with pytest.raises(RefusedFile) as caught:
        read_header(cells, ",", aliases)
    name, _, value = caught.value.detail.rpartition(": ")[2].partition("=")
    assert name == "SIGMA_IMPRESSIONS_HEADER_ALIASES"
    read_as = header_aliases(value.strip("'"))
    assert read_as == {"count": ("n", "Hits"), "request_time": ("Opened at",), "user_email": ("Anmeldung Nutzer",)}
    assert len(read_header(cells, ",", read_as).positions) == 3


@pytest.mark.parametrize(
    ("beginning", "form"),
    [
        ('{"request_time": "2026-11-20"', "JSON"),
        ("[", "JSON"),
        (' [{"a": 1}', "JSON"),
        ("<!DOCTYPE html><html>", "HTML"),
        ("<html lang='en'>", "HTML"),
        ('<?xml version="1.0"?><Error>', "XML"),
        ("<Error><Code>AccessDenied</Code>", "XML"),
    ],
)
def test_a_text_of_another_form_is_called_by_its_name(beginning, form):
    with pytest.raises(RefusedFile) as caught:
        read_header([beginning, "b"], ",", {})
    assert caught.value.reason == "missing required column"
    assert f"The text begins as {form} does" in caught.value.detail
    assert "SIGMA_IMPRESSIONS_HEADER_ALIASES" not in caught.value.detail


@pytest.mark.parametrize("beginning", ["[Request Time]", "<5 minutes", "{Zeit}", "a{", ""])
def test_a_header_with_brackets_is_no_other_form(beginning):
    assert other_format(beginning) is None


def test_packed_data_is_not_advised_to_be_mapped():
    with pytest.raises(RefusedFile, match="packed or in another format") as caught:
        read_header(["x\x01\ufffdq"], ",", {})
    assert "SIGMA_IMPRESSIONS_HEADER_ALIASES" not in caught.value.detail


def test_too_many_columns():
    read_header([*REQUIRED, *["x"] * (COLUMN_LIMIT - 3)], ",", {})
    with pytest.raises(RefusedFile) as caught:
        read_header([*REQUIRED, *["x"] * (COLUMN_LIMIT - 2)], ",", {})
    assert caught.value.reason == "too many columns"


SPELLINGS = (str, str.title, lambda name: name.replace("_", " "), lambda name: name.title().replace("_", ""))
NAMES = st.builds(
    lambda spell, name: spell(name),
    st.sampled_from(SPELLINGS),
    st.sampled_from(
        [*" ".join([*reference.COLUMNS, *reference.COLUMNS.values()]).split(), "count_of_rows", "Count of x", "Login"]
    ),
)
ALIASES = st.sampled_from([{}, {"user_email": ("Login", "Nutzer"), "count": ("count of x",), "event_status": ("ok",)}])


@given(cells=st.lists(NAMES | st.text(max_size=5), min_size=1, max_size=8), aliases=ALIASES, typed=st.booleans())
def test_any_header(cells, aliases, typed):
    try:
        expected = reference.find_columns(cells, aliases, typed)
    except reference.Refused as refused:
        with pytest.raises(RefusedFile) as caught:
            read_header(cells, ",", aliases, needs_event_type=typed)
        assert caught.value.reason == str(refused)
    else:
        header = read_header(cells, ",", aliases, needs_event_type=typed)
        assert header.positions == expected
        assert len(header.unused_columns) == len(cells) - len(expected)
