"""The rows of the report's tables as compact text: columns instead of records, each string once, compressed.

The browser unpacks it (`DecompressionStream`), keeps it in columns, and shows the rows that are looked at. What is
packed holds letters, digits, `+`, `/` and `=` only, so no name in it can end the element that it stands in.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from sigma_impressions.report.read import Usage
from sigma_impressions.texts import HTTP_URL

_URL = "url"


def pack(usage: Usage) -> str:
    """The tables of the report, for the script of the page."""
    tables = {
        "workbooks": _workbooks(usage),
        "elements": _elements(usage),
        "underused": _underused(usage.underused),
        "users": _users(usage.users),
    }
    return base64.b64encode(gzip.compress(_json(tables).encode(), compresslevel=6, mtime=0)).decode("ascii")


def _workbooks(usage: Usage) -> pl.DataFrame:
    elements = usage.elements.group_by("workbook_url_id").agg(elements=pl.len())
    return usage.workbooks.join(elements, "workbook_url_id", "left", maintain_order="left").select(
        name=pl.coalesce("name", "workbook_url_id"),
        path="path",
        url=link(),
        owner="owner_email",
        **_usage_columns(),
        percentile=pl.col("percentile_by_impressions").round(1),
        days="days",
        elements=pl.col("elements").fill_null(0),
    )


def _elements(usage: Usage) -> pl.DataFrame:
    """The elements in the order of their workbooks, so that a workbook needs only their number."""
    order = usage.workbooks.select("workbook_url_id").with_row_index("workbook")
    return (
        usage.elements.join(order, "workbook_url_id", maintain_order="left")
        .sort("workbook", maintain_order=True)
        .select(name=pl.coalesce("name", "element_id"), url=link(), **_usage_columns())
    )


def _usage_columns() -> dict[str, pl.Expr]:
    return {
        "rank": pl.col("rank_by_impressions"),
        "impressions": pl.col("total_impressions_60d"),
        "users": pl.col("distinct_impressions_users_60d"),
        "recent": pl.col("complete_impressions_14d"),
        "previous": pl.col("previous_complete_impressions_14d"),
        "trend": pl.col("trend_14d").round(4),
        "movement": pl.col("movement"),
        "last": _day("last_impression_at"),
    }


def _underused(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        kind="resource_type",
        name=pl.coalesce("name", "element_id", "workbook_url_id"),
        workbook=pl.when(pl.col("element_id").is_not_null()).then(pl.coalesce("workbook_name", "workbook_url_id")),
        path="path",
        url=link(),
        owner="owner_email",
        changed=_day("updated_at"),
        age="age_days",
        impressions="total_impressions_60d",
        last=_day("last_impression_at"),
        code="reason_code",
        reason="reason",
        archived=pl.col("is_archived").fill_null(False).cast(pl.Int8),
    )


def _users(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        user="user_email",
        tier="tier",
        new=pl.col("is_new").cast(pl.Int8),
        impressions="impressions_60d",
        recent="impressions_14d",
        days="active_days_60d",
        workbooks="distinct_workbooks_60d",
        rank="rank",
        share=pl.col("share_of_impressions").round(6),
        cumulative=pl.col("cumulative_share").round(6),
        first=_day("first_impression_at"),
        last=_day("last_impression_at"),
    )


def link() -> pl.Expr:
    """The column `url` where it may be a link, else null."""
    return pl.when(pl.col("url").str.contains(HTTP_URL)).then(pl.col("url"))


def _day(column: str) -> pl.Expr:
    """The UTC day of a time, as days since 1970."""
    return pl.col(column).dt.date().to_physical()


def _json(tables: Mapping[str, pl.DataFrame]) -> str:
    """Tables as JSON: a list for each column, in which a text is its place in the list of all texts (or links)."""
    packed: dict[str, Any] = {}
    pools = {
        "links": _pool(tables, lambda name: name == _URL),
        "texts": _pool(tables, lambda name: name != _URL),
    }
    for name, rows in tables.items():
        packed[name] = {
            column: (
                series.cast(pl.Enum(pools["links" if column == _URL else "texts"])).to_physical()
                if series.dtype == pl.String
                else series
            ).to_list()
            for column, series in zip(rows.columns, rows, strict=True)
        }
    packed |= {name: pool.to_list() for name, pool in pools.items()}
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _pool(tables: Mapping[str, pl.DataFrame], holds: Callable[[str], bool]) -> pl.Series:
    """The distinct texts of the columns chosen, in their order there, in which neighbours resemble each other."""
    columns = [
        rows[name]
        for rows in tables.values()
        for name, dtype in rows.schema.items()
        if dtype == pl.String and holds(name)
    ]
    return pl.concat(column.rename("") for column in columns).drop_nulls().unique(maintain_order=True)
