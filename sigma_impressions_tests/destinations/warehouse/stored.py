"""A small storage of several as-of dates: everything that a warehouse may get wrong, in few rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

DAYS = [date(2026, 11, 18) + timedelta(days=number) for number in range(3)]
SALES = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"
HOSTILE = "a\"b'c,d;e\tf\n<i>{\\} =1+1 \x00\u2028ζ🙂"
"""What breaks CSV, SQL and text files."""
RESOURCES: list[dict[str, Any]] = [
    {"resource_type": "sigma_workbook", "workbook_url_id": "Sales", "workbook_id": SALES, "name": HOSTILE, "path": ""},
    {"resource_type": "sigma_element", "workbook_url_id": "Sales", "element_id": "chart", "name": r"\N"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Ops", "owner_email": "ann@x.org", "path": "Team/Ops"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Unseen", "owner_email": "ann@x.org", "name": "NULL"},
]
PEOPLE: list[dict[str, Any]] = [
    {"member_id": "1", "email": "ann@x.org", "name": HOSTILE, "account_type": "Viewer", "teams": ["HR", HOSTILE]},
    {"member_id": "2", "email": "never@x.org", "teams": [], "is_active": True},
]


def stored(root: Path) -> Tables:
    """The storage; every one of the `DAYS` is an as-of date, the first one without an unmatched impression."""
    tables = Tables(root)
    discover(tables, pl.DataFrame(RESOURCES, infer_schema_length=None))
    members = pl.DataFrame(PEOPLE, schema=MEMBERS)
    capture_members(tables, as_stored(members, None), "the test", datetime(2026, 11, 1, tzinfo=UTC))
    for number, day in enumerate(DAYS):
        capture(tables, f"of {day}", views(day, number), day, at(day + timedelta(days=1), 6))
    return counted(tables)


def views(day: date, number: int) -> list[Row]:
    """The views of a day; from the second one on some of them are unmatched."""
    found = [
        Row(at(day, 9), "ann@x.org", "Sales", None, number + 1),
        # By its other ID, by the same user: one of that day.
        Row(at(day, 10), "ann@x.org", SALES.upper(), None, 2),
        Row(at(day, 11), HOSTILE, "Sales", "chart", 3),
    ]
    unmatched = [Row(at(day, 12), "bob@x.org", HOSTILE, None, 1), Row(at(day, 12), None, "Ops", "lost", 5)]
    return found + unmatched * (number > 0)


def add_late_file(tables: Tables, day: date) -> Tables:
    """More views of a day, in a file that comes after all others."""
    rows = [Row(at(day, 20), "late@x.org", "Ops", None, 7)]
    capture(tables, f"late, of {day}", rows, DAYS[-1], at(DAYS[-1], 23))
    return counted(tables)


def counted(tables: Tables) -> Tables:
    """The storage with its metrics up to date."""
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, DAYS)
    return tables


def at(day: date, hour: int) -> datetime:
    """A time of a day."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
