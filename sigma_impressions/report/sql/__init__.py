"""Queries of the usage report over the published database."""
