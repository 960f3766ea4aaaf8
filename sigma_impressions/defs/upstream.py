"""The asset `sigma_resources`, materialized here or by another code location, and what follows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
import polars as pl

from sigma_impressions.clock import refuse_behind
from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import definition_metadata, location, preview
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.resource_checks import RESOURCE_CHECKS, elements_are_read, resource_age, resource_shrinkage
from sigma_impressions.defs.runs import TRIGGER_TAG, range_tags
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.errors import ObjectGone
from sigma_impressions.exports.source import refuse_other_source
from sigma_impressions.lake.schemas import RESOURCE_SNAPSHOTS, SIGMA_RESOURCES
from sigma_impressions.settings.declared import Settings
from sigma_impressions.upkeep.edit_users import refuse_stored_addresses
from sigma_impressions.upkeep.future import left_in_future
from sigma_impressions.upstream.contract import counted
from sigma_impressions.upstream.discovery import Discovered, discover_resources
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions.users import pseudonymous_rows
from sigma_impressions.wiring import (
    listed,
    pseudonyms,
    resources_bucket,
    resources_location,
    resources_modified,
    sigma_credentials,
    source,
)

_DESCRIPTION = (
    "Workbooks, data models and elements that the upstream Sigma integration discovered; impressions are attached to "
    "them. Read by every run; a new snapshot is kept when something changed. If it fails: the message names the "
    "rows that break the contract, or the endpoint of Sigma's API, and the last snapshot stays in use."
)
_DESCRIPTION_OF_SNAPSHOTS = (
    "Snapshots of sigma_resources, which another code location emits. Read by every run; a new one is kept when "
    "something changed. If it fails: the message names the rows that break the contract, and the last one stays in use."
)


@dataclass(frozen=True)
class Upstream:
    """The definitions of the upstream side; `snapshot_key` is the asset that the metrics wait for."""

    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec]
    sensors: Sequence[dg.SensorDefinition]
    snapshot_key: dg.AssetKey


def snapshot_key(settings: Settings, names: Names = PLAIN_NAMES) -> dg.AssetKey:
    """The asset that takes the snapshots of the resources."""
    return names.key((RESOURCE_SNAPSHOTS if settings.resources_asset == "external" else SIGMA_RESOURCES).name)


def build_upstream(settings: Settings, job_name: str, names: Names = PLAIN_NAMES) -> Upstream:
    """The asset `sigma_resources`; if it is external, a stub of it, the asset that reads it, and a sensor."""
    key = snapshot_key(settings, names)
    if settings.resources_asset != "external":
        return Upstream([_snapshot_asset(key, [], _DESCRIPTION, names)], [], key)
    resources_key = names.key(SIGMA_RESOURCES.name)
    stub = dg.AssetSpec(resources_key, description="Workbooks and elements; another code location materializes it.")
    taken = _snapshot_asset(key, [resources_key], _DESCRIPTION_OF_SNAPSHOTS, names)
    return Upstream([stub, taken], [_follow(resources_key, job_name, names)], key)


def resources_written(instance: dg.DagsterInstance, settings: Settings, key: dg.AssetKey) -> datetime | None:
    """When the resources were written: the time of their file, else of the last reading; None if there was none.

    `key` is the asset that takes the snapshots.
    """
    try:
        if (written := resources_modified(settings)) is not None:
            return written
    except (FileNotFoundError, ObjectGone):
        pass  # A run says it, as an error; how old the resources in use are, the last reading tells.
    event = instance.get_latest_materialization_event(key)
    return datetime.fromtimestamp(event.timestamp, UTC) if event else None


def _follow(key: dg.AssetKey, job_name: str, names: Names) -> dg.SensorDefinition:
    @dg.asset_sensor(
        asset_key=key,
        job_name=job_name,
        name=names.name("new_sigma_resources"),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="One run of today after every materialization of sigma_resources by its code location.",
    )
    def new_sigma_resources(_context: dg.SensorEvaluationContext, event: dg.EventLogEntry) -> dg.RunRequest:
        today = datetime.now(UTC).date()
        return dg.RunRequest(
            run_key=f"{event.run_id}/{event.timestamp}",
            tags={**range_tags([today]), TRIGGER_TAG: "new_sigma_resources"},
        )

    return new_sigma_resources


def _snapshot_asset(
    key: dg.AssetKey, deps: Sequence[dg.AssetKey], description: str, names: Names
) -> dg.AssetsDefinition:
    """The asset that reads the resources where the settings say and keeps a snapshot of them."""

    @dg.asset(
        key=key,
        required_resource_keys={names.resource},
        deps=deps,
        kinds={"delta", "polars"},
        metadata=definition_metadata(SIGMA_RESOURCES),
        check_specs=[check.spec(key) for check in RESOURCE_CHECKS],
        description=description,
    )
    def take_snapshot(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            stored = tables_of(context, settings)
            refuse_other_source(stored, source(settings))
            began = datetime.now(UTC)
            refuse_behind(left_in_future(stored, began, listed(settings)).written_at, began)
            where, found = _read(settings, log_of(context).info)
            resources, aliases, users = found.resources, found.aliases, pseudonyms(settings)
            unread = pl.Series([workbook.workbook_url_id for workbook in found.unread], dtype=pl.String)
            if users is not None:
                refuse_stored_addresses(stored)
                resources, aliases = pseudonymous_rows(resources, users), pseudonymous_rows(aliases, users)
                unread = users.in_ids(unread)
            now = datetime.now(UTC)
            written = resources_modified(settings) or now
            snapshot = capture_snapshot(
                stored,
                resources,
                where,
                now,
                aliases=aliases,
                unread=unread.to_list(),
                unlisted=found.unlisted,
            )
            snapshots = stored.read(RESOURCE_SNAPSHOTS).collect()
        changed = "a new snapshot" if snapshot.is_new else "unchanged"
        log_of(context).info(f"{where}: {counted(resources)}, {changed}")
        for note in found.notes:
            log_of(context).warning(note)
        shown = preview(resources.select("resource_type", "workbook_url_id", "element_id", "name", "path"))
        return dg.MaterializeResult(
            metadata={
                "workbooks": snapshot.workbooks,
                "elements": snapshot.elements,
                "vanished": snapshot.vanished,
                "tagged_version_ids": found.aliases.height,
                "snapshot_id": snapshot.snapshot_id,
                "is_new": snapshot.is_new,
                "read_from": where,
                "requests": found.traffic.requests,
                "retries": found.traffic.retries,
                "preview": shown,
                "table": location(stored, SIGMA_RESOURCES),
            },
            check_results=[
                elements_are_read(key, found.unread),
                resource_age(key, written, settings.resources_max_age_days, now),
                resource_shrinkage(
                    key,
                    snapshots,
                    (snapshot.workbooks, snapshot.elements),
                    settings.resources_shrinkage_percent,
                    now,
                ),
            ],
        )

    return take_snapshot


def _read(settings: Settings, report: Callable[[str], None]) -> tuple[str, Discovered]:
    """Where the resources were read from, and what was found there."""
    credentials = sigma_credentials(settings)
    if credentials is not None:
        return credentials.base_url, discover_resources(credentials, report, pages=settings.pages)
    where = resources_location(settings)
    return where, Discovered(read_snapshot(where, resources_bucket(settings)))
