"""The windows of days over which metrics are stated (spec, "Metrics")."""

from __future__ import annotations

from datetime import date, timedelta

WINDOW_DAYS = (14, 30, 60)
"""Lengths of the windows in event dates; the as-of date is the last one of each."""

LONGEST_WINDOW = max(WINDOW_DAYS)


def window(as_of: date, days: int = LONGEST_WINDOW) -> list[date]:
    """The event dates of the window that ends with the as-of date, oldest first."""
    return [as_of - timedelta(days=age) for age in reversed(range(days))]
