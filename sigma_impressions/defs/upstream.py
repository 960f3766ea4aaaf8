"""The asset `sigma_resources`: what the upstream Sigma integration discovered."""

from collections.abc import Callable
from datetime import UTC, datetime

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.metadata import GROUP, OWNERS, definition_metadata, location, preview, table_of
from sigma_impressions.defs.resources import (
    SigmaSource,
    resources_location,
    sigma_credentials,
    snapshot_storage_options,
    tables,
)
from sigma_impressions.source import Source
from sigma_impressions.tables import SIGMA_RESOURCES
from sigma_impressions.upstream.capture import capture_snapshot
from sigma_impressions.upstream.discovery import Discovered, discover_resources
from sigma_impressions.upstream.snapshot_file import read_snapshot

RESOURCES_KEY = dg.AssetKey(SIGMA_RESOURCES.name)
COMPLETE_CHECK = "elements_are_complete"

_EXAMPLES = 10


def build_upstream_assets() -> list[dg.AssetsDefinition]:
    """The asset `sigma_resources`, read from the snapshot file that the settings name, or from the Sigma REST API."""

    @dg.asset(
        name=SIGMA_RESOURCES.name,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"delta", "polars"},
        metadata=definition_metadata(SIGMA_RESOURCES),
        check_specs=[
            dg.AssetCheckSpec(
                COMPLETE_CHECK,
                asset=RESOURCES_KEY,
                description="Warns when the elements of a workbook could not be read; its last known ones are kept.",
            )
        ],
        description=(
            "Workbooks and elements that the upstream Sigma integration discovered; impressions are attached to them. "
            "Read by every run; a new snapshot is kept when something changed. If it fails: the message names the "
            "rows that break the contract, or the endpoint of Sigma's API, and the last snapshot stays in use."
        ),
    )
    def sigma_resources(context: dg.AssetExecutionContext, source: SigmaSource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = source.source()
            stored = tables(settings)
            where, found = _read(settings, context.log.info)
            snapshot = capture_snapshot(
                stored,
                found.resources,
                where,
                datetime.now(UTC),
                aliases=found.aliases,
                unread=[workbook.workbook_url_id for workbook in found.unread],
            )
        changed = "a new snapshot" if snapshot.is_new else "unchanged"
        context.log.info(f"{where}: {snapshot.workbooks} workbooks, {snapshot.elements} elements, {changed}")
        for note in found.notes:
            context.log.warning(note)
        shown = preview(found.resources.select("resource_type", "workbook_url_id", "element_id", "name", "path"))
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
            check_results=[_complete(found)],
        )

    return [sigma_resources]


def _read(settings: Source, report: Callable[[str], None]) -> tuple[str, Discovered]:
    """Where the resources were read from, and what was found there."""
    credentials = sigma_credentials(settings)
    if credentials is not None:
        return credentials.base_url, discover_resources(credentials, report)
    where = resources_location(settings)
    return where, Discovered(read_snapshot(where, snapshot_storage_options(settings, where)))


def _complete(found: Discovered) -> dg.AssetCheckResult:
    examples = [{"workbook_url_id": one.workbook_url_id, "reason": one.reason} for one in found.unread[:_EXAMPLES]]
    return dg.AssetCheckResult(
        check_name=COMPLETE_CHECK,
        asset_key=RESOURCES_KEY,
        passed=not found.unread,
        severity=dg.AssetCheckSeverity.WARN,
        description=(
            f"The elements of {len(found.unread)} workbooks could not be read, for example: {found.unread[0].reason} "
            "Their last known elements are kept."
            if found.unread
            else None
        ),
        metadata={"unread": len(found.unread), "examples": table_of(examples, ["workbook_url_id", "reason"])},
    )
