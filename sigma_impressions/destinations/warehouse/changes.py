"""What others have changed in the warehouse: it is told, and nothing is written over it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from sigma_impressions.destinations.warehouse.days import Part
from sigma_impressions.destinations.warehouse.loader import Loaded, Loader
from sigma_impressions.destinations.warehouse.tables import REGISTRY, TABLES
from sigma_impressions.errors import WarehouseChanged, WarehouseError
from sigma_impressions.lake.schemas import AS_OF_DATES
from sigma_impressions.lake.tables import Tables


class ChangedRows(NamedTuple):
    """A part that has another number of rows than were loaded."""

    part: Part
    loaded: int
    found: int

    def __str__(self) -> str:
        of_day = f" of {self.part.day}" if self.part.day else ""
        return f"{self.part.table}{of_day} has {self.found:,} rows, {self.loaded:,} were loaded"


def storage_id(tables: Tables) -> str | None:
    """What tells this storage location from all others, wherever it is moved; None before the first run."""
    as_of_dates = tables.as_it_is(AS_OF_DATES)
    return None if as_of_dates is None else str(as_of_dates.metadata().id)


def refuse_changes(loader: Loader, shown: str, loaded: Mapping[Part, Loaded], stored: str | None) -> None:
    """Raise `WarehouseChanged` if tables are not as they were loaded, or hold the results of another storage than the
    one whose ID is `stored`."""
    if any(part.storage_id != stored for part in loaded.values()):
        raise WarehouseChanged(
            f"{shown} holds the results of another storage location, and nothing was written. Give this one a dataset "
            f"of its own (SIGMA_IMPRESSIONS_WAREHOUSE_DATASET). If this storage has taken the place of the other one, "
            f"empty the table {REGISTRY}: days that this one has are replaced then, and those that it lacks stay"
        )
    if found := list(_changed_columns(loader, {part.table for part in loaded})):
        raise WarehouseChanged(
            f"{shown}: others have changed what was loaded, and nothing was written: {'; '.join(found)}. Put it back, "
            "and have columns of your own in a view. Or drop the table and what the registry says of it (DELETE FROM "
            f"{REGISTRY} WHERE table_name = ...): then it is loaded anew"
        )


def refuse_company(loader: Loader, shown: str, known: Mapping[Part, Loaded], own: Collection[Part]) -> None:
    """Raise `WarehouseError` if another export was at work meanwhile, as the registry tells: it is not as is `known`.

    Both have loaded by way of the same tables, so that each may have replaced days by what the other one was about to
    load: what both have loaded since, `own` and foreign, is taken out of the registry. Looked at when the own parts
    stand there: then at least one of the two sees the other one.
    """
    found = loader.loaded()
    foreign = {part for part in known.keys() | found.keys() if known.get(part) != found.get(part)}
    if foreign:
        loader.unregister(foreign.union(own))
        raise WarehouseError(
            f"{shown}: another export was at work there at the same time. What both have loaded since then counts as "
            "missing; run it again when the other one has ended"
        )


def _changed_columns(loader: Loader, registered: set[str]) -> Iterator[str]:
    known, found = loader.columns()
    for name in (*TABLES, REGISTRY):
        wanted, there = known.get(name, frozenset()), found.get(name, frozenset())
        if there and not wanted:
            yield f"there is a table {name} that was not loaded by this"
        elif wanted and not there:
            if name in registered:
                yield f"the table {name} is gone"
        else:
            yield from (f"{name} has no column {column} any more" for column in sorted(wanted - there))
            yield from (f"{name} has another column, {column}" for column in sorted(there - wanted))


def changed_rows(loader: Loader, loaded: Mapping[Part, Loaded]) -> list[ChangedRows]:
    """The parts that have more or fewer rows than were loaded, by table and day."""
    counts: dict[str, dict[date | None, int]] = {}
    changed = []
    for part, of_part in sorted(loaded.items(), key=lambda item: (item[0].table, str(item[0].day))):
        if part.table not in counts:
            counts[part.table] = loader.counts(TABLES[part.table])
        found = counts[part.table].get(part.day, 0)
        if found != of_part.rows:
            changed.append(ChangedRows(part, of_part.rows, found))
    return changed
