"""The tables of docs/settings.md: `python -m sigma_impressions.settings.reference` writes them anew."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from sigma_impressions.settings.declared import SETTINGS, Group, Setting


def table(settings: Iterable[Setting]) -> str:
    """Settings as a Markdown table."""
    rows = [
        f"| {_code(setting.variable)} | {_code(setting.default) if setting.default else '–'} | {_cell(setting.help)} |"
        for setting in settings
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def with_tables(page: str) -> str:
    """The page with the table of each group between its marks; raises `ValueError` for a group without any."""
    for group in Group:
        mark, end = f"<!-- settings: {group.name} -->", "<!-- end -->"
        if page.count(mark) != 1:
            raise ValueError(f"The page has no mark {mark}, or several.")
        listed = table(setting for setting in SETTINGS if setting.group is group)
        inside = re.escape(mark) + r".*?" + re.escape(end)
        page = re.sub(inside, lambda _, new=f"{mark}\n{listed}\n{end}": new, page, flags=re.DOTALL)  # type: ignore[misc]
    return page


def _code(text: str) -> str:
    return f"`{text}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/settings.md")
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
