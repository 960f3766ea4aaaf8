"""The Dagster UI in a real browser, on the demo's data."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from sigma_impressions_tests.commands import environment

pytestmark = pytest.mark.slow

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ASSETS = (
    "raw_export_files",
    "normalized_impressions",
    "daily_impressions",
    "sigma_resources",
    "resource_impressions",
    "user_activity",
    "unmatched_impressions",
    "sigma_impressions_database",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; .ci/run installs it.")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo with its UI, over few days, as `make demo` starts it."""
    folder = tmp_path_factory.mktemp("demo")
    shutil.copy(Path(__file__).parents[2] / "dagster_home" / "dagster.yaml", folder)
    command = [sys.executable, "-c", "from sigma_impressions.cli import main; main()", "demo", "--days", "7"]
    process = subprocess.Popen(
        command,
        env={**environment(folder, {}), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield _announced_url(process)
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
def page(browser: Browser, demo_url: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    _open(page, f"{demo_url}/asset-groups")
    yield page
    page.close()


def _open(page: Page, url: str) -> None:
    """The webserver answers some seconds after it was started."""
    deadline = time.monotonic() + 90
    while True:
        try:
            page.goto(url)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def test_every_asset_has_a_page(page: Page, demo_url: str) -> None:
    for name in ASSETS:
        _open(page, f"{demo_url}/assets/{name}")
        expect(page.get_by_text(name, exact=True).first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("Failed to load")).to_have_count(0)
    ARTEFACTS.mkdir(exist_ok=True)


def test_an_asset_says_what_it_is_and_what_it_holds(page: Page, demo_url: str) -> None:
    _open(page, f"{demo_url}/assets/sigma_impressions_database")
    expect(page.get_by_text("one complete, consistent result").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("top_workbooks").first).to_be_visible(timeout=60_000)
    page.screenshot(path=ARTEFACTS / "database-asset.png")
