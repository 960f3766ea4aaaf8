"""The asset `storage_maintenance`: what was done to keep the tables small, and what it freed."""

from dataclasses import asdict
from datetime import timedelta

import dagster as dg
from pydantic import Field

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.metadata import GROUP, OWNERS, table_of
from sigma_impressions.defs.resources import SigmaSource, tables
from sigma_impressions.maintenance import maintain
from sigma_impressions.source import DEFAULT_KEEP_DAYS

MAINTENANCE_KEY = dg.AssetKey("storage_maintenance")
MAINTENANCE_JOB_NAME = "maintenance"


class MaintenanceOptions(dg.Config):
    """Options of one maintenance."""

    keep_days: int = Field(
        default=DEFAULT_KEEP_DAYS,
        ge=1,
        description="Days for which older versions of the tables, and what nothing refers to, are kept.",
    )


def build_maintenance_assets() -> list[dg.AssetsDefinition]:
    """The asset `storage_maintenance`, in a group of its own, so that no scan brings it along."""

    @dg.asset(
        key=MAINTENANCE_KEY,
        group_name=f"{GROUP}_maintenance",
        owners=OWNERS,
        kinds={"delta"},
        description=(
            "Merges small files of the tables, removes rows that no registry names, and deletes files that only "
            "versions older than the days to keep list. Results stay the same; safe while runs are under way."
        ),
    )
    def storage_maintenance(
        context: dg.AssetExecutionContext, config: MaintenanceOptions, source: SigmaSource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            done = maintain(tables(source.source()), timedelta(days=config.keep_days), context.log.info)
        records = [asdict(maintained) for maintained in done]
        return dg.MaterializeResult(
            metadata={
                "tables": table_of(records, list(records[0])),
                "skipped_tables": sum(maintained.skipped for maintained in done),
                **{
                    name: sum(record[name] for record in records)
                    for name in ("files_before", "files_after", "removed_rows", "deleted_files", "freed_bytes")
                },
            }
        )

    return [storage_maintenance]
