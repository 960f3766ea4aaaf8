"""The asset `warehouse_tables`: the published tables in the company's database; only if it is switched on."""

import dagster as dg

from sigma_impressions.defs.checks import Check
from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import documentation, table_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.publish import DATABASE_ASSET
from sigma_impressions.defs.runs import more_follows
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.destinations.warehouse.export import Asked, export_to_warehouse
from sigma_impressions.destinations.warehouse.held import HeldTable
from sigma_impressions.wiring import insight_rules, members_are_read, query_limits, warehouse

WAREHOUSE_ASSET = "warehouse_tables"

AS_LOADED = Check(
    "warehouse_is_as_loaded",
    "Warns when others have changed rows in the warehouse. They stay as they are until the day is restated; "
    "`sigma-impressions export warehouse --resend` sends them again.",
)


def build_warehouse_assets(destination: str | None, names: Names = PLAIN_NAMES) -> list[dg.AssetsDefinition]:
    """The asset `warehouse_tables`, which follows every publication; of the kind of the destination, if it is known."""
    key = names.key(WAREHOUSE_ASSET)

    @dg.asset(
        key=key,
        required_resource_keys={names.resource},
        deps=[names.key(DATABASE_ASSET)],
        metadata=documentation("warehouse.md"),
        kinds={"dlt", *([destination] if destination else [])},
        check_specs=[AS_LOADED.spec(key)],
        description=(
            "The published tables in the database that SIGMA_IMPRESSIONS_WAREHOUSE names, of every as-of date and "
            "event date. What is new or restated is sent, a day at a time in its place. If it fails, the published "
            "database is complete all the same, and the next run sends what is missing. The first time takes longer "
            "and goes on where it was cut off. Of the runs of a backfill the last one sends."
        ),
    )
    def warehouse_tables(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            target, log = warehouse(settings), log_of(context)
            shown = {"destination": target.destination, "dataset": target.dataset}
            if more_follows(context.instance, context.run):
                log.info(f"{target}: left to the run of this backfill that follows")
                return dg.MaterializeResult(metadata=shown, check_results=[AS_LOADED.result(key, None)])
            exported = export_to_warehouse(
                tables_of(context, settings),
                target,
                log.info,
                asked=Asked(settings.warehouse_tables),
                limits=query_limits(settings),
                rules=insight_rules(settings),
                with_members=members_are_read(settings),
            )
            log.info(str(exported))
        changed = exported.changed
        held = [{**table._asdict(), "rows_sent": exported.rows[table.table]} for table in exported.held]
        return dg.MaterializeResult(
            metadata={
                **shown,
                "as_of": str(exported.as_of),
                "days_sent": exported.days.total(),
                "rows_sent": exported.rows.total(),
                "deleted_days": exported.deleted,
                "unchanged_days": exported.unchanged,
                "tables": table_of(held, [*HeldTable._fields, "rows_sent"]),
                "dagster/row_count": sum(table.rows for table in exported.held),
            },
            check_results=[
                AS_LOADED.result(
                    key,
                    f"Others have changed {len(changed):,} days in {target}: {changed[0]}." if changed else None,
                    changed_days=len(changed),
                )
            ],
        )

    return [warehouse_tables]
