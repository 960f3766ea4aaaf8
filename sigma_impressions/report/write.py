"""Publish the report beside the database that it is of, complete or not at all, and only if it would be another.

Two files are not replaced in one step, so each says what it was made from. The database is published first, and
decides: a report is only ever put in the place of one that was there before its database was looked at. So no report
takes the place of one of a newer database, and whoever finds another report than that of the database makes it good.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import InputsChanged, OperatorError, ReportError
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.scratch import replacing, scratch_folder
from sigma_impressions.lake.storage import Storage
from sigma_impressions.lake.tables import WORK_FOLDER
from sigma_impressions.publish.database import DATABASE_NAME, Companion, fetch_database, nothing_published
from sigma_impressions.report.read import Publication, read_publication, read_usage

REPORT_NAME = "usage_report.html"

REPORT_VERSION = 3
"""Raised when the report shows the same database in another way, so that it is made anew."""

_HEAD_BYTES = 4096
"""The report's identity stands in its first bytes."""

_PATIENCE = Backoff(attempts=8, first=0.2, longest=4.0)
"""How long a pair that differs is looked at again: its publisher may be at it."""


@dataclass(frozen=True)
class Written:
    """The report that is in place; `is_new` is false if it already showed just this database."""

    path: Path
    as_of: date
    is_new: bool


@dataclass(frozen=True)
class Pair:
    """A database and the report of it, in files that nobody replaces."""

    database: Path
    report: Path
    publication: Publication


@dataclass(frozen=True)
class _Rendered:
    text: str
    identity: str
    as_of: date


def write_report(storage: Storage, title: str) -> Written:
    """Bring the published report up to the published database. `title` names the source in it.

    A reader has the old file or the new one. Raises `ReportError` if there is no database to report from.
    """
    return _publish(storage, title, None)


def report_companion(storage: Storage, title: str, report: Callable[[str], None]) -> Companion:
    """The report as what goes with a database: made before the database is published, and put in place right after.

    If that fails, `report` is told, and the database is published all the same: `write_report` makes it good, or says
    why it cannot be.
    """

    def make(database: Path) -> Callable[[], None]:
        rendered: _Rendered | None = None
        with _told(report):
            rendered = _render(database, title)

        def publish() -> None:
            if rendered is not None:
                with _told(report):
                    _publish(storage, title, rendered)

        return publish

    return make


@contextmanager
def published_pair(storage: Storage) -> Iterator[Pair]:
    """The published database and the report of it, as files that stay as they are inside, whoever publishes.

    Raises `ReportError` if nothing is published, or if the report still is another database's after some tries.
    """
    with scratch_folder(storage.local / WORK_FOLDER) as folder:
        for failures in range(_PATIENCE.attempts):
            if failures:
                _PATIENCE.pause(failures)
            if (pair := _kept_pair(storage, folder)) is not None:
                yield pair
                return
    raise ReportError(
        f"{storage.uri(REPORT_NAME)} is not the report of the database beside it: a run was killed between the two, "
        "or could not make it. sigma-impressions report makes it anew."
    )


def copy_report(report: Path, target: Path) -> None:
    """Copy a report to another file, complete or not at all. Raises `OSError` if it cannot be written.

    A link at the target is replaced by the file, never followed: others may have made it.
    """
    with replacing(target) as partial:
        shutil.copyfile(report, partial)


def remove_report(storage: Storage) -> None:
    """Delete the published report."""
    storage.withdraw(REPORT_NAME)


def _publish(storage: Storage, title: str, rendered: _Rendered | None) -> Written:
    """Bring the published report up to the published database, with one that is rendered already if it is of that."""
    database, target = storage.local / DATABASE_NAME, storage.local / REPORT_NAME
    for _ in range(_PATIENCE.attempts):
        # Before the database is looked at: whoever publishes a newer one changes the report only after that.
        replaced = storage.fetch(REPORT_NAME)
        if fetch_database(storage) is None:
            raise ReportError(nothing_published(storage))
        publication = read_publication(database)
        identity = _identity(publication, title)
        if replaced is not None and _shows(target, identity):
            return Written(target, publication.as_of, False)
        if rendered is None or rendered.identity != identity:
            rendered = _render(database, title)
        with scratch_folder(storage.local / WORK_FOLDER) as folder:
            file = folder / REPORT_NAME
            file.write_text(rendered.text, encoding="utf-8", newline="\n")
            with suppress(InputsChanged):
                storage.publish(REPORT_NAME, file, replaced)
                return Written(target, rendered.as_of, True)
    raise ReportError(f"{storage.uri(REPORT_NAME)} was replaced each time before it was written. Try again.")


def _render(database: Path, title: str) -> _Rendered:
    # Here, as most runs find the report up to date, and jinja2 takes time to import.
    from sigma_impressions.report.render import render

    usage = read_usage(database)
    identity = _identity(usage.publication, title)
    return _Rendered(render(usage, title, identity), identity, usage.publication.as_of)


@contextmanager
def _told(report: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = error if isinstance(error, OperatorError) else type(error).__name__
        report(f"The report was not published with the database: {reason}")


def _kept_pair(storage: Storage, folder: Path) -> Pair | None:
    """The pair as it is now, kept in a folder; None if report and database differ."""
    if fetch_database(storage) is None:
        raise ReportError(nothing_published(storage))
    storage.fetch(REPORT_NAME)
    database, report = folder / DATABASE_NAME, folder / REPORT_NAME
    # Another process of this machine may just have found that somebody has removed one.
    with suppress(FileNotFoundError):
        _keep(storage.local / DATABASE_NAME, database)
        _keep(storage.local / REPORT_NAME, report)
        publication = read_publication(database)
        return Pair(database, report, publication) if _shows(report, _made_from(publication)) else None
    return None


def _keep(published: Path, kept: Path) -> None:
    """Have a file under another name too, which stays when it is replaced under its own; that takes no room."""
    kept.unlink(missing_ok=True)
    try:
        os.link(published.resolve(), kept)
    except FileNotFoundError:
        raise
    except OSError:
        # Not in every file system, and not for the file of another user.
        shutil.copyfile(published, kept)


def _made_from(publication: Publication) -> str:
    """A text that tells one publication from every other."""
    return digest([publication.made_from, publication.published_at.isoformat()])


def _identity(publication: Publication, title: str) -> str:
    """A text that differs where the report would differ; it begins with what the report is made from."""
    return f"{_made_from(publication)} {digest([REPORT_VERSION, title])}"


def _shows(report: Path, identity: str) -> bool:
    with report.open("rb") as file:
        return identity.encode() in file.read(_HEAD_BYTES)
