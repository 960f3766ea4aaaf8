"""Places that results go to, beyond the published database and the report: files and catalogs."""

from sigma_impressions.lake.queries import Queries

QUERIES = Queries(__name__)
