"""Write the sources of `examples/dbt` in the words of the docs: `python -m sigma_impressions_tests.dbt.sources`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sigma_impressions_tests.documented import DocumentedColumn, DocumentedTable, documented_tables

PROJECT = Path(__file__).parents[2] / "examples" / "dbt"
FILE = PROJECT / "models" / "sources.yml"

_RESOURCE = ("as_of_date", "resource_type", "workbook_url_id", "element_id?")
KEYS = {
    "resource_impressions": _RESOURCE,
    "resource_users": (*_RESOURCE, "user_email"),
    "user_activity": ("as_of_date", "user_email"),
    "unmatched_impressions": ("as_of_date", "workbook_url_id", "element_id?"),
    "daily_impressions": ("event_date", "workbook_url_id", "element_id?"),
    "popular_resources": _RESOURCE,
    "underused_resources": _RESOURCE,
    "active_users": ("as_of_date", "user_email"),
    "usage_by_day": ("as_of_date", "event_date"),
    "usage_summary": ("as_of_date", "metric"),
    "licence_usage": ("as_of_date", "account_type?", "kind?"),
    "team_usage": ("as_of_date", "people", "team?"),
    "folder_usage": ("as_of_date", "folder?"),
    "owner_usage": ("as_of_date", "owner_email?"),
    "page_usage": ("as_of_date", "workbook_url_id", "page_id"),
    "sigma_resources": _RESOURCE[1:],
    "sigma_members": ("member_id",),
    "member_teams": ("member_id", "team"),
    "loaded_days": ("table_name", "day?"),
}
"""The tables of the dataset, and the columns that no two rows of each agree in; those with `?` may be null."""

_PAGES = ("tables-and-metrics.md", "insights.md")
_LISTS = ("[]", "list of")
_AS_THERE = {"from `sigma_resources`", "the resource", "the resource, as in `resource_impressions`"}
_ELSEWHERE = {"see below", "see above"}

_AS_OF_DATE = DocumentedColumn("DATE", "the as-of date, D")
_IN_THE_WAREHOUSE = {
    "daily_impressions": "Per event date, workbook and element, of all event dates; for charts over time.",
    "sigma_resources": "The newest snapshot of the resources, as the upstream integration gives it.",
    "sigma_members": "The members of the newest snapshot; empty where none are read.",
}
"""What is otherwise than in the published database: that has one as-of date."""

_OF_THE_WAREHOUSE = {
    "member_teams": DocumentedTable(
        "The teams of the members, one row for each team that a member is in.",
        {
            "member_id": DocumentedColumn("VARCHAR", "the member, as in `sigma_members`"),
            "user_email": DocumentedColumn("VARCHAR", "the member, as in `sigma_members`"),
            "team": DocumentedColumn("VARCHAR", "name of the team"),
        },
    ),
    "loaded_days": DocumentedTable(
        "What is loaded: one row per table and day. A day is loaded again when its fingerprint is another one.",
        {
            "table_name": DocumentedColumn("VARCHAR", "the table"),
            "day": DocumentedColumn(
                "DATE", "the as-of date or event date; null for tables that hold the current state alone"
            ),
            "fingerprint": DocumentedColumn("VARCHAR", "of what the rows of the day were made from"),
            "row_count": DocumentedColumn("BIGINT", "how many rows the table has of the day"),
            "storage_id": DocumentedColumn("VARCHAR", "names the storage that they come from"),
            "loaded_at": DocumentedColumn("TIMESTAMPTZ", "when they were loaded"),
        },
    ),
}

_INTRODUCTION = "# Written by `make docs` from the tables of docs/; a test compares the two.\n"


def text() -> str:
    """The whole file."""
    documented = _documented()
    source = {
        "name": "sigma_impressions",
        "description": "The tables of Sigma Impressions, as `sigma-impressions export warehouse` loads them. "
        "D is the as-of date of a row; C, its `last_complete_day`, the day up to which is compared.",
        "schema": "{{ env_var('SIGMA_IMPRESSIONS_WAREHOUSE_DATASET', 'sigma_impressions') }}",
        "tables": [_table(name, documented[name]) for name in KEYS],
    }
    content = yaml.safe_dump({"sources": [source]}, sort_keys=False, allow_unicode=True, width=120)
    return f"{_INTRODUCTION}{content}"


def columns() -> dict[str, list[str]]:
    """The columns of each table in the warehouse."""
    return {name: list(table.columns) for name, table in _documented().items()}


def _documented() -> dict[str, DocumentedTable]:
    """What the docs say of the tables, as far as these are in the warehouse."""
    said = {name: table for page in _PAGES for name, table in documented_tables(page).items()} | _OF_THE_WAREHOUSE
    return {
        name: DocumentedTable(
            _IN_THE_WAREHOUSE.get(name, said[name].purpose),
            {
                **({"as_of_date": _AS_OF_DATE} if "as_of_date" in key else {}),
                **{
                    column: said["sigma_resources"].columns[column] if found.meaning in _AS_THERE else found
                    for column, found in said[name].columns.items()
                    if column != "as_of_date" and not any(mark in found.type for mark in _LISTS)
                },
            },
            said[name].values,
        )
        for name, key in KEYS.items()
    }


def _table(name: str, table: DocumentedTable) -> dict[str, Any]:
    key = {column.removesuffix("?"): not column.endswith("?") for column in KEYS[name]}
    return {
        "name": name,
        "description": table.purpose,
        **(_FRESHNESS if name == "loaded_days" else {}),
        "data_tests": [{"unique_together": {"arguments": {"columns": list(key)}}}],
        "columns": [_column(column, table, key.get(column, False)) for column in table.columns],
    }


_FRESHNESS = {
    "config": {
        "loaded_at_field": "loaded_at",
        "freshness": {
            "warn_after": {"count": 36, "period": "hour"},
            "error_after": {"count": 4, "period": "day"},
        },
    }
}
"""Every run loads the as-of date of its day; after a long weekend without any it is time to look."""


def _column(name: str, table: DocumentedTable, never_null: bool) -> dict[str, Any]:
    meaning, values = table.columns[name].meaning, table.values.get(name, {})
    if meaning in _ELSEWHERE:
        meaning = "; ".join(f"`{value}`: {said}" for value, said in values.items())
    tests: list[Any] = []
    accepted = list(values) or _alternatives(meaning)
    if never_null or accepted:
        tests.append("not_null")
    if accepted:
        tests.append({"accepted_values": {"arguments": {"values": accepted}}})
    return {"name": name, "description": meaning, **({"data_tests": tests} if tests else {})}


def _alternatives(meaning: str) -> list[str]:
    """The values that a meaning enumerates, if it says nothing else."""
    return re.findall(r"`(\w+)`", meaning) if re.fullmatch(r"(`\w+`(, | or )?)+", meaning) else []


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
