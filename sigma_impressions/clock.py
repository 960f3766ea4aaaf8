"""How far the clocks of machines and stores may be apart before one of them is called wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sigma_impressions.errors import ClockBehind

SKEW = timedelta(minutes=15)
"""What is later than now by no more than this is of now. S3 itself refuses a clock that is further off."""


def latest(now: datetime) -> datetime:
    """The latest time that is not of the future."""
    return now + SKEW


def minute(moment: datetime) -> str:
    """A time, as messages show it."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def behind(written: datetime | None, now: datetime) -> str | None:
    """What to say if the store has an export file that was written later than now, by the store's clock; else None."""
    if written is None or written <= latest(now):
        return None
    return (
        f"An export file was written at {minute(written)}, and here it is {minute(now)}: the clock of this machine is "
        "behind, or that of the store is ahead. Set it right, then run again. If both are right by now, that of the "
        "store was ahead when it wrote the file: write the file again, or delete it if it is captured."
    )


def refuse_behind(written: datetime | None, now: datetime) -> None:
    """Raise `ClockBehind` if the store has an export file that was written later than now."""
    if (reason := behind(written, now)) is not None:
        raise ClockBehind(f"{reason} Nothing was changed, as it would be dated wrong.")
