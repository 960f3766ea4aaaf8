"""Publish `sigma_impressions.duckdb` (docs/tables-and-metrics.md, "The DuckDB file"): one consistent result."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sigma_impressions.errors import DatabaseUnreadable, InputsChanged, NothingComputed
from sigma_impressions.insights.thresholds import DEFAULT_RULES, InsightRules
from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.inventory import naming_damage, require_intact
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
)
from sigma_impressions.lake.scratch import locked, make_read_only, scratch_folder
from sigma_impressions.lake.storage import Storage
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.metrics.handover import Inputs, taken
from sigma_impressions.publish import QUERIES
from sigma_impressions.publish.build import build
from sigma_impressions.publish.contents import AllContents, Contents

if TYPE_CHECKING:
    import duckdb

DATABASE_NAME = "sigma_impressions.duckdb"

OWNER_READS, GROUP_READS = 0o400, 0o440
"""The modes that the published database may have."""


@dataclass(frozen=True)
class Published:
    """The database that is in place; `is_new` is false if it already held just this result."""

    path: Path
    as_of: date
    is_new: bool
    tables: dict[str, int]


Companion = Callable[[Path], Callable[[], None]]
"""Makes what goes with a database, given the path of one that is built and not published yet; what it returns
publishes it, once the database is."""


def publish_database(
    tables: Tables,
    as_of: date | None = None,
    limits: Limits = DEFAULT_LIMITS,
    rules: InsightRules = DEFAULT_RULES,
    companion: Companion | None = None,
    *,
    mode: int = OWNER_READS,
    with_members: bool = True,
) -> Published:
    """Build the database of an as-of date (default: the newest one computed) and publish it, with its companion.

    A reader that holds the old file open keeps it; a new reader gets the new one, complete. By its `mode` nobody may
    write to it: DuckDB does unless it is told otherwise, and what it leaves is in the way of all others. The members
    that are stored are in it `with_members`. Raises
    `InputsChanged` if the as-of date is not up to date (any more), or somebody else has published meanwhile, and
    `NothingComputed` if there is no as-of date.
    """
    storage, target = tables.storage, tables.root / DATABASE_NAME
    with _publishing(storage):
        # Before anything else is read: so this publication has seen all that the one before it has.
        replaced = fetch_database(storage)
        chosen = as_of or newest_as_of(tables, datetime.now(UTC).date())
        contents = AllContents(tables, rules, with_members=with_members).as_of(chosen)
        if not contents.is_current:
            raise InputsChanged(f"The metrics as of {chosen} are not up to date.")
        # Also where it is not needed: it would stay in memory.
        grouped = taken(Inputs.of(tables, contents.edition, chosen, contents.inputs.fingerprint))
        existing = _existing(target) if replaced is not None else None
        if existing is not None and existing[0] == (chosen, contents.made_from):
            make_read_only(target, mode)
            return Published(target, chosen, False, existing[1])
        require_intact(tables)
        with naming_damage(tables), scratch_folder(tables.root / WORK_FOLDER) as scratch:
            with engine.folder_for_databases(scratch) as folder:
                counts = build(tables, contents, grouped, folder / DATABASE_NAME, limits)
                shutil.move(folder / DATABASE_NAME, scratch / DATABASE_NAME)
            publish_companion = companion(scratch / DATABASE_NAME) if companion is not None else None
            # What somebody has left who wrote to the one before, which would keep everybody from opening the new one.
            _changes_of(target).unlink(missing_ok=True)
            (scratch / DATABASE_NAME).chmod(mode)
            storage.publish(DATABASE_NAME, scratch / DATABASE_NAME, replaced)
            if publish_companion is not None:
                publish_companion()
    return Published(target, chosen, True, counts)


def what_is_published(tables: Tables) -> Published | None:
    """The database that somebody else has published, or that was published before; None without one."""
    target = tables.root / DATABASE_NAME
    existing = _existing(target) if fetch_database(tables.storage) is not None else None
    return None if existing is None else Published(target, existing[0][0], False, existing[1])


def copy_if_published(storage: Storage, contents: Contents, file: Path) -> bool:
    """Copy the database of this machine to `file` if it holds just these contents; whether it does."""
    target = storage.local / DATABASE_NAME
    wanted = (contents.as_of, contents.made_from)
    for path in (target, file):
        existing = _existing(path)
        if existing is None or existing[0] != wanted:
            return False
        if path is target:
            # Another may be published meanwhile, so that the copy is looked at, too.
            shutil.copyfile(target, file)
    return True


def newest_as_of(tables: Tables, today: date) -> date:
    """The newest as-of date that is computed, up to today; raises `NothingComputed` if there is none.

    Later ones are of a run whose clock was ahead (`upkeep/future.py`).
    """
    computed = tables.registry(AS_OF_DATES)["as_of_date"]
    newest = computed.filter(computed <= today).max()
    if newest is None:
        later = f" up to today, {today}; there are only later ones, from {min(computed)} on" if len(computed) else ""
        raise NothingComputed(f"No as-of date is computed yet{later}; materialize resource_impressions first.")
    assert isinstance(newest, date)
    return newest


_SIZE = "SELECT total_blocks * block_size + 3 * 4096 FROM pragma_database_size()"
"""The bytes that a database has: what is cut off is noticed by nobody who reads other parts. It begins with three
headers of 4 KiB."""


def _changes_of(database: Path) -> Path:
    """Where DuckDB keeps what a program has written that opened a database without `read_only`."""
    return database.with_name(f"{database.name}.wal")


def fetch_database(storage: Storage) -> str | None:
    """Bring this machine's copy of the published database up to date; its version, None if none is published."""
    changes = _changes_of(storage.local / DATABASE_NAME)
    # Somebody has written to the copy, which is none any more.
    if changes.exists() and storage.forget_copy(DATABASE_NAME):
        changes.unlink(missing_ok=True)
    version = storage.fetch(DATABASE_NAME)
    make_read_only(storage.local / DATABASE_NAME, OWNER_READS)
    return version


