"""Which days have far more or far fewer impressions than the same weekday of the weeks before."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

COMPARED_DAYS = 7
"""Days that are compared, the newest complete one with impressions and those before it."""

EARLIER_WEEKS = 4
LEAST_WEEKS = 2
"""Earlier weeks that a day is compared with: at most, and at least."""

LEAST_IMPRESSIONS = 100
"""A day is only compared if it, or what was expected of it, has as many: fewer change by chance."""


def compared_days(event_dates: pl.DataFrame, last_complete_day: date | None) -> pl.DataFrame:
    """The newest complete days with what was expected of them: event_date, impressions, expected, change_percent.

    `event_dates` has the columns event_date and impressions. Expected is the median of the same weekday of the
    earlier weeks; a day without impressions between the first and the newest one counts as 0. `change_percent` is null
    where nothing was expected.
    """
    known = event_dates.filter(pl.col("event_date") <= pl.lit(last_complete_day, pl.Date)).select(
        "event_date", "impressions"
    )
    if known.is_empty():
        return known.with_columns(expected=pl.lit(None, pl.Float64), change_percent=pl.lit(None, pl.Float64))
    first, newest = known.select(first=pl.col("event_date").min(), newest=pl.col("event_date").max()).row(0)
    calendar = pl.DataFrame({"event_date": pl.date_range(first, newest, eager=True)})
    days = calendar.join(known, on="event_date", how="left").with_columns(pl.col("impressions").fill_null(0))
    weeks = pl.DataFrame({"week": range(1, EARLIER_WEEKS + 1)})
    expected = (
        days.filter(pl.col("event_date") > newest - timedelta(days=COMPARED_DAYS))
        .join(weeks, how="cross")
        .with_columns(earlier=pl.col("event_date") - pl.duration(days=7 * pl.col("week")))
        .join(days.select(earlier="event_date", before="impressions"), on="earlier")
        .group_by("event_date", "impressions")
        .agg(expected=pl.col("before").median(), weeks=pl.len())
    )
    return (
        expected.filter(
            (pl.col("weeks") >= LEAST_WEEKS) & (pl.max_horizontal("impressions", "expected") >= LEAST_IMPRESSIONS)
        )
        .with_columns(
            change_percent=pl.when(pl.col("expected") > 0).then(
                100 * (pl.col("impressions") - pl.col("expected")) / pl.col("expected")
            )
        )
        .select("event_date", "impressions", "expected", "change_percent")
        .sort("event_date")
    )


def unusual_days(compared: pl.DataFrame, most_percent: int) -> pl.DataFrame:
    """Those of the compared days that changed by more than so many percent, or came up from nothing."""
    return compared.filter(pl.col("change_percent").is_null() | (pl.col("change_percent").abs() > most_percent))
