"""Runs of the pipeline as the Dagster instance knows them: their tags, the days they cover, whether they live."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, cast

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
)

from sigma_impressions.defs.silence import forget_others, silence_of
from sigma_impressions.exports.sensor import ScanRun
from sigma_impressions.texts import plain
from sigma_impressions.waiting import waiting_for
from sigma_impressions.windows import span

DAYS_TAG = "days"
"""First and last day of the run, for people: the list of runs in the UI leaves Dagster's own tags out, and has little
room for a name."""

PROCESS_TAG = "sigma_impressions/process"
"""Host and process that executes the run, where no run launcher of Dagster watches it."""

REQUEST_TAG = "sigma_impressions/request"
"""What the sensor asked for: the same for every try to get the same files."""

SOURCE_TAG = "sigma_impressions/source"
"""Bucket and prefix that the run reads."""

TRIGGER_TAG = "sigma_impressions/trigger"
"""Who started the run: `sensor`, `schedule`, `cli run`, …; `dagster` for its own commands, as `dg launch`."""

_FROM_UI_TAG = "dagster/from_ui"
"""What the UI writes into the runs that it launches."""

MORE_FOLLOWS_TAG = "sigma_impressions/more_follows"
"""That who started the run will start another one after it, as a `backfill` of many days does."""

_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_ENDED = (dg.DagsterRunStatus.SUCCESS, *_FAILED)

_NEWEST_RUNS = 100
"""How many ended runs are looked at: those of the last six days, unless somebody starts very many."""

_TRIES = 10

_ASKING = waiting_for("Dagster's storage: reading runs")
"""What surrounds the functions that ask Dagster's storage, which may be a database server."""


def range_tags(days: Sequence[date]) -> dict[str, str]:
    """The tags that make a run cover consecutive days, oldest first, and that show them."""
    first, last = days[0], days[-1]
    return {
        ASSET_PARTITION_RANGE_START_TAG: first.isoformat(),
        ASSET_PARTITION_RANGE_END_TAG: last.isoformat(),
        DAYS_TAG: span(first, last),
    }


def describe_run(instance: dg.DagsterInstance, run: dg.DagsterRun, source: str) -> None:
    """Give a run that lacks them, as one that the UI or `dg` has launched, the tags of its days, source and trigger."""
    trigger = "backfill" if BACKFILL_ID_TAG in run.tags else "ui" if _FROM_UI_TAG in run.tags else "dagster"
    wanted = {**{SOURCE_TAG: source, TRIGGER_TAG: trigger}, **run.tags}
    if days := days_of_run(run.tags):
        # A run that is launched from another one takes over its tags, and may have other days.
        wanted[DAYS_TAG] = span(*days)
    if missing := dict(wanted.items() - run.tags.items()):
        tag_run(instance, run, missing)


def tag_run(instance: dg.DagsterInstance, run: dg.DagsterRun, tags: Mapping[str, str]) -> None:
    """Add tags to a run, in Dagster's storage and as this process has loaded it.

    It is there that Dagster looks for the days of the steps which this process executes.
    """
    instance.add_run_tags(run.run_id, tags)
    cast(dict[str, str], run.tags).update(tags)


