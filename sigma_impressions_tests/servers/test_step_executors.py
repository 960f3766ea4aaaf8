"""A process for each step, each on another machine than the one before: the same results as of one process."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.publish import DATABASE_ASSET
from sigma_impressions.defs.report import REPORT_ASSET
from sigma_impressions.demo.generate import export_files
from sigma_impressions.insights.thresholds import DEFAULT_RULES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.contents import AllContents
from sigma_impressions.report.write import published_pair, write_report
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.servers.processes import Machine, pipeline
from sigma_impressions_tests.servers.results import TODAY, assert_same, contents, fill, settings
from sigma_impressions_tests.servers.test_storage import machine

MACHINES = 3

EXECUTOR = dg.multiprocess_executor.configured(
    {
        "max_concurrent": 2,
        "start_method": {"forkserver": {"preload_modules": ["sigma_impressions_tests.servers.preloaded"]}},
    }
)


def job_on_another_machine(variables: dict[str, str]) -> dg.JobDefinition:
    """The job in a process that has the cache of the next machine in turn; Dagster calls it in each process."""
    folder = Path(variables["SIGMA_IMPRESSIONS_PROJECT"])
    turns = os.open(folder / "turns", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    turn = os.write(turns, b".") and os.lseek(turns, 0, os.SEEK_CUR)
    os.close(turns)
    os.environ.update(variables | cache_of(folder, turn))
    return build_definitions(executor=EXECUTOR).resolve_job_def(JOB_NAME)


def cache_of(folder: Path, number: int) -> dict[str, str]:
    return {"SIGMA_IMPRESSIONS_CACHE": str(folder / f"cache {number % MACHINES}")}


def assert_published_of_all(stored: Tables) -> str:
    """The published pair is one, and of what the tables hold now; what it is made from."""
    with published_pair(stored.storage) as pair:
        current = AllContents(stored, DEFAULT_RULES, with_members=False).as_of(pair.publication.as_of)
        assert current.is_current
        assert pair.publication.made_from == current.made_from
        return current.made_from


PUBLISHING = [dg.AssetKey(DATABASE_ASSET), dg.AssetKey(REPORT_ASSET)]


@pytest.mark.slow
@pytest.mark.parametrize("selection", [PUBLISHING, pytest.param(None, marks=pytest.mark.soak)])
def test_steps_on_several_machines_make_what_one_process_makes(
    selection: list[dg.AssetKey] | None, s3_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path
) -> None:
    fill(s3_bucket, 2)
    days = [TODAY - timedelta(days=age) for age in range(3)]
    apart, together = tmp_path / "apart", tmp_path / "together"
    stored_in = {**settings(s3_bucket, apart), "SIGMA_IMPRESSIONS_STORAGE": s3_storage.uri}
    first = Machine(apart, {**stored_in, **cache_of(apart, 0)})
    first.run(pipeline(days))
    for number in range(MACHINES):
        with machine(apart, {**stored_in, **cache_of(apart, number)}) as stored:
            write_report(stored.storage, "Sigma Impressions")
            earlier = assert_published_of_all(stored)
    # A late file, after which what all have is older.
    ((key, data), *_) = export_files(TODAY - timedelta(days=1), seed=8)
    s3_bucket.put(key.replace("T00-30", "T00-31"), data)
    if selection is not None:
        # One machine has captured it, and published the database; the report is missing.
        first.run(pipeline(days))
    with machine(apart, {**stored_in, **cache_of(apart, 0)}) as stored:
        with (
            dg.DagsterInstance.get() as instance,
            # The variables too: the server that forks the processes has those of who has started it first.
            dg.execute_job(
                dg.build_reconstructable_job(__name__, job_on_another_machine.__name__, (dict(os.environ),)),
                instance,
                asset_selection=selection,
            ) as result,
        ):
            assert result.success
        assert assert_published_of_all(stored) != earlier
        found = contents(stored)
    one = Machine(together, settings(s3_bucket, together))
    one.run(pipeline(days))
    assert_same(contents(together / "data"), found)
