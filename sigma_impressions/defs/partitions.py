"""The daily partitions that all assets share, and how many of them one run takes."""

from __future__ import annotations

from datetime import date

import dagster as dg

from sigma_impressions.windows import MAX_DAYS_BACK

BACKFILL_POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=MAX_DAYS_BACK)
"""One constant for the look-back of a scan and for the days of one backfill run."""


def daily_partitions(first_day: date) -> dg.DailyPartitionsDefinition:
    """Days in UTC from the first day to today; `end_offset` makes today exist before it is over."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), end_offset=1, timezone="UTC")
