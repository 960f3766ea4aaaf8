"""What starts runs by itself: the sensor `new_export_files` and the schedule `daily_scan`."""

from collections.abc import Collection
from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from sigma_impressions.defs.failures import tick
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import (
    REQUEST_TAG,
    SOURCE_TAG,
    TRIGGER_TAG,
    end_dead_runs,
    range_tags,
    requested_runs,
    scan_runs,
)
from sigma_impressions.exports.manifest import uncaptured_files
from sigma_impressions.exports.sensor import Rules, Stored, World, decide
from sigma_impressions.exports.source import refuse_other_source
from sigma_impressions.publish.settle import is_complete
from sigma_impressions.settings.declared import Settings
from sigma_impressions.windows import nothing_to_scan, scanned_days
from sigma_impressions.wiring import file_date_pattern, object_store, source, tables

SENSOR_NAME = "new_export_files"
SCHEDULE_NAME = "daily_scan"

_SECONDS_BETWEEN_TICKS = 60


def build_sensor(
    job: UnresolvedAssetJobDefinition,
    assets: Collection[dg.AssetKey],
    names: Names = PLAIN_NAMES,
) -> dg.SensorDefinition:
    """The sensor `new_export_files`: one run of the job over the file dates whose export files changed."""

    @dg.sensor(
        name=names.name(SENSOR_NAME),
        job=job,
        required_resource_keys={names.resource},
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Lists the bucket every minute and asks for one run over the file dates that have new or changed export "
            "files, among the last days back. Looks back up to six days after an outage, and asks again for the "
            "files of a run that failed. Every tick says what it saw."
        ),
    )
    @tick
    def new_export_files(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = names.settings_of(context.resources)
        store, stored = object_store(settings), tables(settings)
        refuse_other_source(stored, source(settings))
        # A run whose process was killed is not waited for.
        end_dead_runs(context.instance)
        decision = decide(
            Rules(
                shown=str(settings.bucket_uri),
                prefix=settings.bucket_uri.prefix,
                storage=settings.storage,
                days_back=settings.days_back,
                start_date=settings.start_date,
                pattern=file_date_pattern(settings),
            ),
            context.cursor,
            World(
                runs=lambda: scan_runs(context.instance, job.name, assets),
                listing=lambda start: store.list(settings.bucket_uri.prefix, start),
                stored=lambda file_ids, days: Stored(
                    uncaptured_files(stored, file_ids), is_complete(stored, settings.overlapping_exports, days)
                ),
                attempts=lambda request_id: requested_runs(context.instance, job.name, request_id),
            ),
            datetime.now(UTC),
        )
        if decision.warning:
            log_of(context).warning(decision.warning)
        if decision.request is None:
            return dg.SensorResult(skip_reason=decision.message, cursor=decision.cursor)
        log_of(context).info(decision.message)
        tags = {**_tags(settings, decision.request.days, "sensor"), REQUEST_TAG: decision.request.request_id}
        request = dg.RunRequest(run_key=decision.request.run_key, tags=tags)
        return dg.SensorResult(run_requests=[request], cursor=decision.cursor)

    return new_export_files


def build_schedule(
    job: UnresolvedAssetJobDefinition,
    assets: Collection[dg.AssetKey],
    cron: str,
    names: Names = PLAIN_NAMES,
) -> dg.ScheduleDefinition:
    """The schedule `daily_scan`: one run of the job over the last days back, at the time of the cron expression."""

    @dg.schedule(
        name=names.name(SCHEDULE_NAME),
        required_resource_keys={names.resource},
        cron_schedule=cron,
        execution_timezone="UTC",
        job=job,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=(
            "One run over the last days back, also when no export file is new, so that every day gets its metrics. "
            "The time (UTC) is SIGMA_IMPRESSIONS_SCHEDULE. Leaves out its turn while runs over all of these days are "
            "under way."
        ),
    )
    @tick
    def daily_scan(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = names.settings_of(context.resources)
        now = context.scheduled_execution_time.astimezone(UTC)
        days = scanned_days(now.date(), settings.days_back, settings.start_date)
        if not days:
            return dg.SkipReason(nothing_to_scan(settings.start_date))
        end_dead_runs(context.instance)
        runs = [run for run in scan_runs(context.instance, job.name, assets) if run.is_waited_for(datetime.now(UTC))]
        # Only its turn as a whole: a run under way may have listed a day before its last file came, or may fail.
        if all(any(run.covers(day, day) for run in runs) for day in days):
            running = ", ".join(run.run_id for run in runs)
            return dg.SkipReason(f"{days[0]} to {days[-1]} are being scanned already: {running}.")
        return dg.RunRequest(tags=_tags(settings, days, "schedule"))

    return daily_scan


def _tags(settings: Settings, days: Collection[date], trigger: str) -> dict[str, str]:
    return {**range_tags(list(days)), SOURCE_TAG: str(settings.bucket_uri), TRIGGER_TAG: trigger}
