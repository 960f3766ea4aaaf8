"""What must hold of the numbers before they are written: no impression is lost or doubled on the way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from sigma_impressions.errors import ConservationError
from sigma_impressions.windows import WINDOW_DAYS

ROW_COUNTS = ("rows", "accepted", "rejected", "skipped")
"""What is counted of every export file; the first is the sum of the others."""


def lost_rows(files: pl.DataFrame) -> pl.DataFrame:
    """The rows of the registry `export_files` whose rows are not all accepted, rejected or skipped."""
    whole, *parts = ROW_COUNTS
    return files.filter(pl.col(whole) != pl.sum_horizontal(parts))


def uncovered(event_dates: pl.DataFrame) -> pl.DataFrame:
    """The rows of the registry `event_dates` with fewer impressions than one of their export files claims alone."""
    return event_dates.filter(pl.col("impressions") < pl.col("largest_claim"))


def unbalanced(figures: Mapping[str, int]) -> list[int]:
    """The windows, in days, whose impressions are not all attached to a resource or unmatched.

    `figures` is a row of the registry `as_of_dates`.
    """
    return [
        days
        for days in WINDOW_DAYS
        if figures[f"impressions_{days}d"]
        != figures[f"matched_impressions_{days}d"] + figures[f"unmatched_impressions_{days}d"]
    ]


def check_claims(event_dates: pl.DataFrame) -> None:
    """Refuse event dates with fewer impressions than a single one of their export files claims.

    `event_dates` are rows of the registry. However exports overlap, what one of them says alone is counted
    (docs/tables-and-metrics.md, "Counted once").
    """
    fewer = uncovered(event_dates)
    for day, impressions, claim in fewer.select("event_date", "impressions", "largest_claim").iter_rows():
        raise ConservationError(
            f"Event date {day}: {impressions} impressions were counted, but one export file alone has {claim}. "
            "Nothing of the day was written; please report this as a bug."
        )


def check_windows(as_of: date, figures: Mapping[str, int]) -> None:
    """Refuse an as-of date with a window whose impressions are not all attached to a resource or unmatched.

    `figures` is a row of the registry `as_of_dates`.
    """
    for days in unbalanced(figures):
        raise ConservationError(
            f"As of {as_of}, {days} days: {figures[f'impressions_{days}d']} impressions were counted, but "
            f"{figures[f'matched_impressions_{days}d']} are attached to resources and "
            f"{figures[f'unmatched_impressions_{days}d']} are unmatched. Nothing was published; please report this as "
            "a bug."
        )
