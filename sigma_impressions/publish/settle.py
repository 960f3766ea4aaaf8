"""Publish a result that includes all that was captured, also by other runs in the meantime."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime

from sigma_impressions.errors import InputsChanged, NothingComputed
from sigma_impressions.insights.thresholds import DEFAULT_RULES, InsightRules
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics, stale_as_of_dates
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import built_event_dates, expected_fingerprints
from sigma_impressions.publish.database import (
    OWNER_READS,
    Companion,
    Published,
    newest_as_of,
    publish_database,
    what_is_published,
)

_ROUNDS = 20
"""More rounds than that mean that another process captures files without a pause; the result is then its task."""


def publish_settled(
    tables: Tables,
    overlapping_exports: str,
    as_of_dates: Collection[date],
    as_of: date | None,
    *,
    report: Callable[[str], None],
    limits: Limits = DEFAULT_LIMITS,
    rules: InsightRules = DEFAULT_RULES,
    companion: Companion | None = None,
    mode: int = OWNER_READS,
    restate: bool = True,
    with_members: bool = True,
) -> Published:
    """Publish, and look at the inputs once more: if they grew meanwhile, compute and publish again.

    So whoever finishes last has seen everything, and runs at the same time end in one result. Without `restate` only
    these as-of dates and the published one are brought up to date; the others are left to a run that is to come.
    """
    published: Published | None = None
    for _ in range(_ROUNDS):
        wanted = as_of_dates if restate else {*as_of_dates, as_of or newest_as_of(tables, datetime.now(UTC).date())}
        try:
            published = publish_database(tables, as_of, limits, rules, companion, mode=mode, with_members=with_members)
        except InputsChanged as change:
            report(f"{change} Computing again.")
        else:
            if not _is_stale(tables, overlapping_exports, wanted, restate):
                return published
            report("Another run has captured files in the meantime. Computing again.")
        refresh_daily_impressions(tables, overlapping_exports, limits)
        refresh_metrics(tables, wanted, limits, restate=restate)
    # Who has published in between has seen what this run has captured: that was many rounds ago.
    published = published or what_is_published(tables)
    if published is None or as_of not in (None, published.as_of):
        raise InputsChanged("Others have captured files, or published, in between again and again. Try again later.")
    return published


def is_complete(tables: Tables, overlapping_exports: str, file_dates: Collection[date]) -> bool:
    """Whether all that is captured of some file dates is in the metrics.

    So are then the as-of dates of these days, and all others that have tables.
    """
    expected = expected_fingerprints(tables, overlapping_exports, file_dates)
    try:
        return expected.items() <= built_event_dates(tables).items() and not stale_as_of_dates(tables, file_dates)
    except NothingComputed:
        # No snapshot of the resources yet, and so no metrics.
        return False


def _is_stale(tables: Tables, overlapping_exports: str, as_of_dates: Collection[date], restate: bool) -> bool:
    expected = expected_fingerprints(tables, overlapping_exports)
    return expected != built_event_dates(tables) or bool(stale_as_of_dates(tables, as_of_dates, restate))
