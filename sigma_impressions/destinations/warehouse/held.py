"""What a warehouse holds, by its registry: for people who look at it from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from sigma_impressions.destinations.warehouse.days import Part
from sigma_impressions.destinations.warehouse.loader import Loaded


class HeldTable(NamedTuple):
    """A table of the warehouse: how many rows were loaded, of which days; of none, if it holds the present state."""

    table: str
    rows: int
    days: int | None
    first: date | None
    last: date | None


def held_tables(loaded: Mapping[Part, Loaded]) -> list[HeldTable]:
    """The tables that were loaded, by their names."""
    found = []
    for name in sorted({part.table for part in loaded}):
        of_table = {part.day: of_part.rows for part, of_part in loaded.items() if part.table == name}
        days = sorted(day for day in of_table if day is not None)
        first, last = (days[0], days[-1]) if days else (None, None)
        found.append(HeldTable(name, sum(of_table.values()), len(days) or None, first, last))
    return found


def in_words(held: Iterable[HeldTable]) -> str:
    """The tables in a clause: `17 tables with 1,234 rows, of days from 2026-09-18 to 2026-11-26`."""
    tables = list(held)
    if not tables:
        return "nothing was sent there yet"
    days = [day for table in tables for day in (table.first, table.last) if day is not None]
    period = f", of days from {min(days)} to {max(days)}" if days else ""
    return f"{len(tables)} tables with {sum(table.rows for table in tables):,} rows{period}"
