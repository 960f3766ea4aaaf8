"""The deployment with Celery: a scan by the sensor, a backfill, a worker killed, a late file; as one machine."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from sigma_impressions.defs.build import JOB_NAME
from sigma_impressions.demo.generate import export_files
from sigma_impressions.exports.manifest import read_manifest
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.graphql import ask
from sigma_impressions_tests.servers.cluster import Cluster
from sigma_impressions_tests.servers.processes import Machine, pipeline, reader
from sigma_impressions_tests.servers.results import TODAY, assert_same, contents, fill, settings
from sigma_impressions_tests.servers.test_step_executors import assert_published_of_all
from sigma_impressions_tests.servers.test_storage import machine

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

DAYS = 13
"""Up to today, which has no export yet."""

MINUTES = 60
UNDER_WAY = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}

RUNS = """{ runsOrError { ... on Runs { results {
    runId status stepStats { status } tags { key value } } } } }"""
ASSETS = """{ assetNodes(loadMaterializations: false) { assetKey { path } jobNames } }"""
BACKFILL = """mutation { launchPartitionBackfill(backfillParams: { assetSelection: [%s], partitionNames: %s }) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILLS = """{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"""


def days() -> list[date]:
    return [TODAY - timedelta(days=age) for age in reversed(range(DAYS))]


class Ui:
    """What somebody sees and does in the UI."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ask(self._cluster.url, RUNS)["runsOrError"]["results"]
        return found

    def backfill(self, wanted: Sequence[date]) -> None:
        """Ask for all assets of the job: of some days those that have days, and then the others."""
        nodes = ask(self._cluster.url, ASSETS)["assetNodes"]
        keys = [node["assetKey"]["path"] for node in nodes if JOB_NAME in node["jobNames"]]
        assets = ", ".join(f"{{ path: {json.dumps(key)} }}" for key in keys)
        asked = BACKFILL % (assets, json.dumps(list(map(str, wanted))))
        launched = ask(self._cluster.url, asked)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + MINUTES * 60
        while not until():
            self._cluster.require_alive()
            assert time.monotonic() < deadline, self.runs()
            time.sleep(1)

    def wait_for_the_end(self) -> None:
        """Wait until no run is under way or asked for."""

        def has_ended() -> bool:
            backfills = ask(self._cluster.url, BACKFILLS)["partitionBackfillsOrError"]["results"]
            going_on = any(it["status"] in ("REQUESTED", "FAILING", "CANCELING") for it in backfills)
            return not going_on and not any(run["status"] in UNDER_WAY for run in self.runs())

        self.wait(has_ended)


@contextmanager
def reading(folder: Path, variables: dict[str, str], files: int) -> Iterator[None]:
    """Read what is published all the time, until it is of so many files, and has never been an older one."""
    folder.mkdir()
    other = Machine(folder, variables)
    process = other.start(reader(files))
    try:
        yield
        other.end(process)
    finally:
        process.kill()


@pytest.fixture
def variables(s3_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path) -> dict[str, str]:
    fill(s3_bucket, DAYS - 1)
    return {
        **settings(s3_bucket, tmp_path / "one"),
        "SIGMA_IMPRESSIONS_STORAGE": s3_storage.uri,
        "SIGMA_IMPRESSIONS_START_DATE": str(days()[0]),
    }


@pytest.fixture(params=["run", "step"])
def cluster(
    request: pytest.FixtureRequest, redis_url: str, postgres_url: str, variables: dict[str, str], tmp_path: Path
) -> Iterator[Cluster]:
    # What one test has left in a queue is not for the workers of the next one.
    broker = f"{redis_url.removesuffix('/0')}/{request.param_index}"
    with Cluster(tmp_path / "machines", request.param, broker, postgres_url, variables) as made:
        yield made


def test_a_cluster_makes_what_one_machine_makes(
    cluster: Cluster, variables: dict[str, str], s3_bucket: Any, tmp_path: Path
) -> None:
    ui = Ui(cluster)
    for name in ("worker-1", "worker-2"):
        cluster.start_worker(name)
    cluster.start_control()
    cluster.switch_on("new_export_files")
    ui.wait(lambda: bool(ui.runs()))
    ui.wait_for_the_end()
    assert Counter(run["status"] for run in ui.runs()).keys() == {"SUCCESS"}

    # One export of each day, one that is refused, and the late one.
    with reading(tmp_path / "reader", variables, DAYS + 1):
        ((key, data), *_) = export_files(TODAY - timedelta(days=9), seed=8)
        s3_bucket.put(key.replace("T00-30", "T00-31"), data)
        ui.backfill(days())
        ui.wait(lambda: sum(is_in_a_step(run) for run in ui.runs()) > 1)
        cluster.kill("worker-1")
        cluster.start_worker("worker-3")
        ui.wait_for_the_end()
        assert Counter(run["status"] for run in ui.runs())["FAILURE"] >= 1
        # Those of its days that nobody has asked for again.
        ui.backfill(days())
        ui.wait_for_the_end()
    cluster.stop()
    with machine(tmp_path / "looking", variables) as stored:
        assert_published_of_all(stored)
        assert read_manifest(stored).collect().height == DAYS + 1
        found = contents(stored)
    one = Machine(tmp_path / "one", settings(s3_bucket, tmp_path / "one"))
    one.run(pipeline(days()))
    assert_same(contents(tmp_path / "one" / "data"), found)


def is_in_a_step(run: dict[str, Any]) -> bool:
    return run["status"] == "STARTED" and any(step["status"] == "IN_PROGRESS" for step in run["stepStats"])
