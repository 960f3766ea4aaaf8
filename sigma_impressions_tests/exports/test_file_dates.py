"""The file date of an export file, from its last-modified time or from its key."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.file_dates import KeyPattern, file_date, listing_start

ISO = KeyPattern(r"(?P<year>\d+)-(?P<month>\d+)-(?P<day>\d+)")
MODIFIED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def item(key: str, modified: datetime = MODIFIED) -> StoredObject:
    return StoredObject("bucket", key, "v1", 10, modified)


@pytest.mark.parametrize(
    ("modified", "expected"),
    [
        (datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC), date(2026, 3, 1)),
        (datetime(2026, 3, 2, 0, 0, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2026, 3, 2, 1, 0, tzinfo=timezone(timedelta(hours=2))), date(2026, 3, 1)),
    ],
)
def test_without_a_pattern_it_is_the_utc_day_of_last_modified(modified: datetime, expected: date) -> None:
    assert file_date(item("exports/2020-01-01.csv", modified), None) == (expected, False)


@pytest.mark.parametrize("key", ["exports/2026-02-28.csv", "a/b/audit_2026-2-28T01.csv.gz"])
def test_a_pattern_reads_the_day_anywhere_in_the_key(key: str) -> None:
    assert file_date(item(key), ISO) == (date(2026, 2, 28), False)


@pytest.mark.parametrize(
    "key",
    [
        "exports/audit.csv",  # no match
        "exports/2026-02-30.csv",  # no such day
        "exports/2026-13-01.csv",
        "exports/0000-01-01.csv",
        "exports/26-02-28.csv",  # a guess at the century
        "exports/12026-02-28.csv",
        "exports/٢٠٢٦-02-28.csv",  # digits of another script
        "exports/2026-002-28.csv",
    ],
)
def test_a_key_without_a_day_falls_back_to_last_modified_and_says_so(key: str) -> None:
    assert file_date(item(key), ISO) == (date(2026, 3, 1), True)


def test_a_group_that_took_no_part_in_the_match_falls_back() -> None:
    optional_day = KeyPattern(r"(?P<year>\d{4})-(?P<month>\d{2})(-(?P<day>\d{2}))?")
    assert file_date(item("exports/2026-02.csv"), optional_day) == (date(2026, 3, 1), True)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (r".*(?P<year>\d{4}).*(?P<month>\d{2}).*(?P<day>\d{2})\.csv", "1" * 20_000 + ".csv.gz"),
        (r"^([\w-]+/?)+(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})$", "a" * 20_000 + ".csv"),
        (r"(a*)*(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})", "a" * 20_000 + ".csv"),
    ],
)
def test_no_key_makes_a_pattern_slow(text: str, key: str) -> None:
    started = time.monotonic()
    assert file_date(item(key), KeyPattern(text))[0] == date(2026, 3, 1) or "1" in key
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
        r"^exports/(?:a|b)/audit[^/]*?_(?P<year>[0-9]{4})-?(?P<month>[0-9]{2})-?(?P<day>[0-9]{2})\.csv(\.gz)?$",
        r"(?i)AUDIT_(?P<year>\d+)\D(?P<month>\d+)\D(?P<day>\d+)",
    ],
)
def test_a_pattern_means_what_it_means_to_python(text: str) -> None:
    key = "exports/a/audit_2026-02-28.csv"
    expected = re.search(text, key)
    assert expected is not None
    assert KeyPattern(text).problem() is None
    assert KeyPattern(text).date_in(key) == date(*map(int, expected.group("year", "month", "day")))


DAY = date(2026, 11, 5)
ISO_TEXT = r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        (ISO_TEXT, "sigma/2026-11-05"),
        (ISO_TEXT + r"T\d\d-\d\d", "sigma/2026-11-05"),
        (r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})_", "sigma/20261105"),
        (r"year=(?P<year>\d\d\d\d)/month=(?P<month>\d\d)/day=(?P<day>\d\d)/", "sigma/year=2026/month=11/day=05"),
        (r"^sigma/v1\.0/(?P<year>\d{4})/(?P<month>\d{2})/(?P<day>\d{2})", "sigma/v1.0/2026/11/05"),
        # Not anchored where the keys begin.
        (rf"^{ISO_TEXT}", None),
        (rf"^other/{ISO_TEXT}", None),
        # The width varies, or the order is not that of time.
        (r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{2})", None),
        (r"(?P<year>\d+)-(?P<month>\d{2})-(?P<day>\d{2})", None),
        (r"(?P<day>\d{2})-(?P<month>\d{2})-(?P<year>\d{4})", None),
        # Something variable stands before the date, or the date may be missing.
        (rf".*{ISO_TEXT}", None),
        (rf"[a-z]+{ISO_TEXT}", None),
        (rf"a?{ISO_TEXT}", None),
        (rf"\w{ISO_TEXT}", None),
        (rf"(x|y){ISO_TEXT}", None),
        (rf"{ISO_TEXT}?", None),
        (rf"{ISO_TEXT}|latest", None),
        (rf"(?i)x{ISO_TEXT}", None),
    ],
)
def test_where_a_listing_may_start(pattern: str, start: str | None) -> None:
    assert listing_start(KeyPattern(pattern), "sigma/", DAY) == start


@given(day=st.dates(date(2000, 1, 1), date(2099, 12, 31)), first=st.dates(date(2000, 1, 1), date(2099, 12, 31)))
def test_a_listing_from_there_shows_exactly_the_days_from_the_first(day: date, first: date) -> None:
    start = listing_start(KeyPattern(ISO_TEXT), "sigma/", first)
    assert start is not None
    assert (f"sigma/{day}.csv" > start) == (f"sigma/{day}T00 a.csv" > start) == (day >= first)
