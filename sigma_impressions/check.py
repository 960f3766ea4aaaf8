"""Test the source step by step, as the form's "Test & Save" does: one line a step, never a traceback."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
from deltalake.exceptions import DeltaError

from sigma_impressions.clouds.objects import ObjectStore, StoredObject
from sigma_impressions.errors import (
    ObjectChanged,
    ObjectGone,
    OperatorError,
    OtherSource,
    SettingsError,
    StorageError,
    StoreError,
)
from sigma_impressions.exports.listing import dated
from sigma_impressions.exports.reading.normalize import NormalizedFile, normalize_file
from sigma_impressions.exports.reading.parquet import scan_frame
from sigma_impressions.exports.reading.refused import RefusalReason, RefusedFile
from sigma_impressions.exports.source import refuse_other_source
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import AS_OF_DATES, RAW_EXPORT_FILES, Table
from sigma_impressions.lake.scratch import remove_work_folder, temporary_folder
from sigma_impressions.lake.storage import BucketStorage
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.project import dagster_home, project_folder
from sigma_impressions.settings.declared import Settings
from sigma_impressions.settings.read import misspelt, read_settings
from sigma_impressions.texts import VALUE, printable, value
from sigma_impressions.upkeep.future import left_in_future
from sigma_impressions.upstream.contract import ELEMENT, counted
from sigma_impressions.upstream.discovery import list_workbooks
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions.users import shape_of, without_address
from sigma_impressions.wiring import (
    cloud,
    file_date_pattern,
    reading_rules,
    resources_bucket,
    resources_location,
    sigma_credentials,
    source,
    tables,
)

_EXPORT_STEPS = ("credentials", "list", "get", "header", "rows")
_OF_ROWS: tuple[RefusalReason, ...] = ("malformed quoting", "field too large")
"""For these reasons a file is refused somewhere among its rows, for all others before them."""


@dataclass(frozen=True)
class Step:
    """One step of the test; `passed` is None if it could not be tried because an earlier one failed.

    The message is one line, whatever keys and headers it names.
    """

    name: str
    passed: bool | None
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", printable(self.message))


def check_source(values: Mapping[str, str | None]) -> Iterator[Step]:
    """Try the settings, storage, credentials, bucket, newest export file and resources, in this order."""
    try:
        settings = read_settings(values)
        dagster_home(project_folder())
    except SettingsError as error:
        for problem in str(error).splitlines():
            yield Step("settings", False, problem)
        return
    used = f"{settings.bucket_uri}, {settings.days_back} days back, time zone {settings.time_zone}"
    unused = [f"{problem.environment_variable} {problem.message}" for problem in misspelt(os.environ)]
    yield Step("settings", True, ". ".join([used, *unused]))
    yield _check_storage(settings)
    yield from _check_tables(settings)
    with temporary_folder() as folder:
        viewed = yield from _check_exports(settings, folder)
        yield from _check_resources(settings, viewed)


def _check_tables(settings: Settings) -> Iterator[Step]:
    """What is wrong with what the tables hold, if there are any: another source's exports, or a time to come."""
    stored = tables(settings)
    # A storage that cannot be read has failed the step before.
    with suppress(OSError, DeltaError, StorageError):
        try:
            if stored.exists(RAW_EXPORT_FILES):
                refuse_other_source(stored, source(settings))
            future = left_in_future(stored, datetime.now(UTC)).sentence if stored.exists(AS_OF_DATES) else None
        except OtherSource as error:
            yield Step("tables", False, str(error))
        else:
            if future is not None:
                yield Step("tables", False, future)


def _failed(name: str, message: str) -> Iterator[Step]:
    """A step of the export file that failed, and those after it, which could not be tried."""
    yield Step(name, False, message)
    for later in _EXPORT_STEPS[_EXPORT_STEPS.index(name) + 1 :]:
        yield Step(later, None, f"not tried, as the step {name} failed")


def _check_storage(settings: Settings) -> Step:
    """Whether tables can be written and read, and two writers of one version get in each other's way."""
    stored = tables(settings)
    is_remote = isinstance(stored.storage, BucketStorage)
    where = settings.storage if is_remote else str(stored.root)
    try:
        rows = _written_at_once(stored)
        newer_stays = not isinstance(stored.storage, BucketStorage) or stored.storage.refuses_the_overtaken()
    except OperatorError as error:
        return Step("storage", False, str(error))
    except OSError as error:
        return Step("storage", False, f"{where} cannot be written: {error.strerror}")
    except DeltaError as error:
        return Step("storage", False, f"Delta Lake cannot keep tables in {where} ({type(error).__name__})")
    if rows != 2:
        return Step(
            "storage",
            False,
            f"{where} can be written, but of two commits at once only {rows} stayed: the store ignores "
            "conditional writes (If-None-Match), so runs at the same time would lose rows. Use another store, or a "
            "local directory",
        )
    if not newer_stays:
        return Step(
            "storage",
            False,
            f"{where} can be written, but the store replaces an object at any version (it ignores If-Match), so of "
            "machines that publish at the same time the older result could stay. Use another store, or a local "
            "directory",
        )
    copies = f"; local copies in {stored.root}" if is_remote else ""
    return Step("storage", True, f"{where} can be written{copies}")