def published_database(storage: Storage) -> Path:
    """The published database, as a file of this machine. Raises `NothingComputed` if none is published."""
    if fetch_database(storage) is None:
        raise NothingComputed(nothing_published(storage))
    return storage.local / DATABASE_NAME


def remove_database(storage: Storage) -> None:
    """Remove the published database, with what somebody may have written to it."""
    with _publishing(storage):
        storage.withdraw(DATABASE_NAME)
        _changes_of(storage.local / DATABASE_NAME).unlink(missing_ok=True)


def _publishing(storage: Storage) -> AbstractContextManager[None]:
    """One publisher of a machine at a time: of two at once, one would have built for nothing."""
    storage.local.mkdir(parents=True, exist_ok=True)
    return locked(storage.local / ".publishing.lock")


def _existing(target: Path) -> tuple[tuple[date, str], dict[str, int]] | None:
    """What the database in place holds and was made from; None if there is none, or one that is not as it was put."""
    import duckdb

    if not target.exists() or _changes_of(target).exists():
        return None
    try:
        with engine.open_database(target) as connection:
            ((size,),) = connection.execute(_SIZE).fetchall()
            if target.stat().st_size < size:
                return None
            found = connection.execute("SELECT as_of_date, made_from FROM publication").fetchall()
            names = connection.execute("SELECT table_name, estimated_size FROM duckdb_tables()").fetchall()
    except duckdb.Error:
        # Made by another version, or locked by a program that writes to it: it is replaced all the same.
        return None
    return (found[0], dict(names)) if found else None


@contextmanager
def opened(database: Path, writing_to: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read a published database, as `engine.open_database` does. Raises `DatabaseUnreadable` if that cannot be."""
    import duckdb

    try:
        with engine.open_database(database, writing_to) as connection:
            yield connection
    except duckdb.Error:
        # What fails for another reason, such as a full disk, is not the fault of the database.
        if is_readable(database):
            raise
        raise DatabaseUnreadable(
            f"{database} cannot be read: it is damaged, no database, or open in a program that writes to it. The next "
            "sigma-impressions run publishes it again; if that finds it up to date, sigma-impressions maintain "
            "--verify removes it first"
        ) from None


def is_readable(database: Path) -> bool:
    """Whether a published database can be read to its last row; DuckDB compares what it reads with its checksums."""
    import duckdb

    try:
        with engine.open_database(database) as connection:
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                connection.execute(f"SELECT bit_xor(hash(row)) FROM {name} AS row").fetchall()
    except duckdb.Error:
        return False
    return True


def missing_database(where: str) -> str:
    """What to tell somebody who asks for the database before one is published."""
    return f"There is no {where} yet. sigma-impressions run publishes it."


def nothing_published(storage: Storage) -> str:
    """What to tell somebody who asks for what a storage location does not hold yet."""
    missing, earlier = missing_database(storage.uri(DATABASE_NAME)), storage.local / DATABASE_NAME
    if not earlier.exists():
        return missing
    return f"{missing} What an earlier version has put into {earlier} stays until then."


def top_workbooks(database: Path, most: int = 5) -> pl.DataFrame:
    """The workbooks with the most impressions of 30 days, those of their elements included."""
    with opened(database) as connection:
        return QUERIES.frame(connection, "top_workbooks", most=most)


def publication_figures(database: Path) -> dict[str, Any]:
    """The day that a published database is stated as of, and how much it holds of resources, users and impressions."""
    with opened(database) as connection:
        return QUERIES.frame(connection, "publication_figures").row(0, named=True)
