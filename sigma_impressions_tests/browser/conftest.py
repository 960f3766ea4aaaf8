"""The browser of the tests of the UI and the report, and where their screenshots go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.write import write_report
from sigma_impressions_tests.report.published import publish

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESK: Any = {"viewport": {"width": 1280, "height": 900}}
PHONE: Any = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
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


def report_of(folder: Path, *size: int, title: str = "Acme", **options: Any) -> Path:
    """The report of a made-up database, beside it."""
    publish(folder / DATABASE_NAME, *size, **options)
    return write_report(LocalStorage(folder), title).path


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


class Seen:
    """Opens reports, and notes what must not happen: messages of the console, errors, dialogs and requests."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def open(self, report: Path, address: str = "", **options: Any) -> Page:
        """The page of a report, at an address within it, once everything is shown."""
        context = self.browser.new_context(**{**DESK, **options})
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        context.on("request", lambda request: self._note(request, report))
        page.goto(f"{report.as_uri()}#{address}" if address else report.as_uri())
        expect(page.locator("html[data-ready]")).to_have_count(1, timeout=30_000)
        return page

    def _note(self, request: Request, report: Path) -> None:
        if request.url.partition("#")[0] != report.as_uri():
            self.faults.append(request.url)


@pytest.fixture
def seen(browser: Browser) -> Iterator[Seen]:
    seen = Seen(browser)
    yield seen
    for context in seen.contexts:
        context.close()
    assert seen.faults == []
