"""The checks of the metrics: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from sigma_impressions.defs.checks import ERROR, Check, largest
from sigma_impressions.defs.metadata import EXAMPLES, table_of
from sigma_impressions.insights.complete_days import last_complete_day
from sigma_impressions.metrics.conservation import unbalanced, uncovered
from sigma_impressions.metrics.weekdays import compared_days, unusual_days
from sigma_impressions.upkeep.future import Future
from sigma_impressions.windows import WINDOW_DAYS

COVERED = Check(
    "totals_cover_every_file",
    "An event date never has fewer impressions than one of its export files has alone, however the files "
    "overlap. Nothing is published if it does not hold. If it is red: that is a fault of the program; please "
    "report it with the table.",
    ERROR,
    blocking=True,
)
USUAL = Check(
    "daily_impressions_are_usual",
    "Warns when one of the last 7 complete days has far more or fewer impressions than the same weekday of up "
    "to 4 earlier weeks (SIGMA_IMPRESSIONS_DAILY_CHANGE_PERCENT). If it is yellow: look whether exports of "
    "that day are missing or came twice; a holiday is no fault.",
    bound="SIGMA_IMPRESSIONS_DAILY_CHANGE_PERCENT",
)
CONSERVED = Check(
    "impressions_are_conserved",
    "Impressions of a window = those attached to resources + those unmatched, for 14, 30 and 60 days. Nothing "
    "is published if it does not hold. If it is red: that is a fault of the program; please report it with "
    "the table.",
    ERROR,
    blocking=True,
)
MATCHED = Check(
    "impressions_are_matched",
    "Warns when more than SIGMA_IMPRESSIONS_UNMATCHED_WARN_PERCENT of the impressions of 60 days have no "
    "resource: the largest ones and their share. If it is yellow: renew sigma_resources.",
    bound="SIGMA_IMPRESSIONS_UNMATCHED_WARN_PERCENT",
)
CLOCKS = Check(
    "clocks_are_right",
    "Warns when the tables hold what is later than now, which a run has left whose clock was ahead. None of it is "
    "published. If it is yellow: look at the clocks, then run `sigma-impressions maintain --drop-future`.",
)

DAILY_CHECKS = (COVERED, USUAL)
METRIC_CHECKS = (CONSERVED, CLOCKS)


def files_are_covered(key: dg.AssetKey, event_dates: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no event date has fewer impressions than one of its files; `event_dates` are rows of that registry."""
    # refresh_daily_impressions refuses to write a date with fewer; the check shows the figures. A date that was built
    # before they were kept has none.
    compared = event_dates.drop_nulls("largest_claim")
    fewer = uncovered(compared)
    shown = compared.sort("event_date").tail(EXAMPLES)
    return COVERED.result(
        key,
        f"{fewer['event_date'][0]} has {fewer['impressions'][0]} impressions, but one of its files alone "
        f"has {fewer['largest_claim'][0]}. Nothing is published; please report this as a bug."
        if fewer.height
        else None,
        compared_days=compared.height,
        days_with_fewer_impressions=fewer.height,
        figures=table_of(shown.select("event_date", "export_files", "impressions", "largest_claim")),
    )


def days_are_usual(
    key: dg.AssetKey, event_dates: pl.DataFrame, export_files: pl.DataFrame, most_percent: int
) -> dg.AssetCheckResult:
    """Whether the last complete days are like the same weekday of earlier weeks; for the rows of both registries."""
    compared = compared_days(event_dates, last_complete_day(export_files, datetime.now(UTC).date() - timedelta(days=1)))
    unusual = unusual_days(compared, most_percent)
    return USUAL.result(
        key,
        f"{unusual.height} of the last {compared.height} days changed by more than {most_percent} % against the "
        "same weekday of earlier weeks. Look whether exports of these days are missing or came twice; then export "
        "and backfill them."
        if unusual.height
        else None,
        compared_days=compared.height,
        unusual_days=unusual.height,
        most_percent=most_percent,
        figures=table_of(compared),
    )


def impressions_are_conserved(key: dg.AssetKey, as_of_dates: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether matched and unmatched impressions make all, for rows of the registry `as_of_dates`."""
    # refresh_metrics refuses to write a date that does not add up; the check shows the figures.
    kinds = ("impressions", "matched_impressions", "unmatched_impressions")
    columns = ["as_of_date", *(f"{kind}_{days}d" for days in WINDOW_DAYS for kind in kinds)]
    wrong = [row["as_of_date"] for row in as_of_dates.iter_rows(named=True) if unbalanced(row)]
    return CONSERVED.result(
        key,
        f"As of {wrong[0]} impressions are lost or doubled. Nothing is published; please report this as a bug."
        if wrong
        else None,
        figures=table_of(as_of_dates.sort("as_of_date").tail(EXAMPLES).select(columns)),
    )


def clocks_are_right(key: dg.AssetKey, found: Future) -> dg.AssetCheckResult:
    """Whether the tables hold nothing that is later than now."""
    return CLOCKS.result(
        key,
        found.sentence,
        as_of_dates=len(found.as_of_dates),
        resource_snapshots=len(found.snapshots),
        member_snapshots=len(found.member_snapshots),
        export_files=found.files,
    )


def impressions_are_matched(
    key: dg.AssetKey, unmatched: pl.DataFrame, figures: pl.DataFrame, warn_percent: int
) -> dg.AssetCheckResult:
    """Whether the share of unmatched impressions is at most `warn_percent`, as of one day.

    `unmatched` are the day's rows of `unmatched_impressions`; `figures` is its row of the registry `as_of_dates`.
    """
    as_of = figures["as_of_date"][0]
    examples = unmatched.sort("total_impressions_60d", descending=True).head(EXAMPLES)
    reasons = (
        unmatched.group_by("reason")
        .agg(pl.col("total_impressions_60d").sum())
        .sort("total_impressions_60d", "reason", descending=[True, False])
    )
    counted = int(figures["impressions_60d"].sum())
    missed = int(figures["unmatched_impressions_60d"].sum())
    named = ("workbook_url_id", "element_id", "reason")
    return MATCHED.result(
        key,
        f"{missed:,} of {counted:,} impressions as of {as_of} have no resource: {largest(reasons.rows())}. Renew "
        "sigma_resources, with all workbooks and elements."
        if 100 * missed > warn_percent * counted
        else None,
        as_of=str(as_of),
        unmatched_impressions_60d=missed,
        unmatched_share=missed / counted if counted else 0.0,
        warn_percent=warn_percent,
        examples=table_of(examples.select(*named, "total_impressions_60d", "distinct_impressions_users_60d")),
    )
