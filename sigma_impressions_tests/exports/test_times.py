"""Every form of time that is accepted (docs/sigma-export.md, "Values"), and what resembles them."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.exports.reading.times import parse_times
from sigma_impressions_tests.exports import reference


def parse(text: str, time_zone: str = "UTC") -> str | None:
    return parse_times(pl.Series([text]), time_zone).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").item()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-19T08:00:01Z", "2026-11-19T08:00:01.000000"),
        ("2026-11-19 08:00:01 Z", "2026-11-19T08:00:01.000000"),
        ("2026-11-19 08:00:01.5 UTC", "2026-11-19T08:00:01.500000"),
        ("2026-11-19T08:00:01.123456789+05:30", "2026-11-19T02:30:01.123456"),
        ("2026-11-19T08:00:01.9999999Z", "2026-11-19T08:00:01.999999"),
        ("2026-11-19 08:00:01 -0530", "2026-11-19T13:30:01.000000"),
        ("2026-11-19 08:00:01+05", "2026-11-19T03:00:01.000000"),
        ("2026-11-19 08:00:01.123", "2026-11-19T08:00:01.123000"),
        ("2026-11-19", "2026-11-19T00:00:00.000000"),
        ("1763539200", "2025-11-19T08:00:00.000000"),
        ("1795075200123", "2026-11-19T08:00:00.123000"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000"),
        ("2024-02-29 00:00:00", "2024-02-29T00:00:00.000000"),
    ],
)
def test_accepted_forms(text, utc):
    assert parse(text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-11-19T08:00Z",
        "2026-11-19T08:00:01,5Z",
        "2026-11-19T08:00:01.Z",
        "2026-11-19T08:00:01.1234567890Z",
        "2026-11-19T08:00:60Z",
        "2026-11-19T24:00:00Z",
        "2026-11-19T23:60:00Z",
        "2026-02-29T00:00:00Z",
        "2026-04-31",
        "2026-13-01",
        "2026-00-01 00:00:00",
        "0000-01-01T00:00:00Z",
        "2026-11-19  08:00:01",
        "2026-11-19T08:00:01  Z",
        "2026-11-19T08:00:01UTC",
        "2026-11-19T08:00:01z",
        "2026-11-19T08:00:01+24:00",
        "2026-11-19T08:00:01+5",
        "2026-11-19T",
        "2026-11-19Z",
        "26-11-19",
        "2026-1-9",
        "20261119",
        "+2026-11-19",
        "176353920",
        "17635392000",
        "-1763539200",
        "1763539200.5",
        "２０２６-11-19",
        "2026-11-19T08:00:01Z\n2026",
    ],
)
def test_anything_else_is_no_time(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-01 01:30:00", "2026-11-01T05:30:00.000000"),  # shown twice: the earlier one
        ("2026-11-01T01:30:00.123456789", "2026-11-01T05:30:00.123456"),
        ("2026-03-08 02:30:00", None),  # skipped
        ("2026-03-08T02:30:00.1234567", None),
        ("2026-03-08 02:30:00Z", "2026-03-08T02:30:00.000000"),
        ("2026-07-01", "2026-07-01T04:00:00.000000"),
        ("1763539200", "2025-11-19T08:00:00.000000"),
    ],
)
def test_naive_times_are_those_of_the_zone(text, utc):
    assert parse(text, "America/New_York") == utc


def test_a_midnight_that_the_clocks_skip_is_no_time():
    assert parse("2010-03-26", "Asia/Amman") is None


DIGIT = st.integers(0, 9)
TIMES = st.builds(
    lambda date, rest: date + rest,
    st.sampled_from(["2026-11-19", "2026-03-29", "2026-10-25", "2024-02-29", "2026-02-30", "0000-01-01", "2010-01-01"])
    # Time zone tables differ in how far into the past and the future they know clock changes.
    | st.dates(date(1990, 1, 1), date(2035, 12, 31)).map(str),
    st.just("")
    | st.builds(
        "{}{}{}{}".format,
        st.sampled_from("T "),
        st.sampled_from(["00:00:00", "02:30:00", "23:59:59", "23:59:60", "24:00:00", "01:59:59"]) | st.times().map(str),
        st.just("") | st.lists(DIGIT, max_size=10).map(lambda digits: "." + "".join(map(str, digits))),
        st.sampled_from(
            ["", "Z", " Z", " UTC", "UTC", "+05:30", " -0800", "+23:59", "+24:00", "+00", "-1", "+05:3", "z"]
        )
        | st.from_regex("[+-][0-9]{2}:?[0-9]{2}", fullmatch=True),
    ),
) | st.from_regex("[0-9]{9,14}", fullmatch=True)


@given(
    texts=st.lists(st.none() | TIMES, max_size=6),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia"]),
)
def test_any_times(texts, time_zone):
    expected = []
    for text in texts:
        try:
            moment = None if text is None else reference.read_time(text, time_zone)
        except ValueError:
            moment = None
        expected.append(moment)
    times = parse_times(pl.Series("request_time", texts, dtype=pl.String), time_zone)
    assert times.dtype == pl.Datetime("us", "UTC")
    assert times.to_list() == expected
