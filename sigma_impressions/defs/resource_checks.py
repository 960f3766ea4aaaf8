"""The checks of the resources: how old they are, whether many vanished at once, and whether all could be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import dagster as dg
import polars as pl

from sigma_impressions.clock import latest, minute
from sigma_impressions.defs.checks import Check
from sigma_impressions.defs.metadata import EXAMPLES, table_of
from sigma_impressions.texts import percent
from sigma_impressions.upstream.discovery import Unread
from sigma_impressions.users import without_address

FRESH = Check(
    "resources_are_fresh",
    "Warns when the resources are older than SIGMA_IMPRESSIONS_RESOURCES_MAX_AGE_DAYS: the file's time, or "
    "the last reading of Sigma's API. If it is yellow: look whether the upstream integration still runs.",
)
COMPLETE = Check(
    "resources_are_complete",
    "Warns when more than SIGMA_IMPRESSIONS_RESOURCES_SHRINKAGE_PERCENT of the workbooks or elements "
    "vanished within a week. If it is yellow: does the upstream integration still see all of them?",
    bound="SIGMA_IMPRESSIONS_RESOURCES_SHRINKAGE_PERCENT",
)
READ = Check(
    "elements_are_complete",
    "Warns when the elements of a workbook could not be read; its last known ones are kept.",
)

RESOURCE_CHECKS = (READ, FRESH, COMPLETE)
"""The checks that every snapshot of the resources gets."""

_COMPARED = timedelta(days=7)


def elements_are_read(key: dg.AssetKey, unread: Sequence[Unread]) -> dg.AssetCheckResult:
    """Whether the elements of all workbooks could be read."""
    examples = [{"workbook_url_id": one.workbook_url_id, "reason": one.reason} for one in unread[:EXAMPLES]]
    return READ.result(
        key,
        f"The elements of {len(unread)} workbooks could not be read, for example: {without_address(unread[0].reason)} "
        "Their last known elements are kept."
        if unread
        else None,
        unread=len(unread),
        examples=table_of(examples, ["workbook_url_id", "reason"]),
    )


def resource_age(key: dg.AssetKey, written: datetime, max_age_days: int, now: datetime) -> dg.AssetCheckResult:
    """Whether the resources were written within the largest age."""
    age, said = now - written, None
    if written > latest(now):
        said = (
            f"The resources are of {minute(written)}, and it is {minute(now)} here, so that "
            "nobody would notice that they grow old. Set the clock right that is wrong."
        )
    elif age > timedelta(days=max_age_days):
        said = (
            f"The resources are of {minute(written)}, {age.days} days old. Impressions of newer workbooks "
            "are unmatched. Look whether the upstream Sigma integration still runs; if it runs less often, set "
            "SIGMA_IMPRESSIONS_RESOURCES_MAX_AGE_DAYS."
        )
    return FRESH.result(
        key,
        said,
        written_at=dg.MetadataValue.timestamp(written),
        age_days=age / timedelta(days=1),
        max_age_days=max_age_days,
    )


def resource_shrinkage(
    key: dg.AssetKey, snapshots: pl.DataFrame, found: tuple[int, int], most_percent: int, now: datetime
) -> dg.AssetCheckResult:
    """Whether the workbooks and elements found now are not far fewer than in any snapshot in use for a week.

    `snapshots` is the registry of the snapshots; `found` are the workbooks and the elements of now.
    """
    remedy = (
        "What is gone keeps its metrics for 60 days. Look whether the upstream integration still sees all "
        "workbooks: its rights, its filters, its errors."
    )
    counts = dict(zip(("workbooks", "elements"), found, strict=True))
    return shrinkage(COMPLETE, key, snapshots, counts, most_percent=most_percent, now=now, remedy=remedy)


def shrinkage(
    check: Check,
    key: dg.AssetKey,
    snapshots: pl.DataFrame,
    found: Mapping[str, int],
    *,
    most_percent: int,
    now: datetime,
    remedy: str,
) -> dg.AssetCheckResult:
    """Whether what was found now is not far less than in any snapshot in use for a week, by the registry's columns."""
    before = snapshots.filter(pl.col("taken_at") < now - _COMPARED).sort("taken_at").tail(1)
    compared = pl.concat([before, snapshots.filter(pl.col("taken_at").is_between(now - _COMPARED, latest(now)))])
    figures = []
    for kind, count in found.items():
        most = max([count, *compared[kind].to_list()])
        gone = 100 * (most - count) / most if most else 0.0
        figures.append({"kind": kind, "now": count, "most_within_a_week": most, "vanished_percent": gone})
    shrunk = [
        f"{percent(figure['vanished_percent'], 100)} of the {figure['kind']} vanished within a week "
        f"({figure['most_within_a_week']} to {figure['now']})."
        for figure in figures
        if figure["vanished_percent"] > most_percent
    ]
    return check.result(
        key,
        " ".join([*shrunk, remedy]) if shrunk else None,
        figures=table_of(figures, list(figures[0])),
        most_percent=most_percent,
    )
