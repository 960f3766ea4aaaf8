"""Who viewed each workbook on each day, against counting in plain Python: all pairs, and those within bounds."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random

import duckdb
import polars as pl
import pytest

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish import build, database
from sigma_impressions.publish.daily_users import create_daily_users
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)
WORKBOOK_ID = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"

Days = Counter[tuple[date, str | None, str | None]]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Views of workbooks under several names, of elements known and not, by people and by nobody; some are too old."""
    draw = Random(20)
    return [
        Row(
            datetime(2026, 11, 20, 9, tzinfo=UTC) - timedelta(days=draw.choice([0, 1, 30, 58, 59, 60]), seconds=number),
            draw.choice([None, "ann@x.org", "bob@x.org", "cem@x.org", "dora@x.org"]),
            draw.choice(["Sales", WORKBOOK_ID, WORKBOOK_ID.upper(), "Hiring", "Unknown"]),
            draw.choice([None, "chart", "gone"]),
            draw.choice([1, 2, 7]),
        )
        for number in range(200)
    ]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Tables:
    tables = Tables(tmp_path_factory.mktemp("storage"))
    workbooks = {"workbook_url_id": ["Sales", "Hiring", "Unseen"], "workbook_id": [WORKBOOK_ID, None, None]}
    resources = [
        pl.DataFrame(workbooks).with_columns(resource_type=pl.lit("sigma_workbook")),
        pl.DataFrame({"workbook_url_id": ["Sales"], "element_id": ["chart"], "resource_type": ["sigma_element"]}),
    ]
    discover(tables, pl.concat(resources, how="diagonal"))
    capture(tables, "all", rows)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    return tables


def counted(rows: list[Row]) -> Days:
    days: Days = Counter()
    for row in rows:
        if row.request_time.date() > AS_OF - timedelta(days=60):
            workbook = "Sales" if row.workbook_url_id.lower() == WORKBOOK_ID else row.workbook_url_id
            days[row.request_time.date(), workbook, row.user_email] += row.count
    return days


def published(tables: Tables, monkeypatch: pytest.MonkeyPatch, **bounds: int) -> Days:
    monkeypatch.setattr(build, "create_daily_users", partial(create_daily_users, **bounds))
    database.remove_database(tables.storage)
    with duckdb.connect(str(database.publish_database(tables).path), read_only=True) as connection:
        rows = connection.execute(
            "SELECT event_date, workbook_url_id, user_email, impressions FROM daily_users"
        ).fetchall()
    days: Days = Counter({(day, workbook, user): impressions for day, workbook, user, impressions in rows})
    assert len(days) == len(rows)
    return days


def test_without_bounds_all_views_are_there(tables: Tables, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    assert published(tables, monkeypatch) == counted(rows)


@pytest.mark.parametrize("bounds", [{"most_pairs": 5}, {"most_days": 17}, {"most_pairs": 0}, {"most_days": 0}], ids=str)
def test_within_bounds_those_pairs_are_there_that_view_most(
    tables: Tables, rows: list[Row], monkeypatch: pytest.MonkeyPatch, bounds: dict[str, int]
) -> None:
    everything = counted(rows)
    of_pairs: dict[tuple[str | None, str | None], Counter[date]] = defaultdict(Counter)
    for (day, *pair), impressions in everything.items():
        of_pairs[pair[0], pair[1]][day] += impressions
    found = published(tables, monkeypatch, **bounds)
    kept = {key[1:] for key in found if key[1] is not None and key[2] is not None}
    left = {pair for pair in of_pairs if pair[1] is not None} - kept
    # Of a pair all days or none; nobody is always there. What is left of a user's day is of no workbook.
    expected: Days = Counter()
    for (day, *pair), impressions in everything.items():
        is_told = pair[1] is None or (pair[0], pair[1]) in kept
        expected[day, pair[0] if is_told else None, pair[1]] += impressions
    assert found == expected
    assert min((of_pairs[pair].total() for pair in kept), default=10**9) >= max(of_pairs[pair].total() for pair in left)
    assert len(kept) <= bounds.get("most_pairs", len(of_pairs))
    assert sum(len(of_pairs[pair]) for pair in kept) <= bounds.get("most_days", 10**9)
    assert bool(kept) == all(bounds.values())
