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
        ("1763539200123456", "2025-11-19T08:00:00.123456"),
        ("1763539200123456789", "2025-11-19T08:00:00.123456"),
        ("1763539200.5", "2025-11-19T08:00:00.500000"),
        ("1763539200.123456789", "2025-11-19T08:00:00.123456"),
        ("2026-11-19T08:00Z", "2026-11-19T08:00:00.000000"),
        ("2026-11-19 08:00", "2026-11-19T08:00:00.000000"),
        ("2026-11-19 08:00 +0100", "2026-11-19T07:00:00.000000"),
        ("2026-11-19T08:00:01,5Z", "2026-11-19T08:00:01.500000"),
        ("2026-11-19 08:00:01,123456789 gmt", "2026-11-19T08:00:01.123456"),
        ("2026-11-19T08:00:01UTC", "2026-11-19T08:00:01.000000"),
        ("2026-11-19T08:00:01z", "2026-11-19T08:00:01.000000"),
        ("2026-11-19T08:00:01 uTc", "2026-11-19T08:00:01.000000"),
        ("Thu, 19 Nov 2026 08:00:01 +0000", "2026-11-19T08:00:01.000000"),
        ("fri, 19 NOV 2026 08:00:01 GMT", "2026-11-19T08:00:01.000000"),
        ("6 Sep 2026 08:00:01,25-0330", "2026-09-06T11:30:01.250000"),
        ("06 sep 2026 08:00:01", "2026-09-06T08:00:01.000000"),
        ("29 Feb 2024 23:59:59.9999999", "2024-02-29T23:59:59.999999"),
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
        "２０２６-11-19",
        "2026-11-19T08:00:01Z\n2026",
        "2026-11-19T08:00.5Z",
        "2026-11-19 8:00",
        "2026-11-19 UTC",
        "2026-11-19T08:00:01CET",
        "2026-11-19T08:00:01,",
        "Thursday, 19 Nov 2026 08:00:01",
        "Thu 19 Nov 2026 08:00:01",
        "Xyz, 19 Nov 2026 08:00:01",
        "Thu, 19 Nov 2026 08:00",
        "Thu, 19 Nov 2026",
        "19 Nov 26 08:00:01",
        "19 Okt 2026 08:00:01",
        "19 November 2026 08:00:01",
        "31 Nov 2026 08:00:01",
        "0 Nov 2026 08:00:01",
        "19 Nov 0000 08:00:01",
        "6 ſep 2026 08:00:01",
        "ſun, 6 Sep 2026 08:00:01",
        "1763539200,5",
        "1763539200.",
        "1763539200.1234567890",
        "1763539200123.5",
        "17635392001234567",
        "11/22/2026",
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


@pytest.mark.parametrize(
    ("time_zone", "day", "utc"),
    [
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00.000000"),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00.000000"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00.000000"),
        ("America/Havana", "2026-03-08", "2026-03-08T05:00:00.000000"),
        ("Asia/Amman", "2010-03-26", "2010-03-25T22:00:00.000000"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00.000000"),  # the whole day is skipped
    ],
)
def test_a_bare_date_is_the_first_moment_of_a_day_whose_midnight_the_clocks_skip(time_zone, day, utc):
    assert parse(day, time_zone) == utc
    assert parse(f"{day} 00:00:00", time_zone) is None
    assert parse(f"{day}T00:00", time_zone) is None


def test_a_bare_date_is_the_earlier_midnight_where_the_clocks_show_two():
    assert parse("2026-11-01", "America/Havana") == "2026-11-01T04:00:00.000000"


WHOLE_COLUMNS = [
    ["2026-09-05", "2026-09-06", "2026-09-07"],
    ["2026-11-19 08:00", "2026-11-19 08:61", "2026-11-19 24:00"],
    ["2026-11-19T08:00:00,123z", "2026-11-19T08:00:00,12x"],
    ["Thu, 19 Nov 2026 08:00:00 GMT", "Fri, 06 Feb 2026 08:00:00 GMT", "Xyz, 06 Feb 2026 08:00:00 GMT"],
    ["6 Sep 2026 00:30:00", "16 Sep 2026 00:30:00", "6 Sex 2026 00:30:00"],
    ["1763539200", "1763539201", "176353920x"],
    ["1763539200.25", "1763539200.2x"],
    ["1763539200123456789", "9999999999999999999"],
    ["2026-11-19T08:00:00+01:00", "2026-11-19T08:00:00-01:00", "2026-11-19T08:00:00 01:00"],
]


@pytest.mark.parametrize("texts", WHOLE_COLUMNS, ids=range(len(WHOLE_COLUMNS)))
@pytest.mark.parametrize("time_zone", ["UTC", "America/Santiago"])
def test_a_column_in_one_form_is_read_as_each_of_its_texts(texts, time_zone):
    together = parse_times(pl.Series(texts * 3), time_zone)
    assert together.to_list() == 3 * [parse_times(pl.Series([text]), time_zone).item() for text in texts]
    assert together.null_count() < len(together)


DIGIT = st.integers(0, 9)
FRACTIONS = st.just("") | st.builds(
    lambda point, digits: point + "".join(map(str, digits)), st.sampled_from(".,"), st.lists(DIGIT, max_size=10)
)
ZONES = st.sampled_from(
    [
        "",
        "Z",
        " Z",
        " UTC",
        "utc",
        "+05:30",
        " -0800",
        "+23:59",
        "+24:00",
        "+00",
        "-1",
        "+05:3",
        "z",
        "  Z",
        " gmt",
        "M",
    ]
) | st.from_regex("[+-][0-9]{2}:?[0-9]{2}", fullmatch=True)
ISO_TIMES = st.builds(
    lambda date, rest: date + rest,
    st.sampled_from(
        ["2026-11-19", "2026-03-29", "2026-10-25", "2024-02-29", "2026-02-30", "0000-01-01", "2010-01-01", "2026-09-06"]
    )
    # Time zone tables differ in how far into the past and the future they know clock changes.
    | st.dates(date(1990, 1, 1), date(2035, 12, 31)).map(str),
    st.just("")
    | st.builds(
        "{}{}{}{}".format,
        st.sampled_from("T "),
        st.sampled_from(["00:00:00", "02:30:00", "23:59:59", "23:59:60", "24:00:00", "01:59:59", "00:00", "02:30"])
        | st.times().map(str),
        FRACTIONS,
        ZONES,
    ),
)
MAIL_TIMES = st.builds(
    "{}{} {} {} {}{}{}".format,
    st.sampled_from(["", "Mon, ", "sun, ", "SAT, ", "Mo, ", "Mon,"]),
    st.integers(0, 32) | st.sampled_from(["06", "006"]),
    st.sampled_from(["Jan", "feb", "MAR", "Sep", "Oct", "Now", "June"]),
    st.sampled_from([2026, 2024, 2011, 0, 26]),
    st.sampled_from(["00:00:00", "02:30:00", "23:59:59", "24:00:00", "02:30"]),
    FRACTIONS,
    ZONES,
)
UNIX_TIMES = st.from_regex(r"[0-9]{9,20}|[0-9]{10}[.,][0-9]{0,10}", fullmatch=True)
TIMES = ISO_TIMES | MAIL_TIMES | UNIX_TIMES


@given(
    texts=st.lists(st.none() | TIMES, max_size=6),
    time_zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kolkata", "Pacific/Apia", "America/Santiago"]
    ),
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
