"""Days, chunks of days, and what a killed run left behind."""

import os
import socket
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.scoped_resources_builder import ScopedResourcesBuilder
from dagster._core.execution.context.init import InitResourceContext
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from hypothesis import given
from hypothesis import strategies as st

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.days import build_days, days_of, note_days
from sigma_impressions.defs.names import PLAIN_NAMES
from sigma_impressions.defs.partitions import BACKFILL_POLICY, daily_partitions
from sigma_impressions.defs.runs import days_of_run, end_dead_runs, range_tags
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.scan import chunks
from sigma_impressions.settings.read import read_leniently, read_settings
from sigma_impressions_tests.commands import environment

SETTINGS = read_settings({"bucket_uri": "s3://acme/exports", "storage": "unused"})


@given(first=st.dates(date(2020, 1, 1), date(2030, 1, 1)), length=st.integers(1, 40))
def test_chunks_hold_every_day_once_in_order(first: date, length: int) -> None:
    made = list(chunks(first, first + timedelta(days=length - 1)))
    assert [day for chunk in made for day in chunk] == [first + timedelta(days=n) for n in range(length)]
    assert all(len(chunk) == 6 for chunk in made[:-1])
    assert 1 <= len(made[-1]) <= 6


def test_no_days_are_no_chunks() -> None:
    assert list(chunks(date(2026, 1, 2), date(2026, 1, 1))) == []


@pytest.mark.parametrize(
    ("text", "day"),
    [
        (None, date(2026, 1, 1)),
        ("", date(2026, 1, 1)),
        ("soon", date(2026, 1, 1)),
        ("20260101", date(2026, 1, 1)),
        ("2026-02-30", date(2026, 1, 1)),
        (" 2026-03-01 ", date(2026, 3, 1)),
    ],
)
def test_the_first_day(text: str | None, day: date) -> None:
    environ = {} if text is None else {"SIGMA_IMPRESSIONS_START_DATE": text}
    assert read_leniently(environ).start_date == day


def test_a_step_in_a_process_of_its_own_has_the_days_that_an_earlier_one_gave_the_run() -> None:
    earlier = [date(2026, 10, day) for day in (1, 2, 3)]
    with dg.DagsterInstance.ephemeral() as instance:
        # As each of these processes has it: before any step was executed.
        launched = instance.create_run_for_job(build_definitions().resolve_job_def(JOB_NAME))
        instance.add_run_tags(launched.run_id, range_tags(earlier))
        source = SigmaSource(bucket_uri="s3://acme/exports")
        context = InitResourceContext(
            resource_config=None,
            resource_def=None,
            all_resource_defs={},
            resources=ScopedResourcesBuilder({PLAIN_NAMES.resource: source}).build({PLAIN_NAMES.resource}),
            dagster_run=launched,
            instance=instance,
        )
        build_days().resource_fn(context)
        stored = instance.get_run_by_id(launched.run_id)
        assert stored is not None
        assert days_of_run(stored.tags) == days_of_run(launched.tags) == (earlier[0], earlier[-1])


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_days_beyond_the_run_are_noted_where_they_have_a_partition() -> None:
    partitions = daily_partitions(date(2026, 10, 1))
    key = dg.AssetKey("days")
    run = [date(2026, 10, 5), date(2026, 10, 6)]
    noted = [date(2026, 9, 30), date(2026, 10, 2), *run, date(2999, 1, 1)]

    @dg.asset(name="days", partitions_def=partitions, backfill_policy=BACKFILL_POLICY)
    def days(context: dg.AssetExecutionContext) -> None:
        assert days_of(context, SETTINGS) == run
        note_days(context, key, partitions, noted, {day: {"of": str(day)} for day in noted})

    with dg.DagsterInstance.ephemeral() as instance:
        range_of_run = {ASSET_PARTITION_RANGE_START_TAG: "2026-10-05", ASSET_PARTITION_RANGE_END_TAG: "2026-10-06"}
        dg.materialize([days], instance=instance, tags=range_of_run)
        found = instance.fetch_materializations(key, limit=10).records
    assert sorted((record.partition_key, record.asset_materialization.metadata["of"].value) for record in found) == [
        (day, day) for day in ("2026-10-02", "2026-10-05", "2026-10-06")
    ]


def started_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    @dg.job
    def nothing() -> None:
        pass

    run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_only_the_runs_of_dead_processes_of_this_host_are_ended() -> None:
    host, dead = socket.gethostname(), ended_process()
    tag = "sigma_impressions/process"
    with dg.DagsterInstance.ephemeral() as instance:
        of_dead = started_run(instance, {tag: f"{host}/{dead}"})
        others = [
            started_run(instance, tags)
            for tags in ({tag: f"{host}/{os.getpid()}"}, {tag: f"{host}/1"}, {tag: f"not-{host}/{dead}"}, {})
        ]
        assert end_dead_runs(instance) == 1
        status = {run.run_id: run.status for run in instance.get_runs()}
        assert status.pop(of_dead) == dg.DagsterRunStatus.FAILURE
        assert status == dict.fromkeys(others, dg.DagsterRunStatus.STARTED)
        assert end_dead_runs(instance) == 0


OPEN_INSTANCE = """
import io, os, pathlib
from rich.console import Console
from sigma_impressions.console import Progress
from sigma_impressions.scan import ScanOptions, scan_all
print("ready", flush=True)
input()
home = pathlib.Path(os.environ["DAGSTER_HOME"])
scan_all(Progress(Console(file=io.StringIO())), home, [], ScanOptions(), "test")
"""


@pytest.mark.slow
def test_runs_that_start_at_once_share_a_new_instance(tmp_path: Path) -> None:
    env = environment(tmp_path, {}, new_instance=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_INSTANCE],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    # Nor is the instance broken for those who come later.
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster_home")) as instance:
        assert instance.get_runs_count() == 0
