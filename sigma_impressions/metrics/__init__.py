"""Rows to metrics: what is counted and how, in DuckDB. Nothing here knows where exports come from."""

from sigma_impressions.lake.queries import Queries

QUERIES = Queries(__name__)
