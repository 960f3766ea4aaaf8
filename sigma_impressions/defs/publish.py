"""The asset `sigma_impressions_database`: the DuckDB file that people read."""

from collections.abc import Sequence

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import documentation, table_of
from sigma_impressions.defs.metrics import AsOf
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.observations import WorkbookKey, dagster_sigma_key, usage_observations
from sigma_impressions.defs.runs import more_follows
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.lake.schemas import METRIC_TABLES
from sigma_impressions.publish.database import DATABASE_NAME, top_workbooks
from sigma_impressions.publish.settle import publish_settled
from sigma_impressions.report.write import report_companion
from sigma_impressions.wiring import database_mode, insight_rules, members_are_read, query_limits

DATABASE_ASSET = "sigma_impressions_database"


def build_publish_assets(
    workbook_key: WorkbookKey = dagster_sigma_key, names: Names = PLAIN_NAMES, others: Sequence[dg.AssetKey] = ()
) -> list[dg.AssetsDefinition]:
    """The asset `sigma_impressions_database`; `workbook_key` names the workbook assets that show their usage.

    `others` are assets that it shows beside the metrics.
    """

    @dg.asset(
        key=names.key(DATABASE_ASSET),
        required_resource_keys={names.resource},
        deps=[*names.keys(table.name for table in METRIC_TABLES), *others],
        metadata=documentation("tables-and-metrics.md"),
        kinds={"duckdb"},
        description=(
            f"`{DATABASE_NAME}`: one complete, consistent result in a DuckDB file, made anew beside the old one and "
            "put in its place, with its report. Open it read-only at any time. Holds the newest as-of date, or the one "
            "asked for: the metric tables, and what is popular, underused and active. Updated at the end "
            "of every run, if anything has changed. If it fails: the file before it stays."
        ),
    )
    def sigma_impressions_database(context: dg.AssetExecutionContext, config: AsOf) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            asked = config.day()
            settings = names.settings_of(context.resources)
            stored, log = tables_of(context, settings), log_of(context)
            published = publish_settled(
                stored,
                settings.overlapping_exports,
                as_of_dates=[asked] if asked else [],
                as_of=asked,
                report=log.info,
                limits=query_limits(settings),
                rules=insight_rules(settings),
                companion=report_companion(stored.storage, settings.name, log.warning),
                mode=database_mode(settings),
                restate=not more_follows(context.instance, context.run),
                with_members=members_are_read(settings),
            )
            where = stored.storage.uri(DATABASE_NAME)
            log.info(f"{where}: as of {published.as_of}, {'published' if published.is_new else 'already up to date'}")
            if settings.workbook_observations:
                for observation in usage_observations(context.instance, published.path, workbook_key):
                    context.log_event(observation)
            top = top_workbooks(published.path)
        return dg.MaterializeResult(
            metadata={
                "database": dg.MetadataValue.path(where),
                "as_of": str(published.as_of),
                "is_new": published.is_new,
                "top_workbooks": table_of(top.to_dicts(), top.columns),
                "bytes": published.path.stat().st_size,
                **{f"rows_{name}": rows for name, rows in sorted(published.tables.items())},
            }
        )

    return [sigma_impressions_database]
