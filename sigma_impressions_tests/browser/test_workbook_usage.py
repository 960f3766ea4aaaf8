"""A deployment with dagster-sigma's assets and ours: workbooks show their usage, and hostile texts are only read."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from playwright.sync_api import Browser, Page, expect

from sigma_impressions.demo.fake_sigma import FakeSigma
from sigma_impressions_tests.browser.conftest import ARTEFACTS, open_page
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, http_stub
from sigma_impressions_tests.commands import environment, sigma_impressions
from sigma_impressions_tests.conftest import new_bucket
from sigma_impressions_tests.servers.programs import any_free_port
from sigma_impressions_tests.upstream.organizations import large_organization

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
WORKSPACE = PROJECT / "examples" / "dagster_sigma" / "workspace.yaml"
NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


EVIL = "evil.example"
"""A host that nothing may lead to."""


@pytest.fixture(scope="module")
def tracker() -> Iterator[HttpStub]:
    """A server that hostile texts want the browser to ask."""
    with http_stub(lambda _: Answer(200)) as stub:
        yield stub


@pytest.fixture(scope="module")
def hostile(tracker: HttpStub) -> str:
    """A text that is a link, an image and more where it is taken for markup."""
    return (
        f"![x]({tracker.url}/track.png) [Sign in](https://{EVIL}/login) https://{EVIL}/a www.{EVIL} "
        f"<img src={tracker.url}/img.png> **bold** a@{EVIL} \u202egpj.exe\u202c"
    )


@pytest.fixture(scope="module")
def sigma(hostile: str) -> Iterator[FakeSigma]:
    with FakeSigma(large_organization(3, 6)) as running:
        first, second, _ = running.organization.workbooks
        first |= {"name": hostile, "path": f"Acme/{hostile}", "url": "javascript:alert(1)"}
        second["name"] = "Lead Funnel"
        yield running


@dataclass(frozen=True)
class Deployment:
    """The UI of a deployment, and its folder."""

    url: str
    folder: Path
    home: Path


@pytest.fixture(scope="module")
def deployment(
    sigma: FakeSigma, hostile: str, s3_server: Any, s3_client: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """One scan of three views, and of files with hostile keys, headers and rows; then the UI on its workspace."""
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "dagster_home").mkdir()
    (folder / "dagster_home" / "dagster.yaml").write_bytes((PROJECT / "dagster_home" / "dagster.yaml").read_bytes())
    bucket = new_bucket(s3_server, s3_client)
    env = environment(
        folder,
        {
            **bucket.environment(),
            **sigma.environment(),
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}exports",
            "SIGMA_IMPRESSIONS_WORKBOOK_OBSERVATIONS": "on",
        },
    )
    first, second, _ = (workbook["workbookUrlId"] for workbook in sigma.organization.workbooks)
    views = (("ann", second, 30), ("bob", second, 11), ("ann", first, 1))
    rows = [f"{NOW},{user}@example.com,{workbook},{count}" for user, workbook, count in views]
    header = "request_time,user_email,workbook_url_id,count,**element_idd**"
    bucket.put("exports/today.csv", "\n".join([header, *(f"{row},x" for row in rows)]).encode())
    bucket.put(f"exports/refused {hostile}.csv", f"a,{hostile}\n1,2\n".encode())
    nothing = f'request_time,user_email,workbook_url_id\n"{hostile}",ann@example.com,w\n'
    bucket.put(f"exports/rejected {hostile}.csv", nothing.encode())
    scanned = sigma_impressions("run", env=env)
    assert scanned.returncode == 0, scanned.stderr
    port = any_free_port()
    command = ["-m", "dagster_webserver", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen([sys.executable, *command], env=env, cwd=folder) as webserver:
        try:
            yield Deployment(f"http://127.0.0.1:{port}", folder, Path(env["DAGSTER_HOME"]))
        finally:
            webserver.terminate()


def test_a_workbook_asset_shows_its_usage(browser: Browser, deployment: Deployment, sigma: FakeSigma) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1250})
    open_page(page, f"{deployment.url}/assets/Lead_Funnel?view=overview")
    figures = page.get_by_text("total_impressions_with_elements_30d", exact=True)
    expect(figures.first).to_be_visible(timeout=60_000)
    row = page.get_by_role("row").filter(has=figures)
    expect(row.first).to_contain_text("41")
    expect(page.get_by_role("link", name=sigma.organization.workbooks[1]["url"]).first).to_be_visible()
    page.screenshot(path=ARTEFACTS / "workbook-usage.png")
    page.close()


SENSOR = """{
  sensorOrError(sensorSelector: {
    repositoryLocationName: "sigma_impressions", repositoryName: "__repository__", sensorName: "new_export_files"
  }) { ... on Sensor { sensorState { id } } }
}"""


def add_tick(page: Page, deployment: Deployment, reason: str) -> None:
    """A tick of the sensor that did nothing, for a reason; the daemon that ticks does not run here."""
    answer = page.request.post(f"{deployment.url}/graphql", data={"query": SENSOR}).json()
    origin, _, selector = answer["data"]["sensorOrError"]["sensorState"]["id"].partition("::")
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        tick = TickData(
            instigator_origin_id=origin,
            instigator_name="new_export_files",
            instigator_type=InstigatorType.SENSOR,
            status=TickStatus.SKIPPED,
            timestamp=datetime.now(UTC).timestamp(),
            skip_reason=reason,
            selector_id=selector,
        )
        instance.create_tick(tick)


def test_texts_from_outside_are_only_read(
    browser: Browser, deployment: Deployment, tracker: HttpStub, hostile: str
) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1250})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def look(place: str, *shown: str | re.Pattern[str]) -> None:
        open_page(page, f"{deployment.url}{place}")
        for text in shown:
            expect(page.get_by_text(text).first).to_be_visible(timeout=60_000)
        assert "\u202e" not in page.locator("body").inner_text(), place
        inert(place)

    def inert(place: str) -> None:
        assert page.locator(f"a[href*='{EVIL}'], a[href*='{tracker.url}'], a[href^='javascript:']").count() == 0, place
        assert page.locator(f"img[src='x'], img[src*='{tracker.url}']").count() == 0, place
        assert page.locator("strong, b").filter(has_text=re.compile("^(bold|element_idd)$")).count() == 0, place

    checks = "/assets/normalized_impressions?view=checks&checkDetail="
    look(f"{checks}files_are_readable", re.compile(r"1 of 3 files were refused, for example .*\*\*bold\*\*"))
    page.screenshot(path=ARTEFACTS / "hostile-check.png")
    look(f"{checks}rows_were_accepted", re.compile(r"such as .*\*\*bold\*\*"))
    look(f"{checks}headers_are_clear", re.compile(r"'\*\*element_idd\*\*', which looks like element_id"))
    look("/assets/sigma_resources?view=overview", re.compile(r"Acme/.*\*\*bold\*\*"))
    look("/assets/sigma_impressions_database?view=overview", re.compile(r"\*\*bold\*\*"))
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        run_id = instance.get_run_records(limit=1)[0].dagster_run.run_id
    open_page(page, f"{deployment.url}/runs/{run_id}")
    # Only the lines that are in view are drawn.
    page.get_by_placeholder("Filter…").last.fill("bold")
    expect(page.get_by_text(re.compile(r"exports/rejected .*\*\*bold\*\*.*: 1 rows")).first).to_be_visible(
        timeout=20_000
    )
    inert("the log of the run")
    page.screenshot(path=ARTEFACTS / "hostile-run.png")
    add_tick(page, deployment, hostile)
    look("/locations/sigma_impressions/sensors/new_export_files", "Latest tick")
    # Not the text of that above, which is there before the table.
    page.get_by_role("button", name="0 runs requested").click()
    expect(page.get_by_text("**bold**").first).to_be_visible()
    inert("the tick of a sensor")
    page.goto((deployment.folder / "data" / "usage_report.html").as_uri())
    expect(page.locator("main").get_by_text("**bold**").first).to_be_visible()
    inert("the report")
    page.close()
    assert tracker.requests == []
    assert [url for url in asked if not url.startswith((deployment.url, "file:", "data:", "blob:"))] == []
