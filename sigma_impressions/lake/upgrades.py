"""The way up from an older schema version of the tables: one step per version, in order.

A table is upgraded when it is opened. Columns that were added need no step: they are added to the table as
nullable ones, and old rows have no value in them. Write a step where more has to be done. It gets the opened
table, commits what it changes, and must come to the same end when it is begun again, by this process after a
crash or by another one at the same time: the version is recorded only after the last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl
from deltalake import DeltaTable, Schema

Step = Callable[[DeltaTable], None]

STEPS: Mapping[int, Mapping[str, Step]] = {}
"""What leads from a version to the next one, by the version it starts from and the table's name."""


def upgrade(handle: DeltaTable, name: str, schema: pl.Schema, found: int, wanted: int) -> None:
    """Bring a table of version `found` to `wanted`, whose columns are `schema`; conflicts raise `CommitFailedError`."""
    held = {field.name for field in handle.schema().fields}
    missing = [field for field in Schema.from_arrow(schema).fields if field.name not in held]
    if missing:
        handle.alter.add_columns(missing)
    for version in range(found, wanted):
        if step := STEPS.get(version, {}).get(name):
            step(handle)
