"""The step of the storage location: whether a run could commit to its tables."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import polars as pl
from deltalake.exceptions import DeltaError

from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError, TablesError
from sigma_impressions.folders import fault_of_folder, unusable_below
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import ALL_TABLES, SCHEMA_VERSION, Table
from sigma_impressions.lake.scratch import remove_work_folder
from sigma_impressions.lake.storage import BucketStorage
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, stored_version
from sigma_impressions.settings.declared import Settings
from sigma_impressions.wiring import tables

_UNSUPPORTED = ("Operation not supported", "Function not implemented", "Operation not permitted")
"""What file systems answer that have no hard links, which a commit in a local folder needs."""

_RESTORE = 'Give this user the right to read it, or restore it (docs/operations.md, "Restore")'


def check_storage(settings: Settings) -> Step:
    """Whether tables can be written and read, also those that are there, and two writers get in each other's way."""
    stored = tables(settings)
    is_remote = isinstance(stored.storage, BucketStorage)
    where = settings.storage if is_remote else str(stored.root)
    there: list[int] = []
    try:
        fault = (
            _fault_of_folders(stored, where) or _fault_of_commits(stored, where) or _fault_of_publishing(stored, where)
        )
        there = [] if fault else [found for table in ALL_TABLES if (found := _version(stored, table)) is not None]
    except OperatorError as error:
        fault = str(error)
    except OSError as error:
        fault = f"{where} {_meaning(error)}"
    except DeltaError as error:
        fault = f"Delta Lake cannot keep tables in {where} ({type(error).__name__})"
    if fault:
        return Step("storage", False, fault)
    copies = f"; local copies in {stored.root}" if is_remote else ""
    return Step("storage", True, f"{where} can be written{_told_of(there)}{copies}")


def _fault_of_folders(stored: Tables, where: str) -> str | None:
    """Why nothing can be written in the local folders, as far as their rights tell."""
    is_remote = isinstance(stored.storage, BucketStorage)
    if fault := fault_of_folder(stored.root):
        return f"{f'The local copies of {where} lie in {stored.root}, which' if is_remote else where} {fault}"
    for table in () if is_remote else ALL_TABLES:
        if fault := unusable_below(stored.root / table.name, 2):
            return f"{fault}. All tables have to belong to the user who runs the pipeline"
    return None


def _fault_of_commits(stored: Tables, where: str) -> str | None:
    """Why two commits at once were not both kept."""
    rows = _written_at_once(stored)
    if rows == 2:
        return None
    return (
        f"{where} can be written, but of two commits at once only {rows} stayed: the store ignores conditional writes "
        "(If-None-Match), so runs at the same time would lose rows. Use another store, or a local directory"
    )


def _fault_of_publishing(stored: Tables, where: str) -> str | None:
    """Why an older result could take the place of a newer one."""
    if not isinstance(stored.storage, BucketStorage) or stored.storage.refuses_the_overtaken():
        return None
    return (
        f"{where} can be written, but the store replaces an object at any version (it ignores If-Match), so of "
        "machines that publish at the same time the older result could stay. Use another store, or a local directory"
    )


def _told_of(there: list[int]) -> str:
    """How many tables are there, and how many of them a run would upgrade."""
    older = sum(version < SCHEMA_VERSION for version in there)
    return (f"; {len(there)} tables" if there else "") + (f", {older} of which the next run upgrades" if older else "")


def _version(stored: Tables, table: Table) -> int | None:
    """The schema version of a table, which is left as it is; None if it is not there. Raises `TablesError`."""
    try:
        handle = stored.as_it_is(table)
    except OSError as error:
        where = stored.location(table)
        raise TablesError(f"The table {where} cannot be opened: {_reason(error)}. {_RESTORE}") from None
    return None if handle is None else stored_version(handle)


def _meaning(error: OSError) -> str:
    """Why a commit failed in a local folder, as the rest of a sentence about it."""
    reason = _reason(error)
    if reason in _UNSUPPORTED and "rename" in str(error):
        return (
            f"lies on a file system without hard links ({reason}), on which no commit is safe. Use a folder on "
            "another one, or give the bucket itself as s3:// or gs:// if one is mounted there"
        )
    return f"cannot be written: {reason}"


def _reason(error: OSError) -> str:
    """What the operating system says; Delta Lake has the number of it in its text."""
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else error.strerror or type(error).__name__


def _written_at_once(stored: Tables) -> int:
    """How many rows a table has after two commits at once of one row each. Nothing of it is left."""
    table = Table(f"check-{uuid.uuid4().hex}", "Written and deleted by a check.", pl.Schema({"writer": pl.Int64}))
    with _as_before(stored.root):
        try:
            first, second = stored.open(table), stored.open(table)
        except OSError:
            # Its folder may be there already.
            shutil.rmtree(stored.root / table.name, ignore_errors=True)
            raise
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
