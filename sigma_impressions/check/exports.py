"""The steps of the exports: credentials, bucket, and the newest file."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import date, datetime
from pathlib import Path

import polars as pl

from sigma_impressions.check.step import Step
from sigma_impressions.clouds.objects import ObjectStore, StoredObject
from sigma_impressions.errors import ObjectChanged, ObjectGone, StoreError
from sigma_impressions.exports.listing import dated
from sigma_impressions.exports.near_prefixes import prefixes_instead_of
from sigma_impressions.exports.reading.normalize import NormalizedFile, normalize_file
from sigma_impressions.exports.reading.parquet import scan_frame
from sigma_impressions.exports.reading.refused import RefusalReason, RefusedFile
from sigma_impressions.settings.declared import Settings
from sigma_impressions.texts import VALUE, value
from sigma_impressions.users import shape_of, without_address
from sigma_impressions.wiring import cloud, file_date_pattern, reading_rules

_EXPORT_STEPS = ("credentials", "list", "get", "header", "rows")
_OF_ROWS: tuple[RefusalReason, ...] = ("malformed quoting", "field too large")
"""For these reasons a file is refused somewhere among its rows, for all others before them."""


def _failed(name: str, message: str) -> Iterator[Step]:
    """A step of the export file that failed, and those after it, which could not be tried."""
    yield Step(name, False, message)
    for later in _EXPORT_STEPS[_EXPORT_STEPS.index(name) + 1 :]:
        yield Step(later, None, f"not tried, as the step {name} failed")


def check_exports(settings: Settings, folder: Path) -> Generator[Step, None, pl.Series | None]:
    """Whether the exports can be listed and read; at the end the workbooks that the newest one was a view of.

    What is read lies in `folder` meanwhile.
    """
    exports = cloud(settings, settings.bucket_uri.scheme)
    try:
        yield Step("credentials", True, exports.found_credentials())
    except StoreError as error:
        yield from _failed("credentials", str(error))
        return None
    try:
        store = exports.objects(settings.bucket_uri.bucket)
        newest, listed = _newest_export(store, settings)
    except StoreError as error:
        yield from _failed("list", str(error))
        return None
    if newest is None:
        found = (
            f"none of the {listed} objects under {settings.bucket_uri} ends in .csv or .csv.gz"
            if listed
            else f"nothing lies under {settings.bucket_uri}"
        )
        instead = "" if listed else prefixes_instead_of(settings.bucket_uri.prefix, store)
        asked = "Is the prefix in SIGMA_IMPRESSIONS_BUCKET_URI right, and has Sigma's export run?"
        yield from _failed("list", f"allowed, but {found}. {f'{instead} ' if instead else ''}{asked}")
        return None
    yield Step("list", True, f"{listed} objects under {settings.bucket_uri}, the newest export is {newest.key}")
    file = folder / "newest"
    try:
        store.download(newest, file)
    except (StoreError, ObjectChanged, ObjectGone, OSError) as error:
        yield from _failed("get", _told_of_get(error, newest, folder.parent))
        return None
    yield Step("get", True, f"{newest.key}, {newest.size:,} bytes")
    try:
        read = normalize_file(
            file,
            last_modified=newest.last_modified,
            rules=reading_rules(settings),
            accepted_to=folder / "accepted.parquet",
            rejected_to=folder / "rejected.parquet",
            scratch=folder,
        )
    except RefusedFile as refusal:
        step = "rows" if refusal.reason in _OF_ROWS else "header"
        yield from _failed(step, f"{newest.key} is refused: {refusal.reason}. {refusal.detail}")
        return None
    unused = f"; columns not used: {', '.join(map(value, read.unused_columns[:20]))}" if read.unused_columns else ""
    warned = "".join(f"; {warning}" for warning in read.warnings)
    yield Step("header", True, f"the required columns were found{unused}{warned}")
    if read.rows:
        yield Step("rows", read.accepted > 0, _told_of_rows(read, folder / "rejected.parquet"))
    else:
        said = f"{newest.key} has a header and no row, so that nothing tells whether its values would be understood"
        yield Step("rows", None, said)
    return scan_frame(folder / "accepted.parquet").select("workbook_url_id").collect()["workbook_url_id"]


def _told_of_get(error: Exception, newest: StoredObject, kept_in: Path) -> str:
    if isinstance(error, OSError):
        return f"{kept_in} cannot hold the {newest.size:,} bytes of {newest.key}: {error.strerror}. Make room there"
    return str(error) or f"{newest.key} changed while it was read; try again."


_WANTED = {
    "unparseable_request_time": "Let Sigma write times as 2026-11-24 08:30:00 or 2026-11-24T08:30:00Z "
    "(docs/sigma-export.md, Formats and time zones)",
}
"""What to write where most rows are rejected for a reason that the export's columns are to blame for."""


def _told_of_rows(read: NormalizedFile, rejected: Path) -> str:
    """How many rows are what; where some do not count, why, with the shape of one: a job records it for good."""
    said = f"{read.rows:,} rows: {read.accepted:,} accepted, {read.rejected:,} rejected, {read.skipped:,} skipped"
    if read.reasons:
        reason, rows = max(read.reasons.items(), key=lambda item: item[1])
        first = scan_frame(rejected).filter(pl.col("reason") == reason).head(1)
        shape = first.select(shape_of(pl.col("text"))).collect().item()
        said += f". {rows:,} are {reason}, such as {shape[:VALUE]!r} (x is a letter, 0 a digit)"
        said += f". {_WANTED[reason]}" if reason in _WANTED else ""
    if read.skipped:
        said += f". Of the first skipped one, {read.skipped_example}"
    if len(read.event_types) > 1:
        types = ", ".join(
            f"{value(without_address(name)) or '(none)'} ({rows:,} rows, {accepted:,} counted)"
            for name, rows, accepted in read.event_types[:20]
        )
        said += f". Event types: {types}"
    if sum(accepted > 0 for *_, accepted in read.event_types) > 1:
        said += ". If not all of them are views, name those that are in SIGMA_IMPRESSIONS_EVENT_TYPES"
    return said


def _newest_export(store: ObjectStore, settings: Settings) -> tuple[StoredObject | None, int]:
    """The newest export, by file date, then by when it was written, then by key; and how many objects were listed."""
    newest: tuple[tuple[date, datetime, str], StoredObject] | None = None
    listed = 0
    for item, day, _ in dated(store.list(settings.bucket_uri.prefix), file_date_pattern(settings)):
        listed += 1
        if day is not None and (newest is None or (day, item.last_modified, item.key) > newest[0]):
            newest = ((day, item.last_modified, item.key), item)
    return (newest[1] if newest else None), listed
