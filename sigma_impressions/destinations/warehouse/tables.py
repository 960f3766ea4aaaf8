"""What goes to a warehouse: the published tables without their lists, and the day that a row is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sigma_impressions.insights.insight_tables import INSIGHT_TABLES

AS_OF_DATE: Final = "as_of_date"
EVENT_DATE: Final = "event_date"

WAREHOUSES: Final = (
    *("postgres", "duckdb", "snowflake", "bigquery", "databricks", "redshift"),
    *("motherduck", "clickhouse", "mssql", "synapse", "fabric"),
)
"""dlt's destinations that can replace the rows of a day."""

REGISTRY: Final = "loaded_days"
"""The table of the warehouse that says what it holds: a row per table and day, with its fingerprint and rows."""


@dataclass(frozen=True)
class WarehouseTable:
    """A table of the warehouse. Its rows are replaced by `day`, or all at once if it only holds the present state."""

    name: str
    day: str | None


def _named(*names: str, day: str | None) -> tuple[WarehouseTable, ...]:
    return tuple(WarehouseTable(name, day) for name in names)


NUMBERS: Final = _named("resource_impressions", "unmatched_impressions", day=AS_OF_DATE)
"""What stands in the tables of the storage as it is published."""

PEOPLE: Final = _named("user_activity", day=AS_OF_DATE)
"""What stands there, with what is known of the users as members beside it."""

BUILT: Final = _named("resource_users", *INSIGHT_TABLES, day=AS_OF_DATE)
"""What is made when an as-of date is published."""

DAILY: Final = _named("daily_impressions", day=EVENT_DATE)

RESOURCES: Final = _named("sigma_resources", day=None)
MEMBERS: Final = _named("sigma_members", "member_teams", day=None)

TABLES: Final[Mapping[str, WarehouseTable]] = MappingProxyType(
    {table.name: table for table in (*NUMBERS, *PEOPLE, *BUILT, *DAILY, *RESOURCES, *MEMBERS)}
)
"""All tables that go to a warehouse, by their names."""
