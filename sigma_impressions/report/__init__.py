"""The usage report: one HTML file, made of nothing but the published database."""

from typing import Final

from sigma_impressions.lake.engine import Queries

QUERIES: Final = Queries(__name__)