@_ASKING
def more_follows(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether another run is known to come: of the command that started this one, or of the same backfill.

    What can be left to it is done once then. If it does not come after all, the next run of any kind does it.
    """
    # Who runs it once more copies its tags, and starts no other one.
    if MORE_FOLLOWS_TAG in run.tags and run.parent_run_id is None:
        return True
    backfill = run.tags.get(BACKFILL_ID_TAG)
    if backfill is None:
        return False
    waiting = dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill}, statuses=[dg.DagsterRunStatus.QUEUED])
    return instance.get_runs_count(waiting) > 0


def days_of_run(tags: Mapping[str, str]) -> tuple[date, date] | None:
    """First and last day that a run with these tags covers; None if it covers no days."""
    one = tags.get(PARTITION_NAME_TAG)
    first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG, one), tags.get(ASSET_PARTITION_RANGE_END_TAG, one)
    try:
        return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else None
    except ValueError:
        # A run of other assets, whose partitions are no days.
        return None


@_ASKING
def pipeline_runs(
    instance: dg.DagsterInstance,
    job_name: str,
    assets: Collection[dg.AssetKey],
    statuses: Collection[dg.DagsterRunStatus],
    limit: int | None = None,
) -> list[RunRecord]:
    """Runs of the job, and others that materialize some of the assets, as the UI and backfills do.

    `limit` is how many of the newest are looked at, of the job and of all; by default every one.
    """
    found: dict[str, RunRecord] = {}
    # Of some also by the job's name: on a busy instance the newest runs of all may be those of others.
    for job in (None,) if limit is None else (job_name, None):
        wanted = dg.RunsFilter(statuses=list(statuses), job_name=job)
        for record in instance.get_run_records(wanted, limit=limit):
            run = record.dagster_run
            if run.job_name == job_name or not set(assets).isdisjoint(run.asset_selection or ()):
                found[run.run_id] = record
    return list(found.values())


def newest_runs(
    instance: dg.DagsterInstance, job_name: str, assets: Collection[dg.AssetKey]
) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of the pipeline that are under way, and the newest that have ended."""
    under_way = pipeline_runs(instance, job_name, assets, _UNDER_WAY)
    return under_way, pipeline_runs(instance, job_name, assets, _ENDED, _NEWEST_RUNS)


def last_success(ended: Iterable[RunRecord]) -> datetime | None:
    """When the newest of some runs that has succeeded was over; None if none has."""
    successes = [record for record in ended if record.dagster_run.status == dg.DagsterRunStatus.SUCCESS]
    return time_of(max(successes, key=created_at).end_time) if successes else None


def created_at(record: RunRecord) -> datetime:
    """When a run was created."""
    return record.create_timestamp.replace(tzinfo=record.create_timestamp.tzinfo or UTC)


def time_of(seconds: float | None) -> datetime | None:
    """A time of Dagster's."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def scan_runs(instance: dg.DagsterInstance, job_name: str, assets: Collection[dg.AssetKey]) -> list[ScanRun]:
    """The runs over days that are under way, and the newest that have ended, newest first."""
    under_way, ended = newest_runs(instance, job_name, assets)
    return _scan_runs([*under_way, *ended])


@_ASKING
def requested_runs(instance: dg.DagsterInstance, job_name: str, request_id: str) -> list[ScanRun]:
    """The newest runs of the job that the sensor asked for under a request ID, except one that was never launched."""
    wanted = dg.RunsFilter(job_name=job_name, tags={REQUEST_TAG: request_id}, statuses=[*_UNDER_WAY, *_ENDED])
    return _scan_runs(instance.get_run_records(wanted, limit=_TRIES))


@_ASKING
def runs_under_way(instance: dg.DagsterInstance) -> list[str]:
    """The IDs of the runs that the instance knows to be under way, whatever they do."""
    return [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNDER_WAY)))]


def _scan_runs(records: Iterable[RunRecord]) -> list[ScanRun]:
    found = []
    for record in records:
        run, days = record.dagster_run, days_of_run(record.dagster_run.tags)
        if days is not None:
            created, ended = created_at(record), time_of(record.end_time)
            found.append(ScanRun(run.run_id, *days, state=_state(run.status), created=created, ended=ended))
    return sorted(found, key=lambda run: run.created, reverse=True)


def _state(status: dg.DagsterRunStatus) -> Literal["under way", "succeeded", "failed"]:
    if status in _FAILED:
        return "failed"
    return "succeeded" if status == dg.DagsterRunStatus.SUCCESS else "under way"


@_ASKING
def end_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark as failed the runs that a killed process left as started; their number is returned.

    Dagster's daemon cannot tell of those that no launcher of its own has started, and not all launchers know.
    """
    ended = 0
    started = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    forget_others(record.dagster_run for record in started)
    for record in started:
        run, began = record.dagster_run, time_of(record.start_time) or created_at(record)
        reason = "Its process is gone." if has_died(run) else silence_of(instance, run, began)
        if reason:
            instance.report_run_failed(run, reason)
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended += 1
    return ended


def has_died(run: dg.DagsterRun) -> bool:
    """Whether a run counts as started, and its process of this host is gone."""
    host, _, process = run.tags.get(PROCESS_TAG, "").rpartition("/")
    # One that is tried again, by Dagster, has the tags of the one before.
    is_own = run.status == dg.DagsterRunStatus.STARTED and run.parent_run_id is None
    return is_own and host == socket.gethostname() and not _is_alive(int(process))


@dataclass(frozen=True)
class Failure:
    """Why a run failed: the step, if it was one, and the sentence for an operator; None if nobody foresaw the error."""

    step: str | None
    said: str | None


@_ASKING
def failure_of(instance: dg.DagsterInstance, run_id: str) -> Failure:
    """Why a run failed, as its log has it. The text of an error that nobody foresaw may hold data of a user."""

    def events_of(kind: dg.DagsterEventType) -> Iterator[dg.DagsterEvent]:
        for record in instance.get_records_for_run(run_id, of_type=kind).records:
            if (event := record.event_log_entry.dagster_event) is not None:
                yield event

    failed = next(events_of(dg.DagsterEventType.STEP_FAILURE), None)
    if failed is None:
        return Failure(None, None)
    stated = failed.step_failure_data.user_failure_data
    if stated is not None and stated.description:
        return Failure(failed.step_key, stated.description)
    # Dagster's own message of a check that blocks names it alone.
    evaluations = (event.asset_check_evaluation_data for event in events_of(dg.DagsterEventType.ASSET_CHECK_EVALUATION))
    blocked = [plain(it.description or it.check_name) for it in evaluations if it.blocking and not it.passed]
    return Failure(failed.step_key, "; ".join(blocked) or None)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
