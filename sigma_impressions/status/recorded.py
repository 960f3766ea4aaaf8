"""What the Dagster instance has recorded: runs, checks that did not pass, and what starts runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, takewhile
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._utils.schedules import schedule_execution_time_iterator

from sigma_impressions.defs.automation import SCHEDULE_NAME, SENSOR_NAME
from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.failures import TickFailed
from sigma_impressions.defs.runs import (
    TRIGGER_TAG,
    created_at,
    days_of_run,
    failure_of,
    has_died,
    last_success,
    newest_runs,
    time_of,
)
from sigma_impressions.status.facts import Colour, Finding, Recorded, Run, Starter
from sigma_impressions.texts import plain
from sigma_impressions.users import without_address

_SIGN_OF_LIFE = timedelta(minutes=5)
"""A daemon writes one every half minute, and later only while it is very busy."""

_OF_DAEMON = ("SENSOR", "SCHEDULER")
"""The parts of Dagster's daemon that evaluate sensors and schedules."""

_HISTORY = 200
"""How many evaluations of a check, or ticks, are looked at for when it was last all right."""

_ENDED = (TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE)

_EVALUATED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}

_STARTS_RUNS = (SENSOR_NAME, SCHEDULE_NAME)

_OUTCOMES = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "cancelled",
    dg.DagsterRunStatus.QUEUED: "queued",
}


def read_recorded(instance: dg.DagsterInstance, now: datetime) -> tuple[Recorded, list[Finding]]:
    """What an instance knows of the pipeline with the plain names, and what is not all right."""
    definitions = build_definitions()
    assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    specs = {spec.key: spec for asset in assets for spec in asset.check_specs}
    under_way, ended = newest_runs(instance, JOB_NAME, {key for asset in assets for key in asset.keys})
    newest = max(ended, key=created_at, default=None)
    # Of two code locations with one of a name the one that is switched on counts.
    states = {state.name: state for state in sorted(instance.all_instigator_state(), key=lambda it: it.is_running)}
    seen = [beat.timestamp for name, beat in instance.get_daemon_heartbeats().items() if name in _OF_DAEMON]
    seen_at = time_of(max(seen, default=None))
    recorded = Recorded(
        last_run=_run(instance, newest) if newest else None,
        last_success_at=last_success(ended),
        under_way=tuple(_run(instance, record) for record in sorted(under_way, key=created_at)),
        daemon_seen_at=seen_at,
        daemon_runs=seen_at is not None and now - seen_at < _SIGN_OF_LIFE,
        starters=tuple(_starters(instance, definitions, states, now)),
    )
    found = (_of_runs(recorded, ended), _of_checks(instance, specs), _of_starters(recorded))
    return recorded, [*chain.from_iterable(found), *_of_ticks(instance, recorded, states)]


def _run(instance: dg.DagsterInstance, record: RunRecord) -> Run:
    run = record.dagster_run
    first, last = days_of_run(run.tags) or (None, None)
    return Run(
        run.run_id,
        "died" if has_died(run) else _OUTCOMES.get(run.status, "under way"),
        time_of(record.start_time) or created_at(record),
        time_of(record.end_time),
        run.tags.get(TRIGGER_TAG),
        first,
        last,
        _reason(instance, run) if run.status == dg.DagsterRunStatus.FAILURE else None,
    )


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    logs = instance.event_log_storage
    # Dagster would make an empty log for a run that has none any more.
    is_lost = isinstance(logs, SqliteEventLogStorage) and not Path(logs.path_for_shard(run.run_id)).exists()
    failure = None if is_lost else failure_of(instance, run.run_id)
    if failure is not None and failure.said:
        return without_address(failure.said)
    where = f"In the step {failure.step}, with an error that nobody foresaw; its" if failure and failure.step else "Its"
    return f"{where} log in the Dagster UI has the reason."


def _of_runs(recorded: Recorded, ended: Sequence[RunRecord]) -> Iterator[Finding]:
    last = recorded.last_run
    if last is not None and last.outcome in ("failed", "cancelled"):
        later = [
            created_at(it) for it in ended if not recorded.last_success_at or created_at(it) > recorded.last_success_at
        ]
        colour = Colour.RED if last.outcome == "failed" else Colour.YELLOW
        said = last.reason or "It was cancelled. Next: sigma-impressions run."
        yield Finding(colour, "last_run", said, since=min(later, default=None))
    for run in recorded.under_way:
        if run.outcome == "died":
            said = (
                f"The process of run {run.run_id} is gone. The next sigma-impressions run notes it, and does its work."
            )
            yield Finding(Colour.RED, "last_run", said, since=run.started_at)


