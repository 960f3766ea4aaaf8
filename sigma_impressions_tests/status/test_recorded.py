"""What the status says of a Dagster instance: runs, checks, sensors and schedules, on real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import serializable_error_info_from_exc_info

from sigma_impressions.defs.automation import SCHEDULE_NAME, SENSOR_NAME
from sigma_impressions.defs.build import JOB_NAME
from sigma_impressions.defs.checks import ERROR, WARN
from sigma_impressions.defs.export_checks import ADD_UP, GOOD_ROWS, READABLE
from sigma_impressions.defs.failures import TickFailed
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import PROCESS_TAG, TRIGGER_TAG, range_tags
from sigma_impressions.errors import StoreError
from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS
from sigma_impressions.status.facts import Colour, Finding, Recorded
from sigma_impressions.status.recorded import read_recorded
from sigma_impressions_tests.commands import add_instance

pytestmark = pytest.mark.slow

DAYS = [date(2026, 11, 22), date(2026, 11, 23)]
NOW = datetime(2026, 11, 24, 5, 0, tzinfo=UTC)
CHECKS = {check.name: check for check in (READABLE, GOOD_ROWS, ADD_UP)}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    add_instance(tmp_path)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def run(
    instance: dg.DagsterInstance,
    severities: dict[str, dg.AssetCheckSeverity] | None = None,
    *,
    fails: Exception | None = None,
    names: Names = PLAIN_NAMES,
) -> str:
    """A run of a job with the pipeline's names, in which some checks do not pass; its ID."""
    key = names.key(NORMALIZED_IMPRESSIONS.name)

    @dg.asset(key=key, check_specs=[check.spec(key) for check in CHECKS.values()])
    def normalized() -> dg.MaterializeResult:  # type: ignore[type-arg]
        if fails is not None:
            raise fails
        failed = severities or {}
        return dg.MaterializeResult(
            check_results=[
                check.result(key, f"*{name}* by ann@example.com" if name in failed else None, severity=failed.get(name))
                for name, check in CHECKS.items()
            ]
        )

    job = dg.define_asset_job(names.name(JOB_NAME), selection=[key])
    definitions = dg.Definitions([normalized], jobs=[job], executor=dg.in_process_executor)
    tags = {**range_tags(DAYS), TRIGGER_TAG: "cli run"}
    found = definitions.resolve_job_def(names.name(JOB_NAME))
    return found.execute_in_process(instance=instance, tags=tags, raise_on_error=False).run_id


def read(instance: dg.DagsterInstance) -> tuple[Recorded, dict[str, Finding]]:
    recorded, findings = read_recorded(instance, datetime.now(UTC))
    assert len({finding.name for finding in findings}) == len(findings)
    return recorded, {finding.name: finding for finding in findings}


def test_nothing_has_run(instance: dg.DagsterInstance) -> None:
    recorded, findings = read(instance)
    assert (recorded.last_run, recorded.last_success_at, recorded.under_way, findings) == (None, None, (), {})


def test_checks_are_red_and_yellow_since_they_last_passed(instance: dg.DagsterInstance) -> None:
    run(instance, {READABLE.name: ERROR})
    run(instance)
    assert read(instance)[1] == {}
    before = datetime.now(UTC)
    run(instance, {READABLE.name: ERROR})
    between = datetime.now(UTC)
    run(instance, {READABLE.name: ERROR, GOOD_ROWS.name: WARN})
    recorded, findings = read(instance)
    red, yellow = findings[READABLE.name], findings[GOOD_ROWS.name]
    assert set(findings) == {READABLE.name, GOOD_ROWS.name}
    assert (red.colour, yellow.colour) == (Colour.RED, Colour.YELLOW)
    assert red.since is not None
    assert yellow.since is not None
    assert before < red.since < between < yellow.since
    assert red.said == "*files_are_readable* by [address]"
    assert red.asset == NORMALIZED_IMPRESSIONS.name
    assert red.what_to_do == READABLE.description
    assert recorded.last_run is not None
    assert (recorded.last_run.outcome, recorded.last_run.trigger) == ("succeeded", "cli run")
    assert [recorded.last_run.first_day, recorded.last_run.last_day] == DAYS


@pytest.mark.parametrize(
    ("fails", "severities", "said"),
    [
        (dg.Failure("Access denied. Grant s3:ListBucket on the bucket"), {}, "Access denied. Grant s3:ListBucket"),
        (None, {ADD_UP.name: ERROR}, "*rows_add_up*"),
        (ValueError("ann@example.com"), {}, "In the step normalized_impressions, with an error that nobody foresaw"),
    ],
)
def test_a_failed_run_is_red_and_says_why(
    fails: Exception | None, severities: dict[str, dg.AssetCheckSeverity], said: str, instance: dg.DagsterInstance
) -> None:
    run(instance)
    success = read(instance)[0].last_success_at
    run(instance, severities, fails=fails)
    recorded, findings = read(instance)
    assert recorded.last_run is not None
    assert recorded.last_run.outcome == "failed"
    assert recorded.last_success_at == success
    found = findings["last_run"]
    assert found.colour == Colour.RED
    assert found.said.startswith(said)
    assert "ann@" not in found.said
    assert found.since is not None
    assert success is not None
    assert found.since > success
    run(instance, fails=fails or StoreError("again"))
    assert read(instance)[1]["last_run"].since == found.since


