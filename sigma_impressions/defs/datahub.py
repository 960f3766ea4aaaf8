"""The asset `datahub_usage`: the usage of workbooks and elements, brought to DataHub; only if it is switched on."""

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import documentation
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.publish import DATABASE_ASSET
from sigma_impressions.destinations.datahub import export_usage
from sigma_impressions.wiring import datahub_target, query_limits, tables

DATAHUB_ASSET = "datahub_usage"


def build_datahub_assets(names: Names = PLAIN_NAMES) -> list[dg.AssetsDefinition]:
    """The asset `datahub_usage`, which follows every publication."""

    @dg.asset(
        key=names.key(DATAHUB_ASSET),
        required_resource_keys={names.resource},
        deps=[names.key(DATABASE_ASSET)],
        metadata=documentation("datahub.md"),
        kinds={"datahub"},
        description=(
            "Usage statistics of the dashboards and charts that DataHub's Sigma source makes: daily buckets of 60 "
            "days with the users, and totals. A server is sent what has changed; a file holds everything. If it "
            "fails, the published database is complete all the same, and the next run sends what is missing."
        ),
    )
    def datahub_usage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            target = datahub_target(settings)
            exported = export_usage(tables(settings), target, log_of(context).info, query_limits(settings))
        return dg.MaterializeResult(
            metadata={
                "target": dg.MetadataValue.url(target.target)
                if target.is_server
                else dg.MetadataValue.path(target.target),
                "as_of": str(exported.as_of),
                "usage_statistics": exported.aspects,
                "unchanged": exported.unchanged,
                "workbooks_without_id": exported.unnamed,
            }
        )

    return [datahub_usage]
