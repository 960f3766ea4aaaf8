"""The browser of the tests of the UI, and where their screenshots go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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
    "usage_report",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a module: its event loop runs until it is closed, and no other may run meanwhile."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; .ci/run installs it.")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    ARTEFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_page(page: Page, url: str) -> None:
    """Go to a page; the webserver answers some seconds after it was started."""
    deadline = time.monotonic() + 90
    while True:
        try:
            page.goto(url)
            return
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
