"""Make the page: the template filled with what was read, in one text without a reference to anything outside.

Jinja2 escapes whatever a name holds. The page forbids every connection and every script but its own
(`Content-Security-Policy`), so that even a mistake here could send nothing anywhere.
"""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.resources import files as package_files
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from sigma_impressions.report.charts import concentration_chart, daily_chart, lines_chart
from sigma_impressions.report.payload import link, pack
from sigma_impressions.report.read import Figure, Usage

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TIERS = ("power", "regular", "occasional", "lapsed")
MOVERS = 8
"""Risers and fallers shown of each."""

LISTED = 50
"""Files not counted, and unmatched workbooks and elements, shown at most."""


def render(usage: Usage, title: str, identity: str) -> str:
    """The report as HTML. `title` names the source; `identity` says what the report was made from."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sigma_impressions.report", "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": _percent,
        "day": _day,
        "minute": _minute,
        "words": lambda text: text.replace("_", " "),
    }
    environment.globals["none"] = Figure(0, None)
    script, style = (_asset(name) for name in ("report.js", "report.css"))
    is_partial = usage.publication.published_at.astimezone(UTC).date() <= usage.publication.as_of
    return environment.get_template("report.html.j2").render(
        usage=usage,
        as_of=usage.publication.as_of,
        is_partial=is_partial,
        title=title,
        identity=identity,
        # Our own files: as they are. Their digests are the only ones that the page lets run.
        script=Markup(script),
        style=Markup(style),
        script_digest=_digest(script),
        style_digest=_digest(style),
        packed=pack(usage),
        weekdays=usual_week(usage.days.head(-1) if is_partial else usage.days),
        weekday_names=WEEKDAYS,
        tiers=_tiers(usage.users),
        risers=_movers(usage.workbooks, ("riser", "new")),
        fallers=_movers(usage.workbooks, ("faller", "gone")),
        unmatched=_unmatched(usage.quality.unmatched),
        listed=LISTED,
        impressions_charts=[daily_chart(usage.days, "impressions", width, 230) for width in (1080, 360)],
        users_charts=[
            lines_chart(usage.days, ("monthly_active_users", "weekly_active_users", "active_users"), width, height)
            for width, height in ((700, 262), (360, 230))
        ],
        concentration=concentration_chart(usage.users["cumulative_share"], 360, 190),
    )


def _asset(name: str) -> str:
    return package_files("sigma_impressions.report.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def usual_week(days: pl.DataFrame) -> list[dict[str, Any]]:
    """The mean impressions and active users of each weekday, from Monday, with the share of the busiest one.

    `days` are complete days, in order. Those before the first impression are not usual: nothing was captured yet.
    """
    known = days.filter(pl.col("impressions").cum_sum() > 0)
    means = known.group_by("weekday").agg(pl.col("impressions", "active_users").mean()).sort("weekday")
    most = means["impressions"].max() or 1
    return means.with_columns(share=pl.col("impressions") / most).to_dicts()


def _tiers(users: pl.DataFrame) -> list[dict[str, Any]]:
    """Users and impressions of each tier, the most active tier first, with their shares of all."""
    counted = users.group_by("tier").agg(users=pl.len(), impressions=pl.col("impressions_60d").sum())
    everybody = max(users.height, 1)
    views = max(int(users["impressions_60d"].sum()), 1)
    every = pl.DataFrame({"tier": TIERS, "label": [tier.capitalize() for tier in TIERS]})
    return (
        every.join(counted, on="tier", how="left", maintain_order="left")
        .with_columns(pl.col("users", "impressions").fill_null(0))
        .with_columns(share=pl.col("users") / everybody, impressions_share=pl.col("impressions") / views)
        .to_dicts()
    )


def _movers(workbooks: pl.DataFrame, movements: tuple[str, ...]) -> list[dict[str, Any]]:
    """The workbooks that moved most, in impressions of 14 days, which are compared with the 14 days before."""
    recent, previous = pl.col("complete_impressions_14d"), pl.col("previous_complete_impressions_14d")
    moved = workbooks.filter(pl.col("movement").is_in(movements))
    shown = moved.sort((recent - previous).abs(), descending=True, maintain_order=True).head(MOVERS)
    most = pl.max_horizontal(recent, previous)
    return shown.select(
        "movement",
        name=pl.coalesce("name", "workbook_url_id"),
        url=link(),
        recent=recent,
        previous=previous,
        share=most / most.max(),
    ).to_dicts()


def _unmatched(rows: pl.DataFrame) -> dict[str, Any]:
    counted = rows.group_by("reason").agg(ids=pl.len(), impressions=pl.col("impressions").sum()).sort("reason")
    return {
        "impressions": int(rows["impressions"].sum()),
        "reasons": counted.to_dicts(),
        "ids": rows.height,
        "most": rows.head(LISTED).to_dicts(),
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _percent(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def _day(value: date | datetime | None) -> str:
    if isinstance(value, datetime):
        value = value.astimezone(UTC).date()
    return "–" if value is None else f"{value:%-d %b %Y}"


def _minute(value: datetime | None) -> str:
    return "–" if value is None else f"{value.astimezone(UTC):%-d %b %Y, %H:%M} UTC"
