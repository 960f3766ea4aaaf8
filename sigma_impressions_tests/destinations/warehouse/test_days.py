"""What a warehouse should hold: which parts have another fingerprint after something has changed."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sigma_impressions.destinations.warehouse.days import Part, wanted_parts
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.insights.thresholds import DEFAULT_RULES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.contents import AllContents
from sigma_impressions_tests.destinations.warehouse.stored import DAYS, RESOURCES, at, views
from sigma_impressions_tests.metrics.captured import capture, discover


def test_the_insights_of_a_day_that_has_become_complete_are_others(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    discover(tables, pl.DataFrame(RESOURCES, infer_schema_length=None))

    def wanted() -> dict[Part, str]:
        refresh_daily_impressions(tables, "largest")
        refresh_metrics(tables, DAYS[:1])
        return wanted_parts(tables, AllContents(tables, DEFAULT_RULES, with_members=True), DAYS[-1])

    capture(tables, "of its day", views(DAYS[0], 0), DAYS[0], at(DAYS[0], 23))
    before = wanted()
    capture(tables, "of the next one", views(DAYS[1], 0), DAYS[1], at(DAYS[1], 23))
    after = wanted()
    changed = {part.table for part, fingerprint in before.items() if after[part] != fingerprint}
    assert changed == set(INSIGHT_TABLES)
