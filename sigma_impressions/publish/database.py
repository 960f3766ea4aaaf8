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

from sigma_impressions import metrics
from sigma_impressions.errors import DatabaseUnreadable, InputsChanged, NothingComputed
from sigma_impressions.exports.manifest import IS_CAPTURED, IS_RECENT
from sigma_impressions.insights.complete_days import last_complete_day
from sigma_impressions.insights.history import History, read_history
from sigma_impressions.insights.insight_tables import create_insights
from sigma_impressions.insights.thresholds import DEFAULT_RULES, InsightRules
from sigma_impressions.lake import engine
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.inventory import naming_damage, require_intact
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    DAILY_TABLES,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    REJECTED_ROWS,
    RESOURCE_HISTORY,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    SNAPSHOT_TABLES,
    UNMATCHED_IMPRESSIONS,
)
from sigma_impressions.lake.scratch import locked, make_read_only, scratch_folder
from sigma_impressions.lake.storage import Storage
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.metrics.fingerprints import (
    AsOfDate,
    built_as_of_dates,
    built_event_dates,
    expected_as_of_dates,
)
from sigma_impressions.metrics.grouping import Grouped
from sigma_impressions.metrics.handover import Inputs, taken
from sigma_impressions.publish import QUERIES
from sigma_impressions.publish.compact import create_compact
from sigma_impressions.publish.daily_users import create_daily_users
from sigma_impressions.publish.resource_users import create_resource_users
from sigma_impressions.upstream.members_stored import member_snapshot, members_of
from sigma_impressions.windows import window

if TYPE_CHECKING:
    import duckdb

DATABASE_NAME = "sigma_impressions.duckdb"

OLDEST_CLIENT = "1.2.0"
"""The oldest version of DuckDB that opens the published database: many drivers and BI tools bring one of their own."""

OWNER_READS, GROUP_READS = 0o400, 0o440
"""The modes that the published database may have."""

PUBLICATION_VERSION = 7
"""Raised when the database shows the same inputs in another way, so that it is made anew."""


_ROW_GROUP = 16_384
"""Rows that one thread compresses and writes: with DuckDB's usual 122,880 the resources of a large company, each with
its users, would all be one thread's work, at the end."""


@dataclass(frozen=True)
class Published:
    """The database that is in place; `is_new` is false if it already held just this result."""

    path: Path
    as_of: date
    is_new: bool
    tables: dict[str, int]


@dataclass(frozen=True)
class _Contents:
    """What a database is to hold: an as-of date, what its metrics are built from, what was before, and the rules.

    `registry` is that of the export files, `event_dates` that of the event dates.
    """

    as_of: date
    inputs: AsOfDate
    history: History
    rules: InsightRules
    registry: pl.DataFrame
    event_dates: pl.DataFrame
    edition: str
    member_snapshot: str | None

    @property
    def made_from(self) -> str:
        """A text that differs where anything that the database shows differs."""
        files = self.registry.select(pl.concat_str("file_id", "capture_id", "status", ignore_nulls=True))
        more = [text for text in (self.edition, self.member_snapshot) if text]
        parts = [PUBLICATION_VERSION, self.rules, self.history.fingerprint, *more, *files.to_series().sort()]
        return f"{self.inputs.fingerprint} {digest(parts)}"


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
        built, daily = built_as_of_dates(tables), built_event_dates(tables)
        expected = expected_as_of_dates(tables, {chosen, *built}, daily)
        if built.get(chosen) != expected[chosen].fingerprint:
            raise InputsChanged(f"The metrics as of {chosen} are not up to date.")
        # The edition first: an edit in between is published now, and once more by the next run.
        edition = tables.edition()
        registry = tables.read(EXPORT_FILES).collect()
        contents = _Contents(
            chosen,
            expected[chosen],
            History.before(chosen, last_complete_day(registry, chosen), daily, built, expected),
            rules,
            registry,
            tables.registry(EVENT_DATES),
            edition,
            member_snapshot(tables, chosen) if with_members else None,
        )
        # Also where it is not needed: it would stay in memory.
        grouped = taken(Inputs.of(tables, edition, chosen, contents.inputs.fingerprint))
        existing = _existing(target) if replaced is not None else None
        if existing is not None and existing[0] == (chosen, contents.made_from):
            make_read_only(target, mode)
            return Published(target, chosen, False, existing[1])
        require_intact(tables)
        with naming_damage(tables), scratch_folder(tables.root / WORK_FOLDER) as scratch:
            with engine.folder_for_databases(scratch) as folder:
                counts = _build(tables, contents, grouped, folder, limits)
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


