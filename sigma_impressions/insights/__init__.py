"""What is popular, underused and active: rules, what was before the window, and the tables made of both."""

from typing import Final

from sigma_impressions.lake.engine import Queries

QUERIES: Final = Queries(__name__)
