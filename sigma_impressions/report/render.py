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

from sigma_impressions.exports.manifest import REFUSED, REMEDIES, UNREADABLE
from sigma_impressions.report.payload import pack
from sigma_impressions.report.read import Figure, Usage

SCRIPTS = (
    *("format", "dom", "data", "tally", "choices", "csv", "charts", "grid"),
    *("overview", "workbooks", "moving", "underused", "people", "groups", "details", "start"),
)
"""The parts of the script of the page, in their order."""

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
    script, style = "\n".join(_asset(f"{name}.js") for name in SCRIPTS), _asset("report.css")
    packed = pack(usage)
    return environment.get_template("report.html.j2").render(
        usage=usage,
        as_of=usage.publication.as_of,
        title=title,
        identity=identity,
        # Our own files: as they are. Their digests are the only ones that the page lets run.
        script=Markup(script),
        style=Markup(style),
        script_digest=_digest(script),
        style_digest=_digest(style),
        packed=packed.tables,
        facts=packed.facts,
        not_counted=_not_counted(usage.quality.not_counted),
        unmatched=_unmatched(usage.quality.unmatched),
        listed=LISTED,
    )


def _asset(name: str) -> str:
    return package_files("sigma_impressions.report.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _not_counted(files: pl.DataFrame) -> list[dict[str, Any]]:
    """The files that were not counted, by what happened to them, with what to do about it."""
    by_status = ((status, files.filter(pl.col("status") == status)) for status in (REFUSED, UNREADABLE))
    return [
        {
            "status": status,
            "remedy": REMEDIES[status],
            "files": of_status.height,
            "newest": of_status.head(LISTED).to_dicts(),
        }
        for status, of_status in by_status
        if of_status.height
    ]


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
