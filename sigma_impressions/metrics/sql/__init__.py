"""Queries of the metrics."""
