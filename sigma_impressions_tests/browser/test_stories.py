"""What an operator does in the Dagster UI, in a real browser: one `dagster dev`, from a fresh instance on."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from sigma_impressions.demo.generate import export_files, refused_file
from sigma_impressions_tests.browser.conftest import ARTEFACTS, ASSETS, open_page
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import S3Bucket
from sigma_impressions_tests.servers.programs import any_free_port
from sigma_impressions_tests.servers.results import TODAY, fill, settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

LOCATION = "/locations/sigma_impressions.definitions"
PATIENCE = 60_000
"""Milliseconds in which the UI has to show what is there; on a busy machine a page takes its time."""

DAYS = 10
REPOSITORY = Path(__file__).parents[2]

_IMPATIENT = """
import multiprocessing
import sys

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2

started, forked = multiprocessing.get_context, multiprocessing.get_context("forkserver")
forked.set_forkserver_preload(["sigma_impressions_tests.servers.preloaded", "dagster._grpc.server"])
multiprocessing.get_context = lambda method=None: forked if method == "spawn" else started(method)
"""
"""Imported when a Python starts. Dagster looks every 30 s whether a backfill goes on, and this one has five steps; and
the process of each run would make all imports anew, which takes longer than its work."""


@dataclass(frozen=True)
class Dev:
    """A running `dagster dev` and the bucket it reads."""

    url: str
    bucket: S3Bucket


@pytest.fixture
def dev(s3_bucket: S3Bucket, tmp_path: Path) -> Iterator[Dev]:
    fill(s3_bucket, DAYS)
    env = environment(tmp_path, settings(s3_bucket, tmp_path / "resources"), new_instance=True)
    env["SIGMA_IMPRESSIONS_START_DATE"] = str(TODAY - timedelta(days=DAYS - 1))
    (tmp_path / "impatient").mkdir()
    (tmp_path / "impatient" / "sitecustomize.py").write_text(_IMPATIENT)
    env["PYTHONPATH"] = f"{tmp_path / 'impatient'}:{REPOSITORY}"
    shutil.copy(REPOSITORY / "dagster_home" / "dagster.yaml", env["DAGSTER_HOME"])
    port = any_free_port()
    command = [sys.executable, "-m", "dagster", "dev", "-m", "sigma_impressions.definitions"]
    with (tmp_path / "dev.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=env, cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        yield Dev(f"http://127.0.0.1:{port}", s3_bucket)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def test_a_day_of_an_operator(dev: Dev, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 2400, "height": 1100})
    page.set_default_timeout(PATIENCE)

    # The asset graph, from left to right.
    open_page(page, f"{dev.url}{LOCATION}/asset-groups/sigma_impressions")
    boxes = {name: _node(page, name).bounding_box() for name in ASSETS}
    left = {name: box["x"] for name, box in boxes.items() if box}
    assert left["raw_export_files"] < left["normalized_impressions"] < left["daily_impressions"]
    assert left["daily_impressions"] < left["resource_impressions"] < left["sigma_impressions_database"]

    # Test the source, and read the result.
    page.goto(f"{dev.url}{LOCATION}/jobs/test_source/playground")
    page.get_by_role("button", name="Launch run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    expect(page.get_by_text(re.compile("^ok  rows: ")).first).to_be_visible(timeout=PATIENCE)
    page.get_by_text("[Show Markdown]").click()
    steps = page.get_by_role("dialog").get_by_role("row")
    expect(steps.filter(has_text="credentials")).to_contain_text("an access key pair from the settings")
    expect(steps.filter(has_text="resources")).to_contain_text("ok")
    page.screenshot(path=ARTEFACTS / "test-source.png")

    # Materialize today's partition. No export is of today yet.
    page.goto(f"{dev.url}{LOCATION}/asset-groups/sigma_impressions")
    _materialize(page, lambda dialog: dialog.get_by_role("button", name="Latest", exact=True).click())
    _ended(page, dev.url, runs=2)
    _eventually(page, f"{dev.url}/runs", lambda: page.get_by_text("Success", exact=True).count() == 2)
    assert _impressions(page, dev.url) == 0

    # New files on the object store, one of which cannot be read: the sensor starts a run, the metric changes.
    for key, data in [*export_files(TODAY), refused_file(TODAY)]:
        dev.bucket.put(key, data)
    page.goto(f"{dev.url}{LOCATION}/sensors/new_export_files")
    _switch(page)
    _ended(page, dev.url, runs=3)
    _eventually(page, f"{dev.url}/runs", lambda: page.get_by_text("Success", exact=True).count() == 3)
    expect(page.get_by_text("new_export_files").first).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=ARTEFACTS / "runs.png")
    assert _impressions(page, dev.url) > 0
    page.goto(f"{dev.url}{LOCATION}/sensors/new_export_files")
    _switch(page)
    page.screenshot(path=ARTEFACTS / "sensor.png")

    # The red check says which file was refused, and why.
    page.goto(f"{dev.url}/assets/normalized_impressions?view=checks&checkDetail=files_are_readable")
    expect(page.get_by_text(re.compile(r"2 of \d+ files were refused")).first).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(refused_file(TODAY)[0]).first).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=ARTEFACTS / "red-check.png")

    # A backfill of ten days, which finishes.
    page.goto(f"{dev.url}{LOCATION}/asset-groups/sigma_impressions")
    _materialize(page, lambda dialog: dialog.get_by_role("button", name="All", exact=True).click())
    _ended(page, dev.url, backfills=1)
    _eventually(
        page,
        f"{dev.url}/runs?view=backfills",
        lambda: page.get_by_text(re.compile("^(Success|Completed)$")).count() == 1,
    )
    page.screenshot(path=ARTEFACTS / "backfill.png")

    page.goto(f"{dev.url}{LOCATION}/asset-groups/sigma_impressions")
    expect(page.get_by_text("100% filled")).to_have_count(6, timeout=PATIENCE)
    page.screenshot(path=ARTEFACTS / "asset-graph.png")
    page.close()


def _node(page: Page, name: str) -> Locator:
    node = page.get_by_text(name, exact=True).first
    expect(node).to_be_visible(timeout=PATIENCE)
    return node


def _materialize(page: Page, choose: Callable[[Locator], None]) -> None:
    """Materialize all assets of the group; `choose` selects the partitions."""
    page.get_by_role("button", name="Materialize all").first.click()
    dialog = page.get_by_role("dialog")
    choose(dialog)
    dialog.get_by_role("button", name=re.compile("Launch")).click()
    expect(dialog).to_have_count(0, timeout=PATIENCE)


def _switch(page: Page) -> None:
    """Switch the sensor of the page on or off."""
    # The check box itself lies outside of the view, under the switch that is drawn.
    page.get_by_role("checkbox").first.dispatch_event("click")
    page.wait_for_timeout(1000)


def _impressions(page: Page, url: str) -> int:
    """The impressions of 14 days that the page of today's partition shows."""
    page.goto(f"{url}/assets/resource_impressions?view=partitions&partition={TODAY}")
    # Not the row of the preview, whose table has a column of that name.
    row = page.locator("//tr[td[1][normalize-space()='total_impressions_14d']]").first
    expect(row).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=ARTEFACTS / "today.png")
    found = re.search(r"total_impressions_14d\D*(\d[\d,]*)", row.inner_text())
    assert found is not None, row.inner_text()
    return int(found[1].replace(",", ""))


