"""As-of dates that are computed together share what they read, and are what each is alone."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.lake.schemas import METRIC_TABLES, RESOURCE_IMPRESSIONS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.writing import write_behind
from sigma_impressions.publish.settle import publish_settled
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)
BOOK_ID = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"


def test_dates_computed_together_are_what_each_is_alone(tmp_path: Path) -> None:
    # Views on every day of the windows and beyond, some of them by one user under two IDs of a workbook on one day.
    every_so_many_days = [
        *((1, "ann@x.org", "Sales"), (1, None, "Sales"), (1, "ann@x.org", BOOK_ID)),
        *((7, "bob@x.org", "Sales"), (11, "bob@x.org", "gone"), (59, "cy@x.org", "Costs")),
    ]
    nine = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 9, tzinfo=UTC)
    rows = [
        Row(nine - timedelta(days=age), user, book, None, age + 2)
        for age in range(-1, 66)
        for days, user, book in every_so_many_days
        if age % days == 0
    ]
    together = Tables(tmp_path / "together")
    resources = pl.DataFrame({"workbook_url_id": ["Sales", "Costs"], "workbook_id": [BOOK_ID, None]})
    discover(together, resources.with_columns(resource_type=pl.lit("sigma_workbook")))
    capture(together, "file", rows)
    refresh_daily_impressions(together, "largest")
    alone = Tables(shutil.copytree(together.root, tmp_path / "alone"))
    dates = [AS_OF - timedelta(days=back) for back in (5, 4, 2, 0)]
    refresh_metrics(together, dates)
    for as_of in dates:
        refresh_metrics(alone, [as_of])
        for table in METRIC_TABLES:
            assert read_as_of(together, table, as_of).equals(read_as_of(alone, table, as_of)), (table.name, as_of)


def test_what_is_written_behind_is_written_in_order_or_raises() -> None:
    written: list[int] = []

    def fail() -> None:
        raise OSError("full")

    with write_behind() as begin:
        for number in range(3):
            begin(lambda number=number: written.append(number))  # type: ignore[misc]
    assert written == [0, 1, 2]
    with pytest.raises(OSError, match="full"), write_behind() as begin:
        begin(fail)
        begin(lambda: written.append(3))
    with pytest.raises(OSError, match="full"), write_behind() as begin:
        begin(fail)
    assert written == [0, 1, 2]


def test_dates_that_a_later_run_restates_are_stated_once(tmp_path: Path) -> None:
    """The runs of one backfill, newest day first: each states its own day, and what is published is always right."""
    step_by_step, at_once = Tables(tmp_path / "step by step"), Tables(tmp_path / "at once")
    days = [AS_OF - timedelta(days=back) for back in range(4)]
    for tables in (step_by_step, at_once):
        discover(tables, pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["Sales"]}))
    built = []
    for number, day in enumerate(days):
        rows = [Row(datetime(day.year, day.month, day.day, 9, tzinfo=UTC), "ann@x.org", "Sales", None, 10**number)]
        capture(at_once, str(day), rows, day)
        capture(step_by_step, str(day), rows, day)
        refresh_daily_impressions(step_by_step, "largest")
        is_last = day == days[-1]
        built.append(refresh_metrics(step_by_step, [day], restate=is_last).built)
        published = publish_settled(step_by_step, "largest", [], None, report=lambda _: None, restate=is_last)
        assert published.as_of == AS_OF
        (total,) = read_as_of(step_by_step, RESOURCE_IMPRESSIONS, AS_OF)["total_impressions_60d"]
        assert total == int("1" * (number + 1))
    assert built == [(days[0],), (days[1],), (days[2],), tuple(sorted(days))]
    refresh_daily_impressions(at_once, "largest")
    refresh_metrics(at_once, days)
    for table in METRIC_TABLES:
        for day in days:
            assert read_as_of(step_by_step, table, day).equals(read_as_of(at_once, table, day))
