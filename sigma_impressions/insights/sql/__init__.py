"""Queries of the insights."""
