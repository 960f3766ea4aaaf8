"""What the script of the page reads: tables as columns, and the facts, as compact text.

Each text stands once, in `texts` (an address in `links`), and in a column its place there; days are days since 1970.
All is compressed, and the browser unpacks it (`DecompressionStream`). What is packed holds letters, digits, `+`, `/`
and `=` only, so no name in it can end the element that it stands in.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from sigma_impressions.insights.thresholds import MOVED_IMPRESSIONS, MOVED_SHARE
from sigma_impressions.report.content import Content, Cut
from sigma_impressions.report.facts import PackedFacts, pack_facts
from sigma_impressions.report.read import Usage
from sigma_impressions.texts import HTTP_URL
from sigma_impressions.users import canonical
from sigma_impressions.windows import LONGEST_WINDOW

_URL: Final = "url"
_TEAMS: Final = "teams"

_COMPARED_DAYS: Final = 28
"""Days up to the last complete one that a comparison of 14 days with the 14 before needs."""


@dataclass(frozen=True)
class Packed:
    """The tables, and the facts, each as a text for an element of the page."""

    tables: str
    facts: str


def pack(usage: Usage) -> Packed:
    """The tables and facts of the page."""
    content = usage.content
    facts = pack_facts(content.facts.rows)
    teams = content.people[_TEAMS].drop_nulls().explode().drop_nulls().unique().sort()
    tables = {
        "workbooks": _workbooks(content, facts),
        "elements": _elements(content),
        "pages": _pages(content),
        "people": _people(content, teams),
        "underused": _underused(content),
    }
    return Packed(_packed(_json(_meta(usage, facts), teams, tables).encode()), _packed(facts.bytes))


def link() -> pl.Expr:
    """The column `url` where it may be a link, else null."""
    return pl.when(pl.col(_URL).str.contains(HTTP_URL)).then(pl.col(_URL))


def _meta(usage: Usage, facts: PackedFacts) -> dict[str, Any]:
    known, days = usage.content.known, usage.days
    first = usage.publication.as_of - timedelta(days=LONGEST_WINDOW - 1)
    complete = days.filter("is_complete")["event_date"].max()
    assert complete is None or isinstance(complete, date)
    since = complete and complete - timedelta(days=_COMPARED_DAYS - 1)
    compared = days.filter(pl.col("event_date").is_between(since, complete)) if complete else days.clear()
    return {
        "asOf": _day_number(usage.publication.as_of),
        "firstDay": _day_number(first),
        "lastComplete": _day_number(complete),
        "capturedSince": _day_number(known["captured_since"]),
        "days": days.select(pl.col("is_captured", "is_complete").cast(pl.Int8))
        .rename({"is_captured": "captured", "is_complete": "complete"})
        .to_dict(as_series=False),
        "previousKnown": int(compared.filter("is_captured").height == _COMPARED_DAYS),
        "hasMembers": int(known["has_members"]),
        "hasPages": int(known["has_pages"]),
        "cut": _cut(usage.content.facts.cut),
        "pairs": facts.pairs,
        "facts": facts.facts,
        "movedShare": MOVED_SHARE,
        "movedImpressions": MOVED_IMPRESSIONS,
    }


def _cut(cut: Cut | None) -> dict[str, int] | None:
    if cut is None:
        return None
    return {
        "pairs": cut.pairs,
        "shown": cut.shown,
        "impressions": cut.impressions,
        "impressionsShown": cut.impressions_shown,
    }


def _workbooks(content: Content, facts: PackedFacts) -> pl.DataFrame:
    rows = content.workbooks.with_row_index("workbook_no").join(
        facts.pairs_of_workbooks, "workbook_no", "left", maintain_order="left"
    )
    for name, table in (("elements", content.elements), ("pages", content.pages)):
        counted = table.group_by("workbook_url_id").agg(pl.len().alias(name))
        rows = rows.join(counted, "workbook_url_id", "left", maintain_order="left")
    return rows.select(
        id="workbook_url_id",
        name="name",
        path="path",
        url=link(),
        owner=canonical(rows["owner_email"]),
        kind="kind",
        state="state",
        age="age_days",
        last=_day("last_impression_at"),
        underused="reason",
        code="reason_code",
        pairs=pl.col("pairs").fill_null(0),
        elements=pl.col("elements").fill_null(0),
        pages=pl.col("pages").fill_null(0),
    )


def _windows() -> dict[str, pl.Expr]:
    """Impressions and users of the windows."""
    return {
        f"{letter}{days}": pl.col(f"{name}_{days}d")
        for letter, name in (("i", "impressions"), ("u", "users"))
        for days in (14, 30, 60)
    }


def _elements(content: Content) -> pl.DataFrame:
    return content.elements.select(
        name="name",
        url=link(),
        page="page_name",
        **_windows(),
        now="now",
        before="before",
        trend=pl.col("trend_14d").round(4),
        movement="movement",
        last=_day("last_impression_at"),
    )


def _pages(content: Content) -> pl.DataFrame:
    return content.pages.select("name", "elements", **_windows())


def _people(content: Content, teams: pl.Series) -> pl.DataFrame:
    return content.people.select(
        user="user_email",
        name="name",
        tier="tier",
        new=pl.col("is_new").cast(pl.Int8),
        type="account_type",
        kind="kind",
        teams=pl.col(_TEAMS).cast(pl.List(pl.Enum(teams))).list.eval(pl.element().to_physical()),
        member=pl.col("is_member").cast(pl.Int8),
        licensed=pl.col("may_use_sigma").cast(pl.Int8),
        age="age_days",
        first=_day("first_impression_at"),
        last=_day("last_impression_at"),
    )


def _underused(content: Content) -> pl.DataFrame:
    return content.underused.select(
        id="workbook_url_id",
        kind="resource_type",
        name="name",
        workbook="workbook_name",
        path="path",
        url=link(),
        owner=canonical(content.underused["owner_email"]),
        changed=_day("updated_at"),
        age="age_days",
        impressions="total_impressions_60d",
        last=_day("last_impression_at"),
        code="reason_code",
        reason="reason",
        archived=pl.col("is_archived").cast(pl.Int8),
    )


def _day(column: str) -> pl.Expr:
    """The UTC day of a time, as days since 1970."""
    return pl.col(column).dt.date().to_physical()


def _day_number(day: date | None) -> int | None:
    return None if day is None else (day - date(1970, 1, 1)).days


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, compresslevel=6, mtime=0)).decode("ascii")


def _json(meta: Mapping[str, Any], teams: pl.Series, tables: Mapping[str, pl.DataFrame]) -> str:
    """Tables as JSON: a list for each column, in which a text is its place in the list of all texts (or links)."""
    columns = [column for rows in tables.values() for column in rows if column.dtype == pl.String]
    pools = {
        "links": _pool(column for column in columns if column.name == _URL),
        "texts": _pool([*(column for column in columns if column.name != _URL), teams]),
    }

    def places(column: pl.Series) -> list[Any]:
        pool = pools["links" if column.name == _URL else "texts"]
        return (column.cast(pl.Enum(pool)).to_physical() if column.dtype == pl.String else column).to_list()

    packed = {
        "meta": {**meta, "hasTeams": int(teams.len() > 0), "teams": places(teams)},
        **{name: {column.name: places(column) for column in rows} for name, rows in tables.items()},
        **{name: pool.to_list() for name, pool in pools.items()},
    }
    return json.dumps(packed, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _pool(columns: Iterable[pl.Series]) -> pl.Series:
    """The distinct texts of columns, in their order there, in which neighbours resemble each other."""
    return pl.concat(column.rename("") for column in columns).drop_nulls().unique(maintain_order=True)
