"""Queries of the destinations."""
