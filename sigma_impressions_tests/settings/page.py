"""The tables of docs/settings.md: `python -m sigma_impressions_tests.settings.page` writes them anew."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from sigma_impressions.settings.declared import SETTINGS, Group, Setting


def table(settings: Iterable[Setting]) -> str:
    """Settings as a Markdown table."""
    rows = [f"| `{setting.variable}` | {_default(setting)} | {_meaning(setting)} |" for setting in settings]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def with_tables(page: str) -> str:
    """The page with the table of each group between its marks; raises `ValueError` for a group without any."""
    for group in Group:
        mark, end = f"<!-- settings: {group} -->", "<!-- end -->"
        before, found, rest = page.partition(mark)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"The page has no mark {mark}, or no {end} behind it.")
        listed = table(setting for setting in SETTINGS if setting.group is group)
        page = f"{before}{mark}\n\n{listed}\n\n{end}{after}"
    return page


def _default(setting: Setting) -> str:
    if setting.default is not None:
        return f"`{setting.default}`"
    return "required" if setting.required else "none"


def _meaning(setting: Setting) -> str:
    return f"{'**Secret.** ' if setting.secret else ''}{setting.help}".replace("|", r"\|")


if __name__ == "__main__":
    file = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/settings.md")
    file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
