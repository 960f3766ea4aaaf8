"""The order of rows in the published database, by which its columns are small."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)


def test_the_days_of_a_resource_stand_together_however_much_was_viewed_before(tmp_path: Path) -> None:
    def views(day: date, workbooks: int) -> list[Row]:
        moment = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        return [Row(moment, "ann@x.org", f"wb{number:05}", None, 1, None) for number in range(workbooks)]

    tables = Tables(tmp_path)
    workbook = pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb00000"]})
    discover(tables, workbook)
    capture(tables, "before", views(AS_OF - timedelta(days=70), 20_000))
    capture(tables, "now", [row for age in range(3) for row in views(AS_OF - timedelta(days=age), 50)])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    with duckdb.connect(str(publish_database(tables).path), read_only=True) as connection:
        found = connection.execute("SELECT workbook_url_id, event_date FROM daily_impressions").fetchall()
    # The one workbook that is known comes after those that are not.
    assert found == sorted(found, key=lambda row: (row[0] == "wb00000", *row))
    assert len(found) == 150
