"""Places that results go to, beyond the published database and the report: files and catalogs."""

from typing import Final

from sigma_impressions.lake.engine import Queries

QUERIES: Final = Queries(__name__)
