"""Write the report beside the published database, complete or not at all, and only if it would be another."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.scratch import locked, replacing, sweep_partials
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.read import Publication, read_publication, read_usage

REPORT_NAME = "usage_report.html"

REPORT_VERSION = 2
"""Raised when the report shows the same database in another way, so that it is made anew."""

_HEAD_BYTES = 4096
"""The report's identity stands in its first bytes."""


@dataclass(frozen=True)
class Written:
    """The report that is in place; `is_new` is false if it already showed just this database."""

    path: Path
    as_of: date
    is_new: bool


def write_report(folder: Path, title: str) -> Written:
    """Bring the report in a folder up to the published database there. `title` names the source in it.

    A reader has the old file or the new one. Raises `ReportError` if there is no database to report from.
    """
    target = folder / REPORT_NAME
    folder.mkdir(parents=True, exist_ok=True)
    # One writer at a time, which reads the database within its turn: whoever comes last has seen the newest one.
    with locked(folder / f".{REPORT_NAME}.lock"):
        publication = read_publication(folder / DATABASE_NAME)
        if _shows(target, _identity(publication, title)):
            return Written(target, publication.as_of, False)
        # Here, as most runs find the report up to date, and jinja2 takes time to import.
        from sigma_impressions.report.render import render

        # Read anew as a whole: another database may have taken its place in between.
        usage = read_usage(folder / DATABASE_NAME)
        text = render(usage, title, _identity(usage.publication, title))
        with replacing(target) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    return Written(target, usage.publication.as_of, True)


def copy_report(report: Path, target: Path) -> None:
    """Copy a report to another file, complete or not at all. Raises `OSError` if it cannot be written.

    A link at the target is replaced by the file, never followed: others may have made it.
    """
    with replacing(target) as partial:
        shutil.copyfile(report, partial)


def remove_report(folder: Path) -> None:
    """Delete the report of a folder, and what a killed process may have left of one."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / REPORT_NAME
    with locked(folder / f".{REPORT_NAME}.lock"):
        target.unlink(missing_ok=True)
        sweep_partials(target)


def _identity(publication: Publication, title: str) -> str:
    """A text that differs where the report would differ."""
    return digest([REPORT_VERSION, title, publication.made_from, publication.published_at.isoformat()])


def _shows(report: Path, identity: str) -> bool:
    if not report.is_file():
        return False
    with report.open("rb") as file:
        return identity.encode() in file.read(_HEAD_BYTES)
