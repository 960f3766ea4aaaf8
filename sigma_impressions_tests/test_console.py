"""What a terminal shows at the end of a run."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from sigma_impressions.console import print_summary
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)


def summary(tables: Tables) -> list[str]:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    publish_database(tables)
    output = io.StringIO()
    print_summary(Console(file=output, width=100), tables, datetime(2026, 1, 1, tzinfo=UTC))
    return [line.rstrip() for line in output.getvalue().splitlines() if line]


@pytest.mark.slow
def test_the_summary_of_a_run(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    names = {"workbook_url_id": ["known", "other"], "name": ["Sales of all countries", None]}
    resources = pl.DataFrame({"resource_type": ["sigma_workbook"] * 2, **names})
    discover(tables, resources)
    results = f"Results: {tmp_path / 'sigma_impressions.duckdb'}"
    capture(tables, "nothing", [])
    assert summary(tables) == [
        "Files captured        1 (0 refused)",
        "Rows                  0: 0 accepted, 0 rejected, 0 skipped",
        "As of                 2026-11-20",
        "Impressions, 60 days  0 (0 unmatched) by 0 users",
        "Resources             2 (2 without an impression)",
        results,
    ]
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    views = [("ann@x.org", "known", 1_000), ("bob@x.org", "known", 2), ("ann@x.org", "gone", 10)]
    capture(tables, "file", [Row(moment, user, workbook, None, count) for user, workbook, count in views])
    assert summary(tables) == [
        "Files captured        2 (0 refused)",
        "Rows                  3: 3 accepted, 0 rejected, 0 skipped",
        "As of                 2026-11-20",
        "Impressions, 60 days  1,012 (10 unmatched) by 2 users",
        "Resources             2 (1 without an impression)",
        "Most viewed workbooks, 30 days",
        "workbook                impressions  users",
        "Sales of all countries        1,002      2",
        results,
    ]
