"""How far the clocks of the machines that share tables may be apart before one of them is called wrong."""

from __future__ import annotations

from datetime import datetime, timedelta

SKEW = timedelta(minutes=10)
"""What is later than now by no more than this is of now: object stores themselves refuse a clock that is off by 15
minutes."""


def latest(now: datetime) -> datetime:
    """The latest time that is not of the future."""
    return now + SKEW