ENDED = """{
  runsOrError(filter: {statuses: [SUCCESS]}) { ... on Runs { results { runId } } }
  partitionBackfillsOrError(status: COMPLETED_SUCCESS) { ... on PartitionBackfills { results { id } } }
}"""


def _ended(page: Page, url: str, *, runs: int = 0, backfills: int = 0, seconds: float = 200) -> None:
    """Wait until so many have ended well. A page that is open meanwhile would draw and ask all the time."""
    page.goto("about:blank")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page.wait_for_timeout(1000)
        found = page.request.post(f"{url}/graphql", data={"query": ENDED}).json()["data"]
        ended = len(found["runsOrError"]["results"]), len(found["partitionBackfillsOrError"]["results"])
        if ended[0] >= runs and ended[1] >= backfills:
            return


def _eventually(page: Page, url: str, condition: Callable[[], bool], seconds: float = 200) -> None:
    """Look at a page again and again until it shows what is waited for."""
    deadline = time.monotonic() + seconds
    while True:
        page.goto(url)
        for _ in range(10):
            page.wait_for_timeout(250)
            if condition():
                return
        if time.monotonic() > deadline:
            page.screenshot(path=ARTEFACTS / "not-seen.png")
            pytest.fail(f"{url} did not show in {seconds:.0f} s what was expected; see artefacts/not-seen.png")
