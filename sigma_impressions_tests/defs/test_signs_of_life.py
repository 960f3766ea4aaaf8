"""Signs of life: a run gives them while it runs."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs import signs_of_life
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.signs_of_life import ALIVE_TAG, ENDED


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as made:
        yield made


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
    assert after is not None and after.tags[ALIVE_TAG].endswith(ENDED)


def test_the_first_sign_is_there_before_a_step_begins(instance: dg.DagsterInstance) -> None:
    """Nothing else is added to the tags at the same time, which would be lost, or lose it."""

    @dg.job
    def job() -> None: ...

    run = instance.create_run_for_job(job)
    with signs_of_life.signs_of_life(instance, run.run_id):
        found = instance.get_run_by_id(run.run_id)
        assert found is not None and ALIVE_TAG in found.tags
