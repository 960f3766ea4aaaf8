"""Which days are complete: the export files that were read may hold all of their views (docs/insights.md)."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl


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