def _of_checks(instance: dg.DagsterInstance, specs: Mapping[dg.AssetCheckKey, dg.AssetCheckSpec]) -> Iterator[Finding]:
    """The checks whose newest evaluation did not pass."""
    for key, spec in specs.items():
        # Most pass, so the history is not read of all.
        if not any(map(_did_not_pass, _evaluations(instance, key, 1))):
            continue
        failed = list(takewhile(_did_not_pass, _evaluations(instance, key, _HISTORY)))
        (_, newest), (since, _) = failed[0], failed[-1]
        yield Finding(
            Colour.RED if newest.severity == dg.AssetCheckSeverity.ERROR else Colour.YELLOW,
            key.name,
            without_address(plain(newest.description or "It did not pass.")),
            key.asset_key.to_user_string(),
            since,
            spec.description,
        )


def _did_not_pass(evaluated: tuple[datetime, dg.AssetCheckEvaluation]) -> bool:
    return not evaluated[1].passed


def _evaluations(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, most: int
) -> list[tuple[datetime, dg.AssetCheckEvaluation]]:
    """The newest evaluations of a check, newest first."""
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=most, status=_EVALUATED)
    return [
        (datetime.fromtimestamp(record.event.timestamp, UTC), record.event.dagster_event.asset_check_evaluation_data)
        for record in records
        if record.event is not None and record.event.dagster_event is not None
    ]


def _starters(
    instance: dg.DagsterInstance, definitions: dg.Definitions, states: Mapping[str, InstigatorState], now: datetime
) -> Iterator[Starter]:
    """The sensors and schedules of the pipeline, as somebody has switched them."""
    for one in (*(definitions.sensors or ()), *(definitions.schedules or ())):
        if not isinstance(one, dg.SensorDefinition | dg.ScheduleDefinition):
            continue
        state = states.get(one.name)
        is_on = state.is_running if state else one.default_status.value == "RUNNING"
        ticks = _ticks(instance, state, 1) if state else ()
        last = time_of(ticks[0].timestamp) if ticks else None
        yield Starter(one.name, is_on, one.name in _STARTS_RUNS, last, _next_tick(one, last, now) if is_on else None)


def _next_tick(one: dg.SensorDefinition | dg.ScheduleDefinition, last: datetime | None, now: datetime) -> datetime:
    if isinstance(one, dg.ScheduleDefinition):
        turns = schedule_execution_time_iterator(now.timestamp(), one.cron_schedule, one.execution_timezone)
        return next(turns).astimezone(UTC)
    return max(now, last + timedelta(seconds=one.minimum_interval_seconds or 0)) if last else now


def _ticks(instance: dg.DagsterInstance, state: InstigatorState, most: int) -> Sequence[InstigatorTick]:
    """The newest ticks that have ended, newest first."""
    return instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=most, statuses=list(_ENDED))


def _has_failed(tick: InstigatorTick) -> bool:
    return tick.status == TickStatus.FAILURE


def _of_ticks(
    instance: dg.DagsterInstance, recorded: Recorded, states: Mapping[str, InstigatorState]
) -> Iterator[Finding]:
    """Those whose newest tick has failed: nothing is started, and no check tells."""
    for starter in recorded.starters if recorded.daemon_runs else ():
        state = states.get(starter.name)
        if not starter.is_on or state is None:
            continue
        failed = list(takewhile(_has_failed, _ticks(instance, state, _HISTORY)))
        if failed:
            error = failed[0].error
            # Of an error that nobody foresaw the text may hold anything.
            said = "Its tick failed: see the Dagster UI."
            if error is not None and error.cls_name == TickFailed.__name__:
                said = error.message.partition(": ")[2].strip()
            colour = Colour.RED if starter.starts_runs else Colour.YELLOW
            yield Finding(colour, starter.name, without_address(said), since=time_of(failed[-1].timestamp))


def _of_starters(recorded: Recorded) -> Iterator[Finding]:
    on = [starter.name for starter in recorded.starters if starter.is_on and starter.starts_runs]
    if on and not recorded.daemon_runs:
        said = (
            f"{' and '.join(on)}: switched on, but no daemon of Dagster runs, so nothing is started. Start the "
            "service that runs dagster-daemon, or sigma-impressions ui; or switch off what is not wanted."
        )
        yield Finding(Colour.YELLOW, "automation", said, since=recorded.daemon_seen_at)
