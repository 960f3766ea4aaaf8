"""Bring a warehouse up to date: send the days that it has not, or not as they are now, and register them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Final

import polars as pl

from sigma_impressions.destinations.warehouse.changes import (
    ChangedRows,
    changed_rows,
    refuse_changes,
    refuse_company,
    storage_id,
)
from sigma_impressions.destinations.warehouse.days import Part, wanted_parts
from sigma_impressions.destinations.warehouse.held import HeldTable, held_tables
from sigma_impressions.destinations.warehouse.loader import Loaded, Loader, Warehouse, opened_loader
from sigma_impressions.destinations.warehouse.rows import Rows
from sigma_impressions.destinations.warehouse.tables import AS_OF_DATE, BUILT, EVENT_DATE, TABLES, WarehouseTable
from sigma_impressions.insights.thresholds import DEFAULT_RULES, InsightRules
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.inventory import naming_damage, require_intact
from sigma_impressions.lake.schemas import AS_OF_DATES, EVENT_DATES
from sigma_impressions.lake.scratch import locked, scratch_folder
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, retry_conflicts
from sigma_impressions.publish.contents import AllContents
from sigma_impressions.publish.database import newest_as_of

_DAYS_AT_ONCE: Final = 10
_ROWS_AT_ONCE: Final = 1_000_000
"""Days, and about so many rows of the metric tables, that one load of dlt brings: each takes a second or two before
it has sent anything, and what it has sent counts when it is done."""


@dataclass(frozen=True)
class Asked:
    """What is asked for: tables by their names, the days of a period, and whether also those are sent that are there.

    Without a period all days are brought up to date, and what only holds the present state.
    """

    tables: Collection[str] = tuple(TABLES)
    first: date | None = None
    last: date | None = None
    resend: bool = False

    def has(self, part: Part) -> bool:
        """Whether a part is asked for."""
        if part.table not in self.tables:
            return False
        if part.day is None:
            return self.first is None and self.last is None
        return (self.first or part.day) <= part.day <= (self.last or part.day)


@dataclass
class Exported:
    """What was sent as of the newest as-of date: rows and days of each table, parts that are gone, what others have
    changed in the warehouse, and what it holds now."""

    as_of: date
    rows: Counter[str] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    deleted: int = 0
    unchanged: int = 0
    changed: list[ChangedRows] = field(default_factory=list)
    held: list[HeldTable] = field(default_factory=list)

    def __str__(self) -> str:
        sent = f"{self.rows.total():,} rows sent" if self.rows or self.days else "nothing to send"
        gone = f", {self.deleted:,} days deleted that are no more" if self.deleted else ""
        return f"As of {self.as_of}: {sent}; {self.unchanged:,} days of tables were there already{gone}"


def export_to_warehouse(
    tables: Tables,
    warehouse: Warehouse,
    report: Callable[[str], None],
    *,
    asked: Asked = Asked(),
    limits: Limits = DEFAULT_LIMITS,
    rules: InsightRules = DEFAULT_RULES,
    with_members: bool = True,
) -> Exported:
    """Send what the warehouse does not have as it is now, newest days first, and register it.

    Interrupted, it goes on where it was. Raises `WarehouseError` if the warehouse does not take it, `WarehouseChanged`
    if others have changed its tables, `NothingComputed` if there is no as-of date yet.
    """
    newest = newest_as_of(tables, datetime.now(UTC).date())
    tables.root.mkdir(parents=True, exist_ok=True)
    # One at a time, so that what the registry says is what the tables hold.
    with locked(tables.root / ".warehouse.lock"):
        require_intact(tables)
        exported = Exported(newest)
        with naming_damage(tables):
            retry_conflicts(
                lambda: _Export(tables, warehouse, report, asked, limits, exported).run(rules, with_members)
            )
    return exported


@dataclass(frozen=True)
class _Export:
    tables: Tables
    warehouse: Warehouse
    report: Callable[[str], None]
    asked: Asked
    limits: Limits
    exported: Exported

    def run(self, rules: InsightRules, with_members: bool) -> None:
        """Compare, delete what is gone, and send what is stale, some days at once."""
        contents = AllContents(self.tables, rules, with_members=with_members)
        today = datetime.now(UTC).date()
        with (
            scratch_folder(self.tables.root / WORK_FOLDER) as scratch,
            opened_loader(self.warehouse, scratch / "dlt") as loader,
        ):
            loaded = loader.loaded()
            refuse_changes(loader, str(self.warehouse), loaded, storage_id(self.tables))
            wanted = wanted_parts(self.tables, contents, today)
            self._report_others(loaded)
            loaded = self._without_gone(loader, loaded)
            there = {part for part, of_part in loaded.items() if of_part.fingerprint == wanted.get(part)}
            asked = {part for part in wanted if self.asked.has(part)}
            stale = asked if self.asked.resend else asked - there
            self.exported.unchanged = len(asked) - len(stale)
            self._report_changed(loader, {part: loaded[part] for part in asked & there - stale})
            rows = Rows(self.tables, contents, contents.as_of(self.exported.as_of), scratch, self.limits)
            self._send(loader, rows, {part: wanted[part] for part in stale}, loaded)
            self.exported.held = held_tables(loader.loaded())

    def _send(self, loader: Loader, rows: Rows, stale: Mapping[Part, str], loaded: Mapping[Part, Loaded]) -> None:
        days = sorted({part.day for part in stale if part.day}, reverse=True)
        stored = storage_id(self.tables) or ""
        sent, own, known = 0, set[Part](), dict(loaded)
        for chunk in _chunks(self.tables, days) if days else [[]] if stale else []:
            parts: defaultdict[WarehouseTable, list[date]] = defaultdict(list)
            # What holds the present state goes first.
            named = [part for part in stale if part.day in chunk or (part.day is None and not sent)]
            for part in named:
                parts[TABLES[part.table]] += [part.day] if part.day else []
            loader.unregister([part for part in named if part in loaded])
            counted = self._send_days(loader, rows, parts)
            registered = {part: Loaded(stale[part], counted[part], stored) for part in named}
            loader.register(registered, datetime.now(UTC))
            known |= registered
            own |= registered.keys()
            refuse_company(loader, str(self.warehouse), known, own)
            sent += len(chunk)
            period = f"{chunk[-1]} to {chunk[0]}, {sent:,} of {len(days):,} days" if chunk else "the present state"
            self.report(f"{self.warehouse}: {counted.total():,} rows of {period}")

    def _send_days(self, loader: Loader, rows: Rows, parts: Mapping[WarehouseTable, list[date]]) -> Counter[Part]:
        rows.prepare({day for table in BUILT for day in parts.get(table, ())})
        try:
            counted = loader.load({table: partial(rows.of, table, days) for table, days in parts.items()})
        finally:
            rows.forget()
        for table, days in parts.items():
            loader.delete(table, [day for day in days if not counted[Part(table.name, day)]])
            self.exported.days[table.name] += len(days)
        for part, count in counted.items():
            self.exported.rows[part.table] += count
        return counted

    def _without_gone(self, loader: Loader, loaded: Mapping[Part, Loaded]) -> dict[Part, Loaded]:
        """What is left when the days are deleted that the storage has no more, as those that a wrong clock had left.

        One that is just being built anew, or was cut off meanwhile, is registered and stays.
        """
        here = {
            day: set(self.tables.registry(registry)[day])
            for registry, day in ((AS_OF_DATES, AS_OF_DATE), (EVENT_DATES, EVENT_DATE))
        }
        gone: defaultdict[WarehouseTable, list[date]] = defaultdict(list)
        for part in loaded:
            table = TABLES[part.table]
            if table.day is not None and part.day is not None and part.day not in here[table.day]:
                gone[table].append(part.day)
        for table, days in gone.items():
            loader.unregister([Part(table.name, day) for day in days])
            loader.delete(table, days)
            self.exported.deleted += len(days)
        return {part: of_part for part, of_part in loaded.items() if part.day not in gone.get(TABLES[part.table], ())}

    def _report_others(self, loaded: Mapping[Part, Loaded]) -> None:
        if left := sorted({part.table for part in loaded} - set(self.asked.tables)):
            self.report(f"{self.warehouse}: not sent any more, and as they were: {', '.join(left)}; drop them there")

    def _report_changed(self, loader: Loader, there: Mapping[Part, Loaded]) -> None:
        self.exported.changed = changed_rows(loader, there)
        if self.exported.changed:
            more = f", and {len(self.exported.changed) - 1:,} more" if len(self.exported.changed) > 1 else ""
            self.report(
                f"{self.warehouse}: others have changed rows, which stay as they are: {self.exported.changed[0]}{more}."
                " sigma-impressions export warehouse --resend sends them again"
            )


def _chunks(tables: Tables, days: list[date]) -> Iterator[list[date]]:
    """The days in their order, in groups that are sent together."""
    counts = tables.registry(AS_OF_DATES).select(
        "as_of_date", rows=pl.sum_horizontal("resource_rows", "user_rows", "unmatched_rows")
    )
    rows_of = dict(counts.iter_rows())
    chunk: list[date] = []
    rows = 0
    for day in days:
        of_day = rows_of.get(day) or 0
        if chunk and (len(chunk) == _DAYS_AT_ONCE or rows + of_day > _ROWS_AT_ONCE):
            yield chunk
            chunk, rows = [], 0
        chunk.append(day)
        rows += of_day
    if chunk:
        yield chunk