def _written_at_once(stored: Tables) -> int:
    """How many rows a table has after two commits at once of one row each. Nothing of it is left."""
    table = Table(f"check-{uuid.uuid4().hex}", "Written and deleted by a check.", pl.Schema({"writer": pl.Int64}))
    with _as_before(stored.root):
        first, second = stored.open(table), stored.open(table)
        try:
            for writer, handle in enumerate((first, second)):
                append_rows(handle, pl.DataFrame({"writer": [writer]}))
            return stored.read(table).collect().height
        finally:
            stored.storage.remove(table.name)


@contextmanager
def _as_before(folder: Path) -> Iterator[None]:
    """At the end, what is empty of the folder, its work folder and the folders above, and was not there, is gone."""
    new = [path for path in (folder / WORK_FOLDER, folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        if folder / WORK_FOLDER in new:
            remove_work_folder(folder / WORK_FOLDER)
        with suppress(OSError):
            for path in new[1:]:
                path.rmdir()


def _check_exports(settings: Settings, folder: Path) -> Generator[Step, None, pl.Series | None]:
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
        yield from _failed(
            "list",
            f"allowed, but none of the {listed} objects under {settings.bucket_uri} ends in .csv or .csv.gz. "
            "Is the prefix right, and has Sigma's export run?",
        )
        return None
    yield Step("list", True, f"{listed} objects under {settings.bucket_uri}, the newest export is {newest.key}")
    file = folder / "newest"
    try:
        store.download(newest, file)
    except (StoreError, ObjectChanged, ObjectGone) as error:
        yield from _failed("get", str(error) or f"{newest.key} changed while it was read; try again.")
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
    yield Step("rows", not read.rows or read.accepted > 0, _told_of_rows(read, folder / "rejected.parquet"))
    return scan_frame(folder / "accepted.parquet").select("workbook_url_id").collect()["workbook_url_id"]


def _told_of_rows(read: NormalizedFile, rejected: Path) -> str:
    """How many rows are what; where some do not count, why, with the shape of one: a job records it for good."""
    said = f"{read.rows:,} rows: {read.accepted:,} accepted, {read.rejected:,} rejected, {read.skipped:,} skipped"
    if read.reasons:
        reason, rows = max(read.reasons.items(), key=lambda item: item[1])
        first = scan_frame(rejected).filter(pl.col("reason") == reason).head(1)
        shape = first.select(shape_of(pl.col("text"))).collect().item()
        said += f". {rows:,} are {reason}, such as {shape[:VALUE]!r} (x is a letter, 0 a digit)"
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
    """The export of the newest file date, of several the last modified one; and how many objects were listed."""
    newest: tuple[tuple[date, datetime], StoredObject] | None = None
    listed = 0
    for item, day, _ in dated(store.list(settings.bucket_uri.prefix), file_date_pattern(settings)):
        listed += 1
        if day is not None and (newest is None or (day, item.last_modified) > newest[0]):
            newest = ((day, item.last_modified), item)
    return (newest[1] if newest else None), listed


def _check_resources(settings: Settings, viewed: pl.Series | None) -> Iterator[Step]:
    try:
        workbooks, found = _workbooks(settings)
    except OperatorError as error:
        yield Step("resources", False, str(error))
        return
    yield Step("resources", True, found)
    if viewed is None or viewed.is_empty():
        yield Step("match", None, "no sample rows to match with the resources")
        return
    known = viewed.is_in(workbooks["workbook_url_id"].implode()) | viewed.str.to_lowercase().is_in(
        workbooks["workbook_id"].drop_nulls().str.to_lowercase().implode()
    )
    share = float(known.mean() or 0)  # type: ignore[arg-type]
    said = f"{share:.0%} of the sample rows are views of a known workbook"
    if share < 1:
        other = without_address(viewed.filter(~known)[0])
        known_id = without_address(str(workbooks["workbook_url_id"][0]))[:VALUE] if workbooks.height else None
        said += f". Not known is for example {other[:VALUE]!r}, while a known ID is {known_id!r}"
    advice = "" if share else ". Are these the resources of the same Sigma organization?"
    yield Step("match", share > 0, f"{said}{advice}")


def _workbooks(settings: Settings) -> tuple[pl.DataFrame, str]:
    """The workbooks and data models, and what was found. Of the API only the first workbook's elements are read."""
    credentials = sigma_credentials(settings)
    if credentials is not None:
        workbooks, elements = list_workbooks(credentials)
        return workbooks, f"{workbooks.height} workbooks at {credentials.base_url}, {elements} elements in the first"
    where = resources_location(settings)
    resources = read_snapshot(where, resources_bucket(settings))
    return resources.filter(pl.col("resource_type") != ELEMENT), counted(resources)
