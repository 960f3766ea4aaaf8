"""What people read: the DuckDB database that each run leaves behind."""

from typing import Final

from sigma_impressions.lake.engine import Queries

QUERIES: Final = Queries(__name__)
