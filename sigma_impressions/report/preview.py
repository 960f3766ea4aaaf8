"""The headline figures as Markdown, for places that show no page: the asset in the Dagster UI."""

from __future__ import annotations

from datetime import date

from sigma_impressions.report.charts import text_sparkline
from sigma_impressions.report.read import Figure, Headlines

# In the words of the page's cards: what the two numbers of workbooks count is not the same.
_ROWS = (
    ("impressions_14d", "Impressions, 14 days"),
    ("active_users_14d", "Active users, 14 days"),
    ("active_workbooks_14d", "Workbooks viewed, 14 days (archived and unknown ones too)"),
    ("used_workbooks_60d", "Current workbooks viewed, 60 days"),
    ("underused_workbooks", "Underused workbooks"),
    ("new_users_14d", "New users, 14 days"),
    ("lapsed_users", "Lapsed users"),
    ("members", "Members who may use Sigma"),
    ("never_seen_members", "Members never seen"),
)
_DAYS = 28


_NOT_CAPTURED = "·"


def preview(headlines: Headlines) -> str:
    """A table of the headline figures, and the impressions of the last four complete weeks as block characters."""
    as_of, complete = headlines.publication.as_of, headlines.last_complete_day
    return "\n".join(
        [
            f"As of {as_of}. {_compared(headlines)}",
            "",
            f"| | up to {as_of} | up to {complete or 'the last complete day'} | before |",
            "| --- | ---: | ---: | ---: |",
            *(_row(label, headlines.summary[metric]) for metric, label in _ROWS if metric in headlines.summary),
            *_sparkline(headlines.impressions[-_DAYS:], complete),
        ]
    )


def _compared(headlines: Headlines) -> str:
    if headlines.not_compared_because is not None:
        return f"The last 14 complete days are not compared: {headlines.not_compared_because}"
    return f"What is compared are complete days: those up to {headlines.last_complete_day}, with as many before."


def _row(label: str, figure: Figure) -> str:
    change = "" if figure.change is None else f" ({figure.change:+.1%})"
    return f"| {label} | {figure.value:,.0f} | {_number(figure.complete)} | {_number(figure.previous)}{change} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _sparkline(days: list[int | None], last: date | None) -> list[str]:
    """The impressions of days, those that were not captured as dots."""
    if not days:
        return []
    captured = [day for day in days if day is not None]
    line = text_sparkline([day or 0 for day in days])
    shown = "".join(_NOT_CAPTURED if day is None else block for day, block in zip(days, line, strict=True))
    missing = f"; {_NOT_CAPTURED} was not captured" if len(captured) < len(days) else ""
    most = f"at most {max(captured, default=0):,} a day"
    return [
        "",
        f"Impressions of the {len(days)} complete days up to {last}, {most}{missing}:",
        "",
        f"`{shown}`",
    ]
