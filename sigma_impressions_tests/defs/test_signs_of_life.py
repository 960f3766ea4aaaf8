"""Signs of life: a run gives them while it runs, and one that gives none any more is not waited for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs import signs_of_life
from sigma_impressions.defs.runs import end_dead_runs
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.signs_of_life import ALIVE_TAG, SILENCE, SILENCE_BETWEEN_STEPS

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


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
    monkeypatch.setattr(signs_of_life, "time", made)
    return made


def started(instance: dg.DagsterInstance, tags: dict[str, str], *, in_a_step: bool = True) -> dg.DagsterRun:
    """A run of another machine that counts as started, perhaps with a step that has begun."""

    @dg.op
    def work() -> None: ...

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        work()

    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    if in_a_step:
        event = dg.DagsterEvent(dg.DagsterEventType.STEP_START.value, job_name="job", step_key="work")
        instance.report_dagster_event(event, run.run_id)
    return run


def sign(age: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) - age).isoformat()


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(("in_a_step", "longest"), [(True, SILENCE), (False, SILENCE_BETWEEN_STEPS)])
def test_a_run_without_a_sign_is_ended(
    instance: dg.DagsterInstance, clock: Clock, in_a_step: bool, longest: timedelta
) -> None:
    run = started(instance, {ALIVE_TAG: sign()}, in_a_step=in_a_step)
    assert end_dead_runs(instance) == 0
    clock.wait(longest - timedelta(seconds=1))
    assert end_dead_runs(instance) == 0
    # Another sign, whatever the clock of its machine says.
    instance.add_run_tags(run.run_id, {ALIVE_TAG: sign(timedelta(minutes=50))})
    assert end_dead_runs(instance) == 0
    clock.wait(longest)
    assert end_dead_runs(instance) == 1
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_who_looks_once_a_day_goes_by_the_clock(instance: dg.DagsterInstance, clock: Clock) -> None:
    run = started(instance, {ALIVE_TAG: LONG_AGO.isoformat()})
    assert end_dead_runs(instance) == 1
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE


def test_runs_of_others_are_left_alone(instance: dg.DagsterInstance, clock: Clock) -> None:
    started(instance, {})
    clock.wait(timedelta(days=2))
    assert end_dead_runs(instance) == 0


def test_a_run_gives_signs_while_it_runs(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "_SECONDS_BETWEEN_SIGNS", 0.01)
    seen: list[str | None] = []

    @dg.op(required_resource_keys={"source"})
    def work(context: dg.OpExecutionContext) -> None:
        def current() -> str | None:
            run = context.instance.get_run_by_id(context.run_id)
            return run.tags.get(ALIVE_TAG) if run else None

        first = current()
        while (later := current()) in (None, first):
            pass
        seen.extend([first, later])

    @dg.job(resource_defs={"source": SigmaSource()}, executor_def=dg.in_process_executor)
    def job() -> None:
        work()

    done = job.execute_in_process(instance=instance)
    assert done.success and seen[1] is not None
    after = instance.get_run_by_id(done.run_id)
    assert after is not None and ALIVE_TAG in after.tags


def test_the_first_sign_is_there_before_a_step_begins(instance: dg.DagsterInstance) -> None:
    """Nothing else is added to the tags at the same time, which would be lost, or lose it."""
    run = started(instance, {})
    with signs_of_life.signs_of_life(instance, run.run_id):
        found = instance.get_run_by_id(run.run_id)
        assert found is not None and ALIVE_TAG in found.tags
