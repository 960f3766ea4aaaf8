"""The usage report: one HTML file, made of nothing but the published database."""

from sigma_impressions.lake.queries import Queries

QUERIES = Queries(__name__)
