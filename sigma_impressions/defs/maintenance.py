"""The asset `storage_maintenance`: what was done to keep the tables small, and what it freed."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import documentation, table_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.lake.inventory import require_intact
from sigma_impressions.lake.repair import drop_damaged
from sigma_impressions.upkeep import DEFAULT_KEEP_DAYS
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.drop_detail import Dropped, drop_detail
from sigma_impressions.upkeep.future import drop_future, left_in_future
from sigma_impressions.upkeep.verify import verify_storage
from sigma_impressions.wiring import listed, tables

MAINTENANCE_ASSET = "storage_maintenance"
MAINTENANCE_JOB_NAME = "maintenance"


class MaintenanceOptions(dg.Config):
    """Options of one maintenance."""

    keep_days: int = Field(
        default=DEFAULT_KEEP_DAYS,
        ge=1,
        description="Days for which older versions of the tables, and what nothing refers to, are kept.",
    )
    drop_damaged: bool = Field(
        default=False,
        description="First give up what is missing or broken in the storage. What the bucket still holds is read again "
        "by the next run. No run may be under way.",
    )
    verify_files: bool = Field(
        default=False, description="Read every stored file, and fail if one does not hold what was written."
    )
    drop_future: bool = Field(
        default=False,
        description="Remove what is later than now first: as-of dates and snapshots that a run has left whose "
        "clock was ahead.",
    )


def build_maintenance_assets(names: Names = PLAIN_NAMES) -> list[dg.AssetsDefinition]:
    """The asset `storage_maintenance`, in a group of its own, so that no scan brings it along."""

    @dg.asset(
        key=names.key(MAINTENANCE_ASSET),
        required_resource_keys={names.resource},
        group_name=f"{names.group}_maintenance",
        metadata=documentation("operations.md"),
        kinds={"delta"},
        description=(
            "Merges small files of the tables, removes rows that no registry names, and deletes files that only "
            "versions older than the days to keep list; before that, single views older than "
            "SIGMA_IMPRESSIONS_KEEP_DETAIL_DAYS, if it is set. Results stay the same; safe while runs are under way. "
            "Updated by the job `maintenance`. If it fails: run it again, nothing is lost."
        ),
    )
    def storage_maintenance(context: dg.AssetExecutionContext, config: MaintenanceOptions) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            stored, dropped, now, given_up = tables(settings), Dropped(), datetime.now(UTC), 0
            if config.drop_damaged:
                given_up = drop_damaged(stored, log_of(context).warning)
            if config.verify_files:
                verify_storage(stored, log_of(context).info)
            # What is damaged may still be put right, as long as nothing is deleted.
            require_intact(stored)
            left = (
                drop_future(stored, now, listed(settings), log_of(context).info)
                if config.drop_future
                else left_in_future(stored, now)
            )
            if left.sentence is not None and not config.drop_future:
                log_of(context).warning(left.sentence)
            if settings.keep_detail_days is not None:
                dropped = drop_detail(
                    stored,
                    settings.keep_detail_days,
                    settings.overlapping_exports,
                    now,
                    log_of(context).info,
                )
            done = maintain(stored, timedelta(days=config.keep_days), log_of(context).info)
        records = [asdict(maintained) for maintained in done]
        return dg.MaterializeResult(
            metadata={
                "tables": table_of(records, list(records[0])),
                "given_up_places": given_up,
                "dropped_detail_rows": dropped.rows,
                "dropped_rejected_rows": dropped.rejected_rows,
                "future_as_of_dates": len(left.as_of_dates),
                "future_resource_snapshots": len(left.snapshots),
                "future_member_snapshots": len(left.member_snapshots),
                "skipped_tables": sum(maintained.skipped for maintained in done),
                **{
                    name: sum(record[name] for record in records)
                    for name in ("files_before", "files_after", "removed_rows", "deleted_files", "freed_bytes")
                },
            }
        )

    return [storage_maintenance]
