"""The windows of days over which metrics are stated (docs/tables-and-metrics.md, "Windows")."""

from __future__ import annotations

from datetime import date, timedelta

WINDOW_DAYS = (14, 30, 60)
"""Lengths of the windows in event dates; the as-of date is the last one of each."""

LONGEST_WINDOW = max(WINDOW_DAYS)

MAX_DAYS_BACK = 6
"""Most file dates that one run scans, counting today (UTC). A hard cap."""


def window(as_of: date, days: int = LONGEST_WINDOW) -> list[date]:
    """The event dates of the window that ends with the as-of date, oldest first."""
    return [as_of - timedelta(days=age) for age in reversed(range(days))]


def scanned_days(today: date, days_back: int, start_date: date) -> list[date]:
    """The file dates that a scan covers, oldest first: the last ones up to today, as far as they have a partition."""
    return [day for day in window(today, days_back) if day >= start_date]


def span(first: date, last: date) -> str:
    """Consecutive days, as messages name them."""
    return f"{first}" if first == last else f"{first} to {last}"


def nothing_to_scan(start_date: date) -> str:
    """What to tell somebody whose first day has not come yet."""
    return f"SIGMA_IMPRESSIONS_START_DATE {start_date} lies in the future; there is no day to scan yet."
