"""The headline figures as Markdown, for places that show no page: the asset in the Dagster UI."""

from __future__ import annotations

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


def preview(headlines: Headlines) -> str:
    """A table of the headline figures, and the impressions of the last four weeks as a row of block characters."""
    rows = [
        f"| {label} | {figure.value:,.0f} | {_change(figure)} |"
        for metric, label in _ROWS
        if (figure := headlines.summary.get(metric))
    ]
    days = headlines.impressions[-_DAYS:]
    return "\n".join(
        [
            f"As of {headlines.publication.as_of}",
            "",
            "| | | before |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"Impressions of the last {len(days)} days, at most {max(days, default=0):,} a day:",
            "",
            f"`{text_sparkline(days)}`",
        ]
    )


def _change(figure: Figure) -> str:
    if figure.previous is None:
        return ""
    change = f" ({figure.change:+.0%})" if figure.change is not None else ""
    return f"{figure.previous:,.0f}{change}"
