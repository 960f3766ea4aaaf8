"""What is popular, underused and active: rules, what was before the window, and the tables made of both."""

from sigma_impressions.lake.queries import Queries

QUERIES = Queries(__name__)
