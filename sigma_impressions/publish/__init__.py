"""What people read: the DuckDB database that each run leaves behind."""

from sigma_impressions.lake.queries import Queries

QUERIES = Queries(__name__)
