"""Silence: a run that gives no sign of life any more is not waited for, and none that lives is failed."""

import socket
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData

from sigma_impressions.defs import silence
from sigma_impressions.defs.runs import PROCESS_TAG, created_at, end_dead_runs, has_died
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.signs_of_life import ALIVE_TAG, ENDED
from sigma_impressions.defs.silence import SILENCE, SILENCE_BETWEEN_STEPS

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OURS, OTHERS = "ours", "others"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


class Clock:
    """What this process takes for the time that has passed."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, time: timedelta) -> None:
        self.now += time.total_seconds()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(silence, "time", made)
    return made


def watch(instance: dg.DagsterInstance, clock: Clock, time: timedelta) -> int:
    """Look at the runs every minute, as the sensor does; how many were ended in that time."""
    ended = end_dead_runs(instance)
    while time > timedelta(0):
        clock.wait(min(time, timedelta(minutes=1)))
        time -= timedelta(minutes=1)
        ended += end_dead_runs(instance)
    return ended


def started(
    instance: dg.DagsterInstance,
    tags: Mapping[str, str],
    *steps: str,
    under_way: str | None = None,
    parent: dg.DagsterRun | None = None,
) -> dg.DagsterRun:
    """A run of another machine that counts as started: of steps of ours and of others, one of which may run."""

    @dg.op(name=OURS, required_resource_keys={"emea__source"})
    def ours() -> None: ...

    @dg.op(name=OTHERS, required_resource_keys={"source"})
    def others() -> None: ...

    @dg.job(
        resource_defs={"emea__source": SigmaSource(), "source": dg.ResourceDefinition.hardcoded_resource("another")},
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        for step in steps or (OURS,):
            {OURS: ours, OTHERS: others}[step]()

    before = parent.run_id if parent else None
    run = instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.STARTED, tags=tags, parent_run_id=before, root_run_id=before
    )
    if under_way is not None:
        event = dg.DagsterEvent(dg.DagsterEventType.STEP_START.value, job_name="job", step_key=under_way)
        instance.report_dagster_event(event, run.run_id)
    return run


def sign(age: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) - age).isoformat()


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(
    ("last_word", "under_way", "longest"),
    [("", None, SILENCE), (ENDED, None, SILENCE_BETWEEN_STEPS), (ENDED, OURS, SILENCE)],
    ids=["a process", "none", "another step of several"],
)
def test_a_run_without_a_sign_is_ended(
    instance: dg.DagsterInstance, clock: Clock, last_word: str, under_way: str | None, longest: timedelta
) -> None:
    run = started(instance, {ALIVE_TAG: sign() + last_word}, under_way=under_way)
    assert watch(instance, clock, longest - timedelta(seconds=1)) == 0
    # Another sign, whatever the clock of its machine says.
    instance.add_run_tags(run.run_id, {ALIVE_TAG: sign(timedelta(minutes=50)) + last_word})
    assert watch(instance, clock, longest - timedelta(seconds=1)) == 0
    assert watch(instance, clock, timedelta(seconds=1)) == 1
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_one_that_died_before_its_first_sign_is_ended(instance: dg.DagsterInstance, clock: Clock) -> None:
    """Where steps are executed by workers, it waits for the first of them without any."""
    run = started(instance, {})
    assert watch(instance, clock, SILENCE_BETWEEN_STEPS - timedelta(seconds=1)) == 0
    assert watch(instance, clock, timedelta(minutes=1)) == 1
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


@pytest.mark.parametrize("last", [dg.DagsterEventType.RUN_START, dg.DagsterEventType.RESOURCE_INIT_STARTED])
def test_one_that_was_about_to_give_its_first_sign_is_ended(
    instance: dg.DagsterInstance, clock: Clock, last: dg.DagsterEventType
) -> None:
    run = started(instance, {})
    event = dg.DagsterEvent(last.value, job_name="job", event_specific_data=EngineEventData())
    instance.report_dagster_event(event, run.run_id)
    assert watch(instance, clock, SILENCE - timedelta(seconds=1)) == 0
    assert watch(instance, clock, timedelta(seconds=1)) == 1


def test_who_could_not_look_does_not_call_a_run_silent(instance: dg.DagsterInstance, clock: Clock) -> None:
    """Dagster's storage was away for an hour: who looks is there again before who gives signs."""
    run = started(instance, {ALIVE_TAG: sign()}, under_way=OURS)
    assert end_dead_runs(instance) == 0
    clock.wait(timedelta(hours=1))
    assert watch(instance, clock, timedelta(minutes=2)) == 0
    instance.add_run_tags(run.run_id, {ALIVE_TAG: sign(timedelta(seconds=1))})
    assert watch(instance, clock, SILENCE - timedelta(seconds=1)) == 0


def test_who_looks_once_goes_by_the_clock(instance: dg.DagsterInstance, clock: Clock) -> None:
    run = started(instance, {ALIVE_TAG: sign()}, under_way=OURS)
    later = instance.get_run_by_id(run.run_id)
    assert later is not None
    assert silence.silence_of(instance, later, LONG_AGO) is None
    silence.forget_others([])
    instance.add_run_tags(run.run_id, {ALIVE_TAG: LONG_AGO.isoformat()})
    later = instance.get_run_by_id(run.run_id)
    assert later is not None
    assert "2020-01-01" in (silence.silence_of(instance, later, LONG_AGO) or "")


def test_the_signs_of_the_run_before_do_not_count(instance: dg.DagsterInstance, clock: Clock) -> None:
    """A run that is tried again has its tags, and no sign of its own before its first step."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    tags = {ALIVE_TAG: LONG_AGO.isoformat(), PROCESS_TAG: f"{socket.gethostname()}/{gone.pid}"}
    run = started(instance, tags, parent=started(instance, tags))
    assert not has_died(run)
    ((looked, began),) = [(it.dagster_run, created_at(it)) for it in instance.get_run_records(limit=1)]
    assert looked.run_id == run.run_id
    for _ in range(10):
        assert silence.silence_of(instance, looked, began) is None
        clock.wait(SILENCE / 5)


def test_steps_of_others_need_not_give_signs(instance: dg.DagsterInstance, clock: Clock) -> None:
    """A step of another asset may take hours in a process of its own, or wait as long for its turn."""
    for under_way in (None, OTHERS):
        for last_word in ("", ENDED):
            started(instance, {ALIVE_TAG: sign() + last_word}, OURS, OTHERS, under_way=under_way)
        started(instance, {}, OTHERS, under_way=under_way)
    assert watch(instance, clock, SILENCE_BETWEEN_STEPS + timedelta(minutes=1)) == 0


def test_beside_steps_of_others_ours_give_signs(instance: dg.DagsterInstance, clock: Clock) -> None:
    started(instance, {ALIVE_TAG: sign()}, OURS, OTHERS, under_way=OURS)
    assert watch(instance, clock, SILENCE) == 1
