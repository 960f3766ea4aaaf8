"""Rows to metrics: what is counted and how, in DuckDB. Nothing here knows where exports come from."""

from typing import Final

from sigma_impressions.lake.engine import Queries

QUERIES: Final = Queries(__name__)
