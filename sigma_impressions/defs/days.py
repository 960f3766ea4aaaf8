"""The days that a run covers, and materializations of days that it rebuilt beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import dagster as dg


def days_of(context: dg.AssetExecutionContext) -> list[date]:
    """The days of the run, oldest first; one or, in a range run, several."""
    return [date.fromisoformat(key) for key in context.partition_keys]


def note_days(
    context: dg.AssetExecutionContext,
    asset_key: dg.AssetKey,
    partitions: dg.DailyPartitionsDefinition,
    days: Iterable[date],
    metadata: Mapping[date, Mapping[str, Any]],
) -> None:
    """Give each of the days its own metadata: those of the run, and those it rebuilt outside its range.

    Days outside get a materialization event of their own, if they have a partition (a day before the first one
    is stored and counted all the same, and only the tables know it).
    """
    own = set(context.partition_keys)
    first = partitions.get_first_partition_key()
    last = partitions.get_last_partition_key()
    for day in sorted(set(days)):
        key = day.isoformat()
        if key in own:
            context.add_asset_metadata(dict(metadata.get(day, {})), asset_key=asset_key, partition_key=key)
        elif first is not None and last is not None and first <= key <= last:
            context.log_event(dg.AssetMaterialization(asset_key, partition=key, metadata=dict(metadata.get(day, {}))))
