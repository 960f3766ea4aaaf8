"""Measure against peers and write `bench/RESULTS.md`: `python -m bench [SECTION …]`, see `--help`.

Without a section all are measured. A section that is not measured keeps the table of its last time.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench import (
    discovery,
    growth,
    listing,
    normalize,
    publication,
    report,
    scale,
    small_files,
    waits,
    warehouse,
    windows,
    workers,
)

RESULTS = Path(__file__).with_name("RESULTS.md")

SECTIONS: dict[str, Callable[..., Iterator[str]]] = {
    "normalize": normalize.lines,
    "small_files": small_files.lines,
    "windows": windows.lines,
    "scale": scale.lines,
    "growth": growth.lines,
    "listing": listing.lines,
    "discovery": discovery.lines,
    "publication": publication.lines,
    "warehouse": warehouse.lines,
    "workers": workers.lines,
    "waits": waits.lines,
    "report": report.lines,
}
"""By name, in the order of the document: a function of a folder for its files, and whether the largest are asked for.

Its first line is the heading."""

_COMPARED = ("normalize", "windows")
"""Sections that can measure another checkout in the same rounds."""

_KEEPING = ("windows", "scale", "warehouse")
"""Sections of the histories that can be kept: those of the first one."""

_INTRODUCTION = """# Measured

`make bench` writes this file. Times are those of whole processes, started side by side in rounds, of which the first
is not counted; a time is the median of its rounds. They are the machine's: the ratios are what to look at.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"some of {', '.join(SECTIONS)}")
    parser.add_argument("--large", action="store_true", help="also measure with the largest files")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the histories there, and use those that are")
    parser.add_argument(
        "--before", type=Path, metavar="CHECKOUT", help=f"also measure another checkout of it: {', '.join(_COMPARED)}"
    )
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    if options.keep and not (options.sections and set(options.sections) <= {*_KEEPING}):
        parser.error(f"--keep goes with the sections {' and '.join(_KEEPING)} alone")
    if options.before and set(options.sections) - {*_COMPARED}:
        parser.error(f"--before goes with the sections {' and '.join(_COMPARED)} alone")
    # Commands of another checkout run in its folder.
    before, keep = (path.resolve() if path else None for path in (options.before, options.keep))
    for name, lines in SECTIONS.items():
        if name in options.sections or not options.sections:
            with tempfile.TemporaryDirectory(prefix="sigma-impressions-bench-") as folder:
                where = keep / _KEEPING[0] if keep else Path(folder)
                compared = {"before": before} if name in _COMPARED else {}
                heading, *rest = lines(where, options.large, **compared)
            section = "\n".join([f"## {heading}", "", _conditions(), "", *rest, ""])
            print(section)
            _keep(name, section)


def _conditions() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "pandas", "deltalake"))
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}."


def _keep(name: str, section: str) -> None:
    """Put a section into its place in the document."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    kept = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=\n<!-- |\Z)", text, flags=re.DOTALL))
    kept[name] = section
    parts = [f"<!-- {known} -->\n{kept[known].strip()}\n" for known in SECTIONS if known in kept]
    RESULTS.write_text("\n".join([_INTRODUCTION, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
