"""The demo in a real browser: the Dagster UI on its data, and its report."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from sigma_impressions.demo.generate import PREFIX
from sigma_impressions.demo.run import BUCKET
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.write import REPORT_NAME
from sigma_impressions_tests.browser.conftest import ARTEFACTS, ASSETS, Seen, open_page
from sigma_impressions_tests.browser.reference import Choice, Reference
from sigma_impressions_tests.browser.test_report_choices import EXTRACT, assert_overview
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.graphql import runs_of_the_job, source_of

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Demo:
    """The running demo: where its UI answers, and the report that it has written."""

    url: str
    report: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo with its UI, over few days, as `make demo` starts it."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(Path(__file__).parents[2] / "dagster_home" / "dagster.yaml", folder)
    # Those of a user who has a source of their own.
    (folder / ".env").write_text(
        "SIGMA_IMPRESSIONS_BUCKET_URI=s3://acme-audit/sigma\nAWS_ENDPOINT_URL_S3=http://127.0.0.1:9\n"
        "SIGMA_IMPRESSIONS_STORAGE=elsewhere\n"
    )
    command = [sys.executable, "-c", "from sigma_impressions.cli import main; main()", "demo", "--days", "6"]
    process = subprocess.Popen(
        command,
        env={**environment(folder, {}, new_instance=True), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = _announced_url(process)
        (report,) = folder.rglob(REPORT_NAME)
        yield Demo(url, report)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _announced_url(process: subprocess.Popen[str]) -> str:
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if match := re.search(r"Dagster UI: (http://127\.0\.0\.1:\d+)", line):
            return match[1]
    pytest.fail("The demo ended before it had started the UI:\n" + "".join(lines))


@pytest.fixture
def page(browser: Browser, demo: Demo) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 2400, "height": 1100})
    open_page(page, f"{demo.url}/asset-groups")
    yield page
    page.close()


def test_the_graph_shows_every_asset(page: Page, demo: Demo) -> None:
    # The group's own page: with several groups, the graph of all assets opens with its groups closed.
    open_page(page, f"{demo.url}/locations/sigma_impressions/asset-groups/sigma_impressions")
    for name in ASSETS:
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Failed to load")).to_have_count(0)


def test_the_demo_works_on_its_own_data_whatever_the_projects_settings_say(demo: Demo) -> None:
    assert source_of(demo.url) == f"s3://{BUCKET}/{PREFIX}"


def test_the_runs_of_the_command_are_listed_with_the_job(demo: Demo) -> None:
    assert len(runs_of_the_job(demo.url)) >= 1


def test_an_asset_says_what_it_is_and_what_it_holds(page: Page, demo: Demo) -> None:
    open_page(page, f"{demo.url}/assets/sigma_impressions_database")
    expect(page.get_by_text("one complete, consistent result").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("top_workbooks").first).to_be_visible(timeout=60_000)
    page.screenshot(path=ARTEFACTS / "database-asset.png")


def test_columns_are_described(page: Page, demo: Demo) -> None:
    open_page(page, f"{demo.url}/assets/resource_impressions")
    expect(page.get_by_text("name of the workbook, data model or element").first).to_be_visible(timeout=60_000)


def test_the_list_of_runs_shows_their_days(page: Page, demo: Demo) -> None:
    open_page(page, f"{demo.url}/runs")
    expect(page.get_by_text(re.compile(r"^days: \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d$")).first).to_be_visible(
        timeout=60_000
    )
    page.screenshot(path=ARTEFACTS / "runs.png")


def test_the_report_has_the_figures_of_the_database(seen: Seen, demo: Demo) -> None:
    reference = Reference(demo.report.with_name(DATABASE_NAME))
    reference.choose(Choice())
    assert_overview(seen.open(demo.report).evaluate(EXTRACT), reference)
