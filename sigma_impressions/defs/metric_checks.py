"""The checks of the metrics: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from sigma_impressions.defs.metadata import table_of
from sigma_impressions.lake.schemas import DAILY_IMPRESSIONS, RESOURCE_IMPRESSIONS, UNMATCHED_IMPRESSIONS
from sigma_impressions.metrics.conservation import unbalanced, uncovered
from sigma_impressions.metrics.weekdays import compared_days, unusual_days
from sigma_impressions.windows import WINDOW_DAYS

_DAILY_KEY = dg.AssetKey(DAILY_IMPRESSIONS.name)
_CLAIMS_CHECK = "totals_cover_every_file"
_USUAL_CHECK = "daily_impressions_are_usual"
_CONSERVED_CHECK = "impressions_are_conserved"
_MATCHED_CHECK = "impressions_are_matched"

DAILY_SPECS = [
    dg.AssetCheckSpec(
        _CLAIMS_CHECK,
        asset=_DAILY_KEY,
        blocking=True,
        description=(
            "An event date never has fewer impressions than one of its export files has alone, however the files "
            "overlap. Nothing is published if it does not hold. If it is red: that is a fault of the program; please "
            "report it with the table."
        ),
    ),
    dg.AssetCheckSpec(
        _USUAL_CHECK,
        asset=_DAILY_KEY,
        description=(
            "Warns when one of the last 7 complete days has far more or fewer impressions than the same weekday of up "
            "to 4 earlier weeks (SIGMA_IMPRESSIONS_DAILY_CHANGE_PERCENT). If it is yellow: look whether exports of "
            "that day are missing or came twice; a holiday is no fault."
        ),
    ),
]

RESOURCE_SPECS = [
    dg.AssetCheckSpec(
        _CONSERVED_CHECK,
        asset=dg.AssetKey(RESOURCE_IMPRESSIONS.name),
        blocking=True,
        description=(
            "Impressions of a window = those attached to resources + those unmatched, for 14, 30 and 60 days. Nothing "
            "is published if it does not hold. If it is red: that is a fault of the program; please report it with "
            "the table."
        ),
    ),
]

UNMATCHED_SPECS = [
    dg.AssetCheckSpec(
        _MATCHED_CHECK,
        asset=dg.AssetKey(UNMATCHED_IMPRESSIONS.name),
        description=(
            "Warns when more than SIGMA_IMPRESSIONS_UNMATCHED_WARN_PERCENT of the impressions of 60 days have no "
            "resource: the largest ones and their share. If it is yellow: renew sigma_resources."
        ),
    ),
]


def files_are_covered(event_dates: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no event date has fewer impressions than one of its files; `event_dates` are rows of that registry."""
    # refresh_daily_impressions refuses to write a date with fewer; the check shows the figures. A date that was built
    # before they were kept has none.
    compared = event_dates.drop_nulls("largest_claim")
    fewer = uncovered(compared)
    columns = ["event_date", "export_files", "impressions", "largest_claim"]
    return dg.AssetCheckResult(
        check_name=_CLAIMS_CHECK,
        passed=fewer.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{fewer['event_date'][0]} has {fewer['impressions'][0]} impressions, but one of its files alone "
        f"has {fewer['largest_claim'][0]}. Nothing is published; please report this as a bug."
        if fewer.height
        else None,
        metadata={
            "compared_days": compared.height,
            "days_with_fewer_impressions": fewer.height,
            "figures": table_of(compared.sort("event_date").tail(10).select(columns).to_dicts(), columns),
        },
    )


def days_are_usual(event_dates: pl.DataFrame, most_percent: int) -> dg.AssetCheckResult:
    """Whether the last complete days are like the same weekday of earlier weeks."""
    compared = compared_days(event_dates, datetime.now(UTC).date())
    unusual = unusual_days(compared, most_percent)
    return dg.AssetCheckResult(
        check_name=_USUAL_CHECK,
        passed=unusual.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{unusual.height} of the last {compared.height} days changed by more than {most_percent} % against the "
            "same weekday of earlier weeks. Look whether exports of these days are missing or came twice; then export "
            "and backfill them."
        )
        if unusual.height
        else None,
        metadata={
            "compared_days": compared.height,
            "unusual_days": unusual.height,
            "most_percent": most_percent,
            "figures": table_of(compared.to_dicts(), compared.columns),
        },
    )


def impressions_are_conserved(as_of_dates: pl.DataFrame, key: dg.AssetKey) -> dg.AssetCheckResult:
    """Whether matched and unmatched impressions make all, for rows of the registry `as_of_dates`."""
    # refresh_metrics refuses to write a date that does not add up; the check shows the figures.
    columns = [
        "as_of_date",
        *(
            f"{kind}_{days}d"
            for days in WINDOW_DAYS
            for kind in ("impressions", "matched_impressions", "unmatched_impressions")
        ),
    ]
    wrong = [row["as_of_date"] for row in as_of_dates.iter_rows(named=True) if unbalanced(row)]
    return dg.AssetCheckResult(
        check_name=_CONSERVED_CHECK,
        asset_key=key,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"As of {wrong[0]} impressions are lost or doubled. Nothing is published; please report this as a "
        "bug."
        if wrong
        else None,
        metadata={"figures": table_of(as_of_dates.sort("as_of_date").tail(10).select(columns).to_dicts(), columns)},
    )


def impressions_are_matched(
    unmatched: pl.DataFrame, figures: pl.DataFrame, warn_percent: int, key: dg.AssetKey
) -> dg.AssetCheckResult:
    """Whether the share of unmatched impressions is at most `warn_percent`, as of one day.

    `unmatched` are the day's rows of `unmatched_impressions`; `figures` is its row of the registry `as_of_dates`.
    """
    as_of = figures["as_of_date"][0]
    largest = unmatched.sort("total_impressions_60d", descending=True).head(10)
    counted = int(figures["impressions_60d"].sum())
    missed = int(figures["unmatched_impressions_60d"].sum())
    too_many = 100 * missed > warn_percent * counted
    columns = [
        "workbook_url_id",
        "element_id",
        "reason",
        "total_impressions_60d",
        "distinct_impressions_users_60d",
    ]
    return dg.AssetCheckResult(
        check_name=_MATCHED_CHECK,
        asset_key=key,
        passed=not too_many,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"{missed:,} of {counted:,} impressions as of {as_of} have no resource. Renew sigma_resources, with all "
            "workbooks and elements; the reasons are below."
        )
        if too_many
        else None,
        metadata={
            "as_of": str(as_of),
            "unmatched_impressions_60d": missed,
            "unmatched_share": missed / counted if counted else 0.0,
            "warn_percent": warn_percent,
            "examples": table_of(largest.select(columns).to_dicts(), columns),
        },
    )
