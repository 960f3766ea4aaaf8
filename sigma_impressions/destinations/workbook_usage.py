"""The usage of workbooks, read from the published database, for the catalogs that show it elsewhere."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sigma_impressions.destinations import QUERIES
from sigma_impressions.publish.database import opened


def workbook_usage(database: Path) -> pl.DataFrame:
    """One row per workbook that Sigma still has, most viewed first: totals and users with those of its elements.

    `rank` is by impressions of 30 days, then 60; 1 is the most viewed, and equal ones share a rank.
    """
    with opened(database) as connection:
        return QUERIES.frame(connection, "workbook_usage")
