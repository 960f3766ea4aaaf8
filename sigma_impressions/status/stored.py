"""What the storage location holds: captured files, the published database, and how large it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sigma_impressions.check.disk import disks_of, folders_of_a_run
from sigma_impressions.exports.captured import Captured
from sigma_impressions.exports.source import refuse_other
from sigma_impressions.lake.schemas import ALL_TABLES, RAW_EXPORT_FILES
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.lake.storage import BucketStorage, bytes_below
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import DATABASE_NAME, publication_figures
from sigma_impressions.report.read import read_publication
from sigma_impressions.report.write import REPORT_NAME
from sigma_impressions.settings.declared import Settings
from sigma_impressions.status.facts import Colour, Finding, Published, Sizes
from sigma_impressions.wiring import source, storage

_PUBLISHED = {DATABASE_NAME: "database", REPORT_NAME: "report"}


def is_remote(settings: Settings) -> bool:
    """Whether the tables lie in a bucket."""
    return isinstance(storage(settings), BucketStorage)


@contextmanager
def tables_to_read(settings: Settings) -> Iterator[Tables]:
    """The tables, of which nothing stays on this machine that was not there: copies, if they lie in a bucket."""
    where = storage(settings)
    if not isinstance(where, BucketStorage) or where.local.exists():
        yield Tables(where)
        return
    with temporary_folder() as folder:
        yield Tables(storage(replace(settings, cache=str(folder))))


def check_source(tables: Tables, settings: Settings) -> None:
    """Raise `OtherSource` if the tables hold the exports of another source."""
    if (manifest := tables.as_it_is(RAW_EXPORT_FILES)) is not None:
        refuse_other(manifest, source(settings))


def read_published(tables: Tables) -> Published | None:
    """What is published; None if nothing is. Raises `DatabaseUnreadable` or `ReportError`."""
    import duckdb

    found = tables.storage.published(DATABASE_NAME)
    if found is None or found.path is None:
        return Published(found.written_at) if found else None
    publication = read_publication(found.path)
    published = Published(publication.published_at, publication.as_of)
    try:
        held = publication_figures(found.path)
    except duckdb.ProgrammingError:
        # Published by an earlier version, which knew less.
        return published
    return replace(
        published,
        impressions_60d=held["matched"] + held["unmatched"],
        unmatched_60d=held["unmatched"],
        users_60d=held["users"],
        resources=held["resources"],
    )


def measured(tables: Tables, settings: Settings, home: Path) -> Sizes:
    """How large everything is, and how much is free on the disks of this machine."""
    places = tables.storage.bytes_by_place()
    others = Counter({"dagster": sum(bytes_below(home).values())})
    if isinstance(tables.storage, BucketStorage):
        others["cache"] = sum(bytes_below(storage(settings).local).values())
    names = {table.name for table in ALL_TABLES}
    for place, size in places.items():
        if place not in names:
            others[_PUBLISHED.get(place, "other")] += size
    return Sizes(
        tables={name: size for name, size in sorted(places.items()) if name in names},
        others=dict(sorted(others.items())),
        disks=tuple(disks_of(folders_of_a_run(settings, home))),
    )


def found_in_sizes(sizes: Sizes) -> Iterator[Finding]:
    """A disk that is nearly full."""
    short = "; ".join(str(disk) for disk in sizes.disks if disk.is_short)
    if short:
        yield Finding(Colour.RED, "disk", f"{short}. Make room, or set another folder.")


def found_in_published(published: Published | None, captured: Captured | None, now: datetime) -> Iterator[Finding]:
    """What is not published, or was not lately."""
    if published is None:
        is_new = captured is not None and not captured.files
        said = "Nothing is captured yet" if is_new else "Nothing is published yet"
        yield Finding(Colour.RED, "published", f"{said}. Next: sigma-impressions check, then sigma-impressions run.")
    elif published.as_of is not None and (days := (now.astimezone(UTC).date() - published.as_of).days) > 1:
        said = f"What is published is as of {published.as_of}, {days} days ago. Next: sigma-impressions run."
        yield Finding(Colour.YELLOW, "published", said, since=published.published_at)
