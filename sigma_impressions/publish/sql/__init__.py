"""Queries of the published database."""
