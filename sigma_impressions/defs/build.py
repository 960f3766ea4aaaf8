"""All definitions of the code location, from one function, so that tests and other deployments build their own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

import dagster as dg

from sigma_impressions.defs.alerts import build_alerts
from sigma_impressions.defs.automation import build_schedule, build_sensor
from sigma_impressions.defs.check_job import build_check_job
from sigma_impressions.defs.datahub import build_datahub_assets
from sigma_impressions.defs.days import build_days
from sigma_impressions.defs.digest import build_digest_job, build_digest_schedule
from sigma_impressions.defs.exports import build_export_assets
from sigma_impressions.defs.maintenance import MAINTENANCE_ASSET, MAINTENANCE_JOB_NAME, build_maintenance_assets
from sigma_impressions.defs.members import build_member_assets
from sigma_impressions.defs.metrics import build_metric_assets
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.observations import WorkbookKey, dagster_sigma_key
from sigma_impressions.defs.partitions import daily_partitions
from sigma_impressions.defs.prometheus import build_metric_hooks
from sigma_impressions.defs.publish import build_publish_assets
from sigma_impressions.defs.report import build_report_assets
from sigma_impressions.defs.runs import SOURCE_TAG
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.staleness import build_staleness
from sigma_impressions.defs.upstream import build_upstream
from sigma_impressions.defs.warehouse import build_warehouse_assets
from sigma_impressions.settings.declared import BY_NAME
from sigma_impressions.settings.read import read_leniently
from sigma_impressions.wiring import members_are_read

JOB_NAME = "sigma_impressions"


def build_definitions(
    source: SigmaSource | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    workbook_key: WorkbookKey = dagster_sigma_key,
    names: Names = PLAIN_NAMES,
    executor: dg.ExecutorDefinition = dg.in_process_executor,
) -> dg.Definitions:
    """Assets, checks, the job, what starts it, and the source; by default with the settings of the environment.

    `loggers` replace Dagster's console logger, for a program that shows progress in its own way.
    `workbook_key` gives the asset key of a workbook, for the observations that show its usage (off by default).
    `names` tell several pipelines in one code location apart; each needs a storage location of its own.
    `executor` runs the steps of the jobs. By default they share one process: starting one for each takes longer than
    most steps do. Runs of chosen assets, and backfills, take the executor of the code location, which is not set here:
    there is one, and definitions that these are merged with may have it.

    Raises `SettingsError` for a `source` with a secret that is written out.
    """
    if source is not None:
        source.refuse_written_secrets()
    environment = os.environ if environ is None else environ
    # What cannot be read has its default here, so that the code location loads; runs and ticks then refuse it.
    settings = read_leniently(environment)
    partitions = daily_partitions(settings.start_date)
    job_name = names.name(JOB_NAME)
    upstream = build_upstream(settings, job_name, names)
    members = build_member_assets(names) if members_are_read(settings) else []
    with warnings.catch_warnings():
        # Backfill policies and code references have been marked as beta for many releases; pinned, they are safe.
        warnings.simplefilter("ignore", dg.BetaWarning)
        scanned = [
            *build_export_assets(partitions, names),
            *build_metric_assets(partitions, upstream.snapshot_key, names),
            *upstream.assets,
            *members,
        ]
        results = [
            *build_publish_assets(workbook_key, names, [key for asset in members for key in asset.keys]),
            *build_report_assets(names),
            *(build_datahub_assets(names) if _is_set("datahub", environment) else ()),
            *(build_warehouse_assets(settings.warehouse, names) if _is_set("warehouse", environment) else ()),
        ]
        own = [asset for asset in (*scanned, *results) if isinstance(asset, dg.AssetsDefinition)]
        keys = {key for asset in own for key in asset.keys}
        if _is_set("prometheus", environment):
            published, failed = build_metric_hooks(job_name, keys, names)
            own = [asset.with_hooks({failed, *([published] if asset in results else [])}) for asset in own]
        grouped = dg.map_asset_specs(lambda spec: spec.replace_attributes(group_name=names.group), own)
        others = [asset for asset in scanned if isinstance(asset, dg.AssetSpec)]
        referenced = dg.with_source_code_references([*grouped, *build_maintenance_assets(names), *others])
    checks = {key for asset in own for key in asset.check_keys}
    job = dg.define_asset_job(
        job_name,
        selection=dg.AssetSelection.assets(*keys),
        executor_def=executor,
        # Bucket and prefix, for the runs of the job, whoever starts them.
        tags={SOURCE_TAG: str(settings.bucket_uri)} if settings.bucket_uri else {},
        description=(
            "Scans export files and publishes what they hold: from the bucket to the database and the report. For the "
            "last days back, as `sigma-impressions run` does, launch it without a partition: the arrow beside "
            "*Materialize all*, *Open launchpad*, *Materialize*, *Confirm*. For other days choose *Materialize all*."
        ),
    )
    maintenance = dg.define_asset_job(
        names.name(MAINTENANCE_JOB_NAME),
        selection=[names.key(MAINTENANCE_ASSET)],
        executor_def=executor,
        description="Merge small files of the tables and delete what no kept version needs; once a week, say.",
    )
    digest = build_digest_job(names)
    return dg.Definitions(
        assets=referenced,
        jobs=[job, maintenance, build_check_job(names), digest],
        schedules=[
            build_schedule(job, keys, settings.schedule, names),
            build_digest_schedule(digest, settings.digest_schedule, names),
        ],
        sensors=[
            build_sensor(job, keys, names),
            build_staleness(upstream.snapshot_key, names),
            *([build_alerts(job_name, keys, checks, names)] if _is_set("alert_webhook", environment) else ()),
            *upstream.sensors,
        ],
        resources={
            names.resource: source or SigmaSource.from_environment(environment),
            names.days: build_days(names),
        },
        loggers=loggers,
    )


def _is_set(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a setting has any text: one that is refused is told by the runs of what it asks for."""
    return bool(environ.get(BY_NAME[name].variable, "").strip())
