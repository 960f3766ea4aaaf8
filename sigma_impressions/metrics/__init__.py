"""Rows to metrics: what is counted and how, in DuckDB. Nothing here knows where exports come from."""
