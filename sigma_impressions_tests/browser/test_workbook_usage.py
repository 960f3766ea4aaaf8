"""The pages of dagster-sigma's workbook assets, in a deployment with ours, show the usage of the workbook."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from sigma_impressions.demo.fake_sigma import FakeSigma
from sigma_impressions_tests.browser.conftest import ARTEFACTS, open_page
from sigma_impressions_tests.commands import environment, sigma_impressions
from sigma_impressions_tests.upstream.organizations import large_organization

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
WORKSPACE = PROJECT / "examples" / "dagster_sigma" / "workspace.yaml"
NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def sigma() -> Iterator[FakeSigma]:
    with FakeSigma(large_organization(3, 6)) as running:
        running.organization.workbooks[1]["name"] = "Lead Funnel"
        yield running


@pytest.fixture
def deployment_url(sigma: FakeSigma, s3_bucket: Any, tmp_path: Path) -> Iterator[str]:
    """One scan of three views, then the UI on the example's workspace."""
    (tmp_path / "dagster_home").mkdir()
    (tmp_path / "dagster_home" / "dagster.yaml").write_bytes((PROJECT / "dagster_home" / "dagster.yaml").read_bytes())
    env = environment(
        tmp_path,
        {
            **s3_bucket.environment(),
            **sigma.environment(),
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"{s3_bucket.uri}exports",
            "SIGMA_IMPRESSIONS_WORKBOOK_OBSERVATIONS": "on",
        },
    )
    workbook = sigma.organization.workbooks[1]["workbookUrlId"]
    rows = [f"{NOW},{user}@example.com,{workbook},{count}" for user, count in (("ann", 30), ("bob", 11))]
    header = "request_time,user_email,workbook_url_id,count"
    s3_bucket.put("exports/today.csv", "\n".join([header, *rows]).encode())
    scanned = sigma_impressions("run", env=env)
    assert scanned.returncode == 0, scanned.stderr
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    command = ["-m", "dagster_webserver", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen([sys.executable, *command], env=env, cwd=tmp_path) as webserver:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            webserver.terminate()


def test_a_workbook_asset_shows_its_usage(browser: Browser, deployment_url: str, sigma: FakeSigma) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1250})
    open_page(page, f"{deployment_url}/assets/Lead_Funnel?view=overview")
    figures = page.get_by_text("total_impressions_30d", exact=True)
    expect(figures.first).to_be_visible(timeout=60_000)
    row = page.get_by_role("row").filter(has=figures)
    expect(row.first).to_contain_text("41")
    expect(page.get_by_role("link", name=sigma.organization.workbooks[1]["url"]).first).to_be_visible()
    page.screenshot(path=ARTEFACTS / "workbook-usage.png")
    page.close()
