"""The rows of a table and some of its days, as they are published: batches of Arrow, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sigma_impressions import insights, metrics, publish
from sigma_impressions.destinations import QUERIES
from sigma_impressions.destinations.warehouse.tables import (
    AS_OF_DATE,
    BUILT,
    DAILY,
    EVENT_DATE,
    MEMBERS,
    NUMBERS,
    PEOPLE,
    WarehouseTable,
)
from sigma_impressions.insights.thresholds import YOUNG_DAYS
from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import Limits
from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    DAILY_TABLES,
    DAILY_TOTALS,
    METRIC_TABLES,
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
    USER_ACTIVITY,
    WORKBOOK_ALIASES,
)
from sigma_impressions.lake.snapshots import taken_in_order
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.fingerprints import closed_event_dates, snapshot_for
from sigma_impressions.publish.build import build
from sigma_impressions.publish.contents import AllContents, Contents
from sigma_impressions.publish.database import copy_if_published
from sigma_impressions.upstream.members_stored import members_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH_ROWS: Final = 50_000
_NESTED: Final = ("STRUCT", "MAP", "UNION")

_BY_NAME: Final = {table.name: table for table in METRIC_TABLES}


@dataclass
class Rows:
    """Reads what goes to a warehouse from the storage; temporary files lie in `scratch`.

    `newest` are the contents of the newest as-of date, whose resources and members are the present ones. Databases of
    as-of dates are built when `prepare` asks for them, and lie there until `forget`.
    """

    tables: Tables
    contents: AllContents
    newest: Contents
    scratch: Path
    limits: Limits
    _built: dict[date, Path] = field(default_factory=dict)

    def prepare(self, days: Collection[date]) -> None:
        """Build the databases of as-of dates whose tables of `BUILT` are to be read."""
        for day in days:
            stated, file = self.contents.as_of(day), self.scratch / f"{day}.duckdb"
            # The newest one has just been built, as a rule.
            if not copy_if_published(self.tables.storage, stated, file):
                build(self.tables, stated, None, file, self.limits)
            self._built[day] = file

    def forget(self) -> None:
        """Remove the databases that were built."""
        for file in self._built.values():
            file.unlink()
        self._built.clear()

    def of(self, table: WarehouseTable, days: Collection[date]) -> Iterator[pa.Table]:
        """The rows of a table of these days, or all that it has without a day; the first batch has only columns.

        Raises `InputsChanged` if another process rebuilds one of them meanwhile.
        """
        read: Mapping[tuple[WarehouseTable, ...], Callable[[str, list[date]], Iterator[pa.Table]]] = {
            NUMBERS: self._numbers,
            PEOPLE: self._people,
            BUILT: self._of_databases,
            DAILY: self._daily,
            MEMBERS: self._members,
        }
        for group, rows in read.items():
            if table in group:
                return rows(table.name, sorted(days))
        return self._resources()

    def _numbers(self, name: str, days: list[date]) -> Iterator[pa.Table]:
        stated = {day: self.contents.as_of(day).inputs.fingerprint for day in days}
        with engine.connect(self.scratch, self.limits) as connection:
            handle = self.tables.newest(_BY_NAME[name])
            engine.view_days(connection, handle, AS_OF_DATE, stated, may_lack_rows=True)
            yield from _batches(connection, f"SELECT * EXCLUDE (fingerprint) FROM {name}")

    def _people(self, _name: str, days: list[date]) -> Iterator[pa.Table]:
        handle = self.tables.newest(USER_ACTIVITY)
        for day in days:
            stated = self.contents.as_of(day)
            with engine.connect(self.scratch, self.limits) as connection:
                connection.execute("ATTACH ':memory:' AS published")
                of_day = {day: stated.inputs.fingerprint}
                engine.view_days(connection, handle, AS_OF_DATE, of_day, may_lack_rows=True)
                connection.register("members", members_of(self.tables, stated.member_snapshot).to_arrow())
                queries = ("stated_members", "people", "published_user_activity")
                insights.QUERIES.execute(connection, *queries, as_of=day, young_days=YOUNG_DAYS)
                yield from _batches(connection, "FROM published.user_activity")

    def _of_databases(self, name: str, days: list[date]) -> Iterator[pa.Table]:
        with engine.connect(self.scratch, self.limits) as connection:
            for day in days:
                connection.execute(f"ATTACH {engine.quoted(str(self._built[day]))} AS built (READ_ONLY)")
                described = connection.execute(f"DESCRIBE built.{name}").fetchall()
                stated = "" if AS_OF_DATE in next(zip(*described, strict=True)) else f"DATE '{day}' AS {AS_OF_DATE}, "
                yield from _batches(connection, f"SELECT {stated}* FROM built.{name}")
                connection.execute("DETACH built")

    def _daily(self, _name: str, days: list[date]) -> Iterator[pa.Table]:
        taken = taken_in_order(self.tables.registry(RESOURCE_SNAPSHOTS))
        dropped = closed_event_dates(self.tables)

        def kind(day: date) -> tuple[str, bool]:
            return snapshot_for(day, taken), day in dropped

        for (snapshot_id, is_dropped), group in groupby(sorted(days, key=kind), key=kind):
            stated = {day: self.contents.event_dates[day] for day in group}
            with engine.connect(self.scratch, self.limits) as connection:
                for table in (DAILY_TOTALS,) if is_dropped else DAILY_TABLES:
                    may_lack = table is DAILY_IMPRESSIONS
                    engine.view_days(connection, self.tables.newest(table), EVENT_DATE, stated, may_lack_rows=may_lack)
                for table in (SIGMA_RESOURCES, WORKBOOK_ALIASES):
                    engine.view(connection, self.tables.newest(table), "snapshot_id", [snapshot_id])
                connection.execute("CREATE TEMP VIEW resources AS FROM sigma_resources")
                metrics.QUERIES.execute(connection, "exported_ids", "resource_ids", "resource_numbers")
                query = (
                    QUERIES.query("dropped_daily_impressions")
                    if is_dropped
                    else publish.QUERIES.query("published_daily_impressions")
                )
                yield from _batches(connection, query.text)

    def _resources(self) -> Iterator[pa.Table]:
        with engine.connect(self.scratch, self.limits) as connection:
            handle = self.tables.newest(SIGMA_RESOURCES)
            engine.view(connection, handle, "snapshot_id", [self.newest.inputs.snapshot_id])
            yield from _batches(connection, "SELECT * EXCLUDE (snapshot_id) FROM sigma_resources")

    def _members(self, name: str, _days: list[date]) -> Iterator[pa.Table]:
        with engine.connect(self.scratch, self.limits) as connection:
            connection.register("sigma_members", members_of(self.tables, self.newest.member_snapshot).to_arrow())
            query = "SELECT member_id, user_email, unnest(teams) AS team FROM sigma_members"
            yield from _batches(connection, query if name == "member_teams" else "FROM sigma_members")


def _batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """The rows of a query without its lists. Some databases take no text with a NUL; there it becomes U+FFFD."""
    import pyarrow as pa

    described = connection.execute(f"DESCRIBE {query}").fetchall()
    columns = [
        f"replace({name}, chr(0), chr(65533)) AS {name}" if kind == "VARCHAR" else name
        for name, kind, *_ in described
        if not kind.endswith("]") and not kind.startswith(_NESTED)
    ]
    reader = connection.sql(f"SELECT {', '.join(columns)} FROM ({query})").to_arrow_reader(_BATCH_ROWS)
    yield pa.Table.from_batches([], schema=reader.schema)
    for batch in reader:
        yield pa.Table.from_batches([batch])
