"""The hooks that write metrics for operators after each publication, and where a run fails; only if switched on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

import dagster as dg

from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.members import members_read
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import last_success, newest_runs, time_of
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.defs.upstream import resources_written, snapshot_key
from sigma_impressions.destinations.prometheus import LastRun, Recorded, write_metrics
from sigma_impressions.errors import OperatorError
from sigma_impressions.settings.declared import Settings
from sigma_impressions.wiring import metrics_file


def build_metric_hooks(
    job_name: str, assets: Collection[dg.AssetKey], names: Names = PLAIN_NAMES
) -> tuple[dg.HookDefinition, dg.HookDefinition]:
    """The hook of the steps that publish, if they succeed, and that of every step, if it fails.

    After each publishing step of a run the file tells what was published and how long the run has taken until then,
    so the last one tells it of the whole run; where one of them fails, it tells that in the end. `assets` are those
    of the pipeline, whose runs `job_name` or others execute.
    """

    def write(context: dg.HookContext, succeeded: bool) -> None:
        # No step is worse off because nobody is told of it.
        try:
            with clear_failures():
                settings, now = names.settings_of(context.resources), datetime.now(UTC)
                record = context.instance.get_run_record_by_id(context.run_id)
                run = LastRun(time_of(record.start_time) if record else None, now, succeeded)
                success = now if succeeded else last_success(newest_runs(context.instance, job_name, assets)[1])
                log = log_of(context)
                recorded = recorded_of(context.instance, settings, run, success, log.warning, names=names)
                stored = tables_of(context, settings)
                write_metrics(metrics_file(settings), settings.name, stored, recorded, log.warning)
        except dg.Failure as failure:
            log_of(context).warning(str(failure.description))

    @dg.success_hook(name=names.name("metrics_of_publication"), required_resource_keys={names.resource})
    def published(context: dg.HookContext) -> None:
        write(context, succeeded=True)

    @dg.failure_hook(name=names.name("metrics_of_failure"), required_resource_keys={names.resource})
    def failed(context: dg.HookContext) -> None:
        write(context, succeeded=False)

    return published, failed


def recorded_of(
    instance: dg.DagsterInstance,
    settings: Settings,
    run: LastRun | None,
    last_success_at: datetime | None,
    report: Callable[[str], None],
    *,
    names: Names = PLAIN_NAMES,
) -> Recorded:
    """What an instance, and the source of the resources, know beside the tables; `report` is told what cannot be."""
    written: datetime | None = None
    try:
        written = resources_written(instance, settings, snapshot_key(settings, names))
    except (OperatorError, OSError) as error:
        said = error if isinstance(error, OperatorError) else error.strerror
        report(f"When the resources were written cannot be told: {said}")
    return Recorded(run, last_success_at, written, members_read(instance, names))
