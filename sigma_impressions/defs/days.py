"""The days that a run covers, also one that was launched without any, and what it rebuilt beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg

from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import days_of_run, describe_run, range_tags, tag_run
from sigma_impressions.errors import NothingComputed, SettingsError
from sigma_impressions.settings.declared import Settings
from sigma_impressions.windows import nothing_to_scan, scanned_days


def build_days(names: Names = PLAIN_NAMES) -> dg.ResourceDefinition:
    """The resource that every asset with daily partitions needs: it sees to it that their run has days.

    A run that was launched without any covers the last days back, as `sigma-impressions run` does. Once a step has
    begun it is too late: Dagster asks for the days of what it depends on before.
    """

    @dg.resource(
        required_resource_keys={names.resource},
        description=(
            "The days of a run. One that was launched without a partition gets the last days back "
            "(SIGMA_IMPRESSIONS_DAYS_BACK), as `sigma-impressions run` scans them. Nothing to configure."
        ),
    )
    def days(context: dg.InitResourceContext) -> None:
        try:
            settings = names.settings_of(context.resources)
        except SettingsError:
            # The steps say it.
            return
        run, instance = context.run, context.instance
        if run is None or instance is None:
            return
        today = datetime.now(UTC).date()
        scanned = scanned_days(today, settings.days_back, settings.start_date)
        if days_of_run(run.tags) is None and (stored := instance.get_run_by_id(run.run_id)) is not None:
            # A process of its own for each step has the run as it was launched, and an earlier one may have given it
            # its days before midnight.
            wanted = dict(stored.tags) if days_of_run(stored.tags) else range_tags(scanned) if scanned else {}
            tag_run(instance, run, wanted)
        describe_run(instance, run, str(settings.bucket_uri))

    return days


def days_of(context: dg.AssetExecutionContext, settings: Settings) -> list[date]:
    """The days of the run, oldest first; one or, in a range run, several. Raises `NothingComputed` if it has none."""
    if days_of_run(context.run.tags) is None:
        raise NothingComputed(nothing_to_scan(settings.start_date))
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
