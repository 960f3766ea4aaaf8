"""Which days were captured, and which are complete: what may be compared (docs/insights.md, "What is known")."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

LONGEST_GAP: Final = 14
"""How many days apart the days may be that tell of those between them; what lies further apart is a stray row."""

_A_DAY: Final = pl.duration(days=1)


def last_complete_day(export_files: pl.DataFrame, as_of: date) -> date | None:
    """The last complete day up to the as-of date; None if no export file was read.

    A day is complete if it ends not later than the newest export file that was read was last modified; `export_files`
    is the registry.
    """
    newest = export_files.filter(pl.col("status") == "read").get_column("last_modified").max()
    if newest is None:
        return None
    assert isinstance(newest, datetime)
    return min(as_of, newest.date() - timedelta(days=1))


def captured_days(export_files: pl.DataFrame, event_dates: pl.DataFrame, as_of: date) -> pl.Series:
    """The event dates up to the as-of date that were captured, in order; `export_files` and `event_dates` are the
    registries.

    Such a day has impressions, or it has none though the export files that were read would have held them: there are
    files of its file date and of the next, or one tells of days before and after it.
    """
    viewed = event_dates.filter(pl.col("impressions") > 0).select(day="event_date")
    read = export_files.filter(pl.col("status") == "read").select("file_id", "file_date", "event_dates")
    days = pl.concat([viewed, _between_exports(read), _inside_exports(read)]).unique().sort("day")
    return days.filter(pl.col("day") <= as_of)["day"].alias("event_date")


def _between_exports(files: pl.DataFrame) -> pl.DataFrame:
    """The days that have files of their own and of the next day."""
    days = files.select(day="file_date").unique()
    return days.join(days.select(pl.col("day") - _A_DAY), on="day", how="semi")


def _inside_exports(files: pl.DataFrame) -> pl.DataFrame:
    """The days between those that one file tells of: its event dates, and its file date."""
    told = [files.select("file_id", days=days) for days in ("event_dates", pl.concat_list("event_dates", "file_date"))]
    return pl.concat([_between(days.explode("days").drop_nulls().unique()) for days in told])


def _between(told: pl.DataFrame) -> pl.DataFrame:
    """The days between the `days` of each file, where these are not too far apart."""
    gaps = told.sort("file_id", "days").with_columns(next=pl.col("days").shift(-1).over("file_id"))
    apart = (pl.col("next") - pl.col("days")).dt.total_days()
    narrow = gaps.filter(apart.is_between(2, LONGEST_GAP)).select("days", "next").unique()
    return narrow.select(day=pl.date_ranges("days", "next", closed="none")).explode("day")
