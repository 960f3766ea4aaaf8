"""Snapshots of what lies outside: which one is in use on a day, and how a new one is kept, its registry row last."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from sigma_impressions.clock import latest
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import Table
from sigma_impressions.lake.tables import StoredTable, Tables, scan

Taken = Sequence[tuple[datetime, str]]
"""When each snapshot was taken, and its ID, the oldest first."""


def taken_in_order(registry: pl.DataFrame) -> Taken:
    """The snapshots that a registry names."""
    return list(registry.select("taken_at", "snapshot_id").sort("taken_at").iter_rows())


def snapshot_in_use(as_of: date, taken: Taken) -> str | None:
    """The newest snapshot taken not later than the end of a day, else the oldest one; None if there is none at all."""
    end = datetime.combine(as_of + timedelta(days=1), time.min, UTC)
    return max((snapshot for snapshot in taken if snapshot[0] < end), default=(*taken, (None, None))[0])[1]


def newest_snapshot(registry: StoredTable, now: datetime) -> Mapping[str, Any] | None:
    """The row of the newest snapshot in an opened registry; None if there is none.

    One of the future is of a run whose clock was ahead; it is used for no day before, so that another one is needed.
    """
    known = scan(registry).filter(pl.col("taken_at") <= latest(now)).sort("taken_at").collect()
    return known.row(-1, named=True) if known.height else None


def snapshot_rows(tables: Tables, table: Table, snapshot_id: str) -> pl.DataFrame:
    """What a table holds of a snapshot, without its ID; nothing of a snapshot that does not exist."""
    rows = tables.read(table).filter(pl.col("snapshot_id") == snapshot_id).drop("snapshot_id").collect()
    return rows.cast({name: dtype for name, dtype in table.schema.items() if name in rows.columns})


def keep_snapshot(
    tables: Tables, registry: StoredTable, rows: Mapping[Table, pl.DataFrame], registered: Mapping[str, Any]
) -> str:
    """Store a snapshot and register it, and return its ID.

    `rows` are those of each table, without the ID; `registered` is what the registry, opened before the decision to
    keep one, says of it. Two processes may store the same snapshot at once; either is as good as the other.
    """
    snapshot_id = uuid.uuid4().hex
    for table, of_table in rows.items():
        if of_table.height:
            append_rows(tables.open(table), of_table.with_columns(snapshot_id=pl.lit(snapshot_id)))
    append_rows(registry, pl.DataFrame([{"snapshot_id": snapshot_id, **registered}]))
    return snapshot_id