def test_a_run_whose_process_is_gone_is_not_called_under_way(instance: dg.DagsterInstance) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    for process in (os.getpid(), gone.pid):
        tags = {PROCESS_TAG: f"{socket.gethostname()}/{process}", **range_tags(DAYS)}
        instance.add_run(
            dg.DagsterRun(JOB_NAME, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
        )
    recorded, findings = read(instance)
    assert sorted(run.outcome for run in recorded.under_way) == ["died", "under way"]
    assert "gone" in findings["last_run"].said
    assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])) == 2


def test_other_pipelines_of_the_instance_are_left_out(instance: dg.DagsterInstance) -> None:
    run(instance, {READABLE.name: ERROR}, names=Names(("emea",)))
    recorded, findings = read(instance)
    assert (recorded.last_run, findings) == (None, {})


def tick(instance: dg.DagsterInstance, at: datetime, failure: Exception | None = None) -> None:
    """A tick of the sensor, as the daemon records it."""
    (state,) = (it for it in instance.all_instigator_state() if it.name == SENSOR_NAME)
    error = None
    if failure is not None:
        try:
            raise failure
        except Exception:
            error = serializable_error_info_from_exc_info(sys.exc_info())
    instance.create_tick(
        TickData(
            state.instigator_origin_id,
            SENSOR_NAME,
            InstigatorType.SENSOR,
            TickStatus.FAILURE if failure else TickStatus.SKIPPED,
            at.timestamp(),
            selector_id=state.selector_id,
            error=error,
        )
    )


def switch_on(instance: dg.DagsterInstance, *, seen: datetime | None = None) -> None:
    """Switch the sensor and the schedule on, as the UI does; their daemon was seen alive then."""
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    data = {
        SENSOR_NAME: (InstigatorType.SENSOR, SensorInstigatorData()),
        SCHEDULE_NAME: (InstigatorType.SCHEDULE, ScheduleInstigatorData("0 6 * * *", NOW.timestamp())),
    }
    for name, (kind, held) in data.items():
        instance.add_instigator_state(
            InstigatorState(RemoteInstigatorOrigin(origin, name), kind, InstigatorStatus.RUNNING, held)
        )
    tick(instance, NOW)
    for part in ("SENSOR", "SCHEDULER") if seen else ():
        assert seen is not None
        instance.add_daemon_heartbeat(DaemonHeartbeat(seen.timestamp(), part, "daemon", []))


def test_the_next_ticks_are_those_of_a_daemon_that_lives(instance: dg.DagsterInstance) -> None:
    switch_on(instance, seen=NOW - timedelta(seconds=40))
    recorded, findings = read_recorded(instance, NOW + timedelta(seconds=10))
    due = {starter.name: starter.next_at for starter in recorded.starters}
    assert recorded.daemon_runs
    assert findings == []
    assert due[SENSOR_NAME] == NOW + timedelta(minutes=1)
    assert due[SCHEDULE_NAME] == NOW.replace(hour=6)
    assert due["staleness"] is None


@pytest.mark.parametrize("seen", [None, NOW - timedelta(hours=1)])
def test_what_is_switched_on_without_a_daemon_is_yellow(seen: datetime | None, instance: dg.DagsterInstance) -> None:
    switch_on(instance, seen=seen)
    recorded, (found,) = read_recorded(instance, NOW)
    assert not recorded.daemon_runs
    assert (found.colour, found.name, found.since) == (Colour.YELLOW, "automation", seen)
    assert f"{SENSOR_NAME} and {SCHEDULE_NAME}: switched on, but no daemon of Dagster runs" in found.said


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (TickFailed("Access denied: grant s3:ListBucket"), "Access denied: grant s3:ListBucket"),
        (ValueError("ann@example.com"), "Its tick failed: see the Dagster UI."),
    ],
)
def test_a_sensor_that_fails_is_red_since_it_last_worked(
    failure: Exception, said: str, instance: dg.DagsterInstance
) -> None:
    switch_on(instance, seen=NOW)
    for minutes in (2, 3):
        tick(instance, NOW + timedelta(minutes=minutes), failure)
    (found,) = read_recorded(instance, NOW + timedelta(minutes=4))[1]
    assert (found.colour, found.name, found.said) == (Colour.RED, SENSOR_NAME, said)
    assert found.since == NOW + timedelta(minutes=2)
    tick(instance, NOW + timedelta(minutes=4))
    assert read_recorded(instance, NOW + timedelta(minutes=4))[1] == []
