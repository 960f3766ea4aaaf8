"""The deployment with Celery: a scan by the sensor, a backfill, a worker killed, a late file; as one machine."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from sigma_impressions.demo.generate import export_files
from sigma_impressions.exports.manifest import read_manifest
from sigma_impressions.lake.storage import Storage
from sigma_impressions.lake.tables import Tables
from sigma_impressions.report.write import published_pair, write_report
from sigma_impressions_tests.conftest import RemoteStorage
from sigma_impressions_tests.servers.cluster import Cluster
from sigma_impressions_tests.servers.processes import Machine, pipeline, reader
from sigma_impressions_tests.servers.results import TODAY, assert_same, contents, fill, settings
from sigma_impressions_tests.servers.test_step_executors import assert_published_of_all
from sigma_impressions_tests.servers.test_storage import machine
from sigma_impressions_tests.servers.ui import Ui

pytestmark = [pytest.mark.soak, pytest.mark.timeout(5400)]

DAYS = 30
"""Up to today, which has no export yet."""

KILLS = 20
MOST_SECONDS = 5.0
"""Between a worker's having something to do and its end, at most; most runs here take about as long."""


def days() -> list[date]:
    return [TODAY - timedelta(days=age) for age in reversed(range(DAYS))]


@contextmanager
def reading(folder: Path, variables: dict[str, str], files: int) -> Iterator[None]:
    """Read what is published all the time; in the end it is of so many files, and it never was an older one."""
    folder.mkdir()
    other = Machine(folder, variables)
    enough = folder / "enough"
    process = other.start(reader(files, until=enough))
    try:
        yield
        enough.touch()
        other.end(process)
        print(other.log.read_text(encoding="utf-8"))
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
    # Runs of workers that are gone count until they are failed.
    many = {"CELERY_RUNS": str(KILLS + 2)}
    with Cluster(tmp_path / "machines", request.param, broker, postgres_url, variables | many) as made:
        yield made


def test_a_cluster_makes_what_one_machine_makes(
    cluster: Cluster, variables: dict[str, str], s3_bucket: Any, tmp_path: Path
) -> None:
    ui = Ui(cluster)
    for name in ("worker-1", "worker-2"):
        cluster.start_worker(name)
    cluster.start_control()
    # One export of each day, one that is refused, and the late one.
    with reading(tmp_path / "reader", variables, DAYS + 1):
        cluster.switch_on("new_export_files")
        ui.wait(lambda: bool(ui.runs()))
        ui.wait_for_the_end()
        assert Counter(run["status"] for run in ui.runs()).keys() == {"SUCCESS"}

        ui.backfill(days())
        ui.wait(lambda: len(cluster.busy()) == 2)
        kill_workers(cluster, ui, KILLS // 2)
        ((key, data), *_) = export_files(TODAY - timedelta(days=9), seed=8)
        s3_bucket.put(key.replace("T00-30", "T00-31"), data)
        kill_workers(cluster, ui, KILLS - KILLS // 2)
        ui.wait_for_the_end()
        print(Counter(run["status"] for run in ui.runs()))
        assert Counter(run["status"] for run in ui.runs())["FAILURE"] >= 1
        # Those of its days that nobody has asked for again.
        ui.backfill(days())
        ui.wait_for_the_end()
    cluster.stop()
    one = Machine(tmp_path / "one", settings(s3_bucket, tmp_path / "one"))
    one.run(pipeline(days()))
    with machine(tmp_path / "looking", variables) as stored:
        assert_published_of_all(stored)
        assert read_manifest(stored).collect().height == DAYS + 1
        assert_same(contents(tmp_path / "one" / "data"), contents(stored))
        alone = Tables(tmp_path / "one" / "data").storage
        write_report(alone, "Sigma Impressions")
        assert shown(alone) == shown(stored.storage)


def kill_workers(cluster: Cluster, ui: Ui, kills: int) -> None:
    """Kill workers that have something to do, at random moments, and start others in their places."""
    moments = random.Random(kills)

    def is_one_killed() -> bool:
        if not cluster.busy():
            if not ui.has_queued():
                ui.backfill(days())
                ui.wait(lambda: ui.has_queued() or bool(cluster.busy()))
            return False
        time.sleep(moments.uniform(0, MOST_SECONDS))
        if not (busy := cluster.busy()):
            return False
        killed = moments.choice(busy)
        cluster.kill(killed)
        cluster.start_worker(f"{killed}+")
        print(f"killed: {killed}")
        return True

    for _ in range(kills):
        ui.wait(is_one_killed)


def shown(storage: Storage) -> str:
    """What the report of what is published shows, but for the moment and the inputs that it is of."""
    with published_pair(storage) as pair:
        text = pair.report.read_text(encoding="utf-8")
    moment = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}[^<\"]*|\d{2}:\d{2} UTC"
    return re.sub(rf"\b[0-9a-f]{{16,}}\b|{moment}", "", text)
