"""Which columns of the tables before it each column of a table comes from, as Dagster shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dagster as dg

from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    RESOURCE_IMPRESSIONS,
    SIGMA_RESOURCES,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
    Table,
)

Columns = Mapping[str, tuple[str, ...]]
"""Columns by the name of their table."""

_OF_A_VIEW = ("workbook_url_id", "element_id")

# By the beginning of a column's name, the most special one first.
_METRICS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("as_of_date", ("event_date",)),
    ("active_days_", ("event_date",)),
    ("total_impressions_", ("event_date", "impressions")),
    ("distinct_impressions_users_", ("event_date", "user_email")),
    ("distinct_workbooks_", ("event_date", "workbook_url_id")),
    ("distinct_resources_", ("event_date", *_OF_A_VIEW)),
    ("first_impression_at", ("first_impression_at",)),
    ("last_impression_at", ("last_impression_at",)),
    ("anonymous_impressions_", ("event_date", "user_email", "impressions")),
)

_DAILY: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("event_date", *_OF_A_VIEW, "user_email")},
    "impressions": ("count", "event_id", "file_id"),
    "first_impression_at": ("request_time",),
    "last_impression_at": ("request_time",),
}


def column_lineage(table: Table, keys: Mapping[str, dg.AssetKey]) -> dict[str, dg.TableColumnLineage]:
    """Metadata of a materialization; `keys` are the assets of the tables that it is made from, by table name.

    The columns that are read from the export files themselves, and those of the registries, come from no table.
    """
    return {
        "dagster/column_lineage": dg.TableColumnLineage(
            {
                name: [
                    dg.TableColumnDep(keys[before], column) for before, columns in sources.items() for column in columns
                ]
                for name, sources in _sources(table)
            }
        )
    }


def _sources(table: Table) -> Iterator[tuple[str, Columns]]:
    for name in table.schema:
        if table is NORMALIZED_IMPRESSIONS:
            found: Columns = {RAW_EXPORT_FILES.name: (name,)} if name in ("file_date", "file_id") else {}
        elif table is DAILY_IMPRESSIONS:
            found = {NORMALIZED_IMPRESSIONS.name: _DAILY[name]} if name in _DAILY else {}
        else:
            found = _of_metrics(table, name)
        if found:
            yield name, found


def _of_metrics(table: Table, name: str) -> Columns:
    for beginning, columns in _METRICS:
        if name.startswith(beginning):
            # What is attached to a resource, or to none, is decided by the resources.
            resources = {} if table is USER_ACTIVITY or name == "as_of_date" else {SIGMA_RESOURCES.name: _OF_A_VIEW}
            return {DAILY_IMPRESSIONS.name: columns, **resources}
    if name == "reason":
        return {SIGMA_RESOURCES.name: _OF_A_VIEW}
    if table is RESOURCE_IMPRESSIONS and name in SIGMA_RESOURCES.schema:
        return {SIGMA_RESOURCES.name: (name,)}
    if table in (USER_ACTIVITY, UNMATCHED_IMPRESSIONS) and name in DAILY_IMPRESSIONS.schema:
        return {DAILY_IMPRESSIONS.name: (name,)} if name != "fingerprint" else {}
    return {}
