"""The asset `sigma_resources`: what the upstream Sigma integration discovered."""

from datetime import UTC, datetime

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.metadata import GROUP, OWNERS, definition_metadata, location, preview
from sigma_impressions.defs.resources import SigmaSource, resources_location, snapshot_storage_options, tables
from sigma_impressions.tables import SIGMA_RESOURCES
from sigma_impressions.upstream.capture import capture_snapshot
from sigma_impressions.upstream.snapshot_file import read_snapshot

RESOURCES_KEY = dg.AssetKey(SIGMA_RESOURCES.name)


def build_upstream_assets() -> list[dg.AssetsDefinition]:
    """The asset `sigma_resources`, read from the snapshot file that the settings name."""

    @dg.asset(
        name=SIGMA_RESOURCES.name,
        group_name=GROUP,
        owners=OWNERS,
        kinds={"delta", "polars"},
        metadata=definition_metadata(SIGMA_RESOURCES),
        description=(
            "Workbooks and elements that the upstream Sigma integration discovered; impressions are attached to them. "
            "Read by every run; a new snapshot is kept when something changed. If it fails: the message names the "
            "rows that break the contract, and the last snapshot stays in use."
        ),
    )
    def sigma_resources(context: dg.AssetExecutionContext, source: SigmaSource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = source.source()
            stored, where = tables(settings), resources_location(settings)
            resources = read_snapshot(where, snapshot_storage_options(settings, where))
            snapshot = capture_snapshot(stored, resources, where, datetime.now(UTC))
        changed = "a new snapshot" if snapshot.is_new else "unchanged"
        context.log.info(f"{where}: {snapshot.workbooks} workbooks, {snapshot.elements} elements, {changed}")
        return dg.MaterializeResult(
            metadata={
                "workbooks": snapshot.workbooks,
                "elements": snapshot.elements,
                "snapshot_id": snapshot.snapshot_id,
                "is_new": snapshot.is_new,
                "read_from": where,
                "preview": preview(resources.select("resource_type", "workbook_url_id", "element_id", "name", "path")),
                "table": location(stored, SIGMA_RESOURCES),
            },
        )

    return [sigma_resources]