def _build(
    tables: Tables, contents: _Contents, grouped: Grouped | None, scratch: Path, limits: Limits
) -> dict[str, int]:
    as_of, wanted = contents.as_of, contents.inputs
    handles = {table.name: tables.newest(table) for table in (*METRIC_TABLES, *DAILY_TABLES)}
    with engine.connect(scratch, limits) as connection:
        connection.execute(
            f"ATTACH {engine.quoted(str(scratch / DATABASE_NAME))} AS published "
            f"(ROW_GROUP_SIZE {_ROW_GROUP}, STORAGE_VERSION 'v{OLDEST_CLIENT}')"
        )
        # One transaction: each commit would write the file's contents once more.
        connection.begin()
        read_history(connection, handles, contents.history)
        for table in METRIC_TABLES:
            stated = {as_of: wanted.fingerprint}
            engine.view_days(connection, handles[table.name], "as_of_date", stated, may_lack_rows=True)
            if table is UNMATCHED_IMPRESSIONS:
                _create(connection, table.name, f"SELECT * EXCLUDE (fingerprint) FROM {table.name}")
        for table in DAILY_TABLES:
            engine.view_days(connection, handles[table.name], "event_date", wanted.event_dates)
        for table in SNAPSHOT_TABLES:
            engine.view(connection, tables.newest(table), "snapshot_id", [wanted.snapshot_id])
        for table in (SIGMA_RESOURCES, RESOURCE_HISTORY):
            ordered = f"{table.name} ORDER BY resource_type, workbook_url_id, element_id NULLS FIRST"
            _create(connection, table.name, f"SELECT * EXCLUDE (snapshot_id) FROM {ordered}")
        connection.execute("CREATE TEMP VIEW resources AS FROM published.sigma_resources")
        create_resource_users(connection, as_of, grouped)
        QUERIES.execute(connection, "exported_and_earlier_ids")
        metrics.QUERIES.execute(connection, "resource_ids", "resource_numbers")
        create_compact(connection, "daily_impressions")
        create_daily_users(connection, as_of)
        files = _export_files(contents.registry, as_of)
        connection.register("files", files.to_arrow())
        ordered = "files ORDER BY file_date, key, captured_at"
        _create(connection, EXPORT_FILES.name, f"SELECT * EXCLUDE (capture_id) FROM {ordered}")
        engine.view(connection, tables.newest(REJECTED_ROWS), "file_date", files["file_date"].unique())
        QUERIES.execute(connection, "published_rejected_rows")
        connection.register("known_members", members_of(tables, contents.member_snapshot).to_arrow())
        _create(connection, SIGMA_MEMBERS.name, "SELECT * FROM known_members ORDER BY member_id")
        connection.execute("CREATE TEMP VIEW members AS FROM published.sigma_members")
        create_insights(connection, contents.history, contents.registry, contents.event_dates, contents.rules)
        connection.execute(
            "CREATE TABLE published.publication AS "
            "SELECT $as_of::DATE AS as_of_date, $now::TIMESTAMPTZ AS published_at, $made_from AS made_from, "
            "$captured_files::BIGINT AS captured_files",
            {
                "as_of": as_of,
                "now": datetime.now(UTC),
                "made_from": contents.made_from,
                "captured_files": contents.registry.filter(IS_CAPTURED).height,
            },
        )
        connection.commit()
        counts = connection.execute(
            "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = 'published'"
        ).fetchall()
        connection.execute("DETACH published")
    return dict(counts)


def _create(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    connection.execute(f"CREATE TABLE published.{name} AS {select}")


def _export_files(registry: pl.DataFrame, as_of: date) -> pl.DataFrame:
    """Captured files of the 60 file dates up to the newest captured one, and those with rows in the window."""
    days = window(as_of)
    return registry.filter(IS_RECENT | pl.col("event_dates").list.eval(pl.element().is_in(days)).list.any())


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
