"""The report of a large organization: what it takes to make, to open in a browser, and to choose something in it."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

from bench.measure import Measured, compare, measure

_WORKBOOKS, _ELEMENTS_EACH, _PEOPLE = 5_000, 12, 12_000
_ROUNDS = 3
_OPENED = 5
"""How often the page is opened, and each choice made; a time is the median."""

_CHOICES = {
    "period": "#overview&period=60",
    "folder": "#overview&folder=Acme%2FSales",
    "owner": "#overview&owner=person6%40acme.example",
    "team": "#overview&team=Finance",
    "account type": "#overview&type=Creator",
    "all": "#overview&period=14&folder=Acme%2FSales&team=Finance&type=Creator",
}
_SETTLED = "() => document.documentElement.hasAttribute('data-ready')"


@dataclass(frozen=True)
class _Size:
    """How many `pairs` of a person and a workbook there are, with up to `days_each`, and how many are published."""

    pairs: int
    days_each: int
    most_pairs: int


_SIZES = {
    "200,000 pairs": _Size(200_000, 4, 200_000),
    "the largest": _Size(300_000, 6, 200_000),
}


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    from sigma_impressions.publish.daily_users import MOST_DAYS, MOST_PAIRS

    yield "The usage report"
    yield (
        f"{_WORKBOOKS:,} workbooks, {_WORKBOOKS * _ELEMENTS_EACH:,} elements, {_PEOPLE:,} people, and pairs of a "
        f"person and a workbook, of a few days each; `the largest` has more than the {MOST_PAIRS:,} pairs that are "
        f"published, and nearly the {MOST_DAYS:,} days of theirs. `made`: a process that reads the published database "
        "and writes the page, its imports included. In Chromium, over a `file://` address: `shown`: from the start of "
        "loading until all tables are there; `choice`: the longest of "
        f"{', '.join(_CHOICES)}, until what is in sight is shown. The page shall stay below 6 MB, be readable within "
        "2 s, and follow a choice within 200 ms."
    )
    yield ""
    yield "| pairs | days of them | page, MB | of it tables | days | made, s | peak memory | shown, s | choice, ms |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, size in _SIZES.items():
        storage = folder / str(size.pairs)
        published = measure(("bench.report", "publish", str(storage), *map(str, astuple(size))))
        made = compare({name: ("bench.report", "make", str(storage))}, _ROUNDS)[name]
        yield _row(name, int(published.output), made, _in_browser(storage))


def _row(name: str, days: int, made: Measured, seen: dict[str, float] | None) -> str:
    page, tables, facts = (json.loads(made.output)[what] / 1e6 for what in ("page", "tables", "facts"))
    shown, choice = (f"{seen['shown'] / 1000:.1f}", f"{seen['choice']:.0f}") if seen else ("", "")
    return (
        f"| {name} | {days:,} | {page:.1f} | {tables:.1f} | {facts:.1f} | {made.seconds:.1f} | {made.memory} "
        f"| {shown} | {choice} |"
    )


def _in_browser(storage: Path) -> dict[str, float] | None:
    """Milliseconds until the page is shown, and of the longest choice; None without a browser."""
    from sigma_impressions.report.write import REPORT_NAME

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    url = (storage / REPORT_NAME).as_uri()
    shown: list[float] = []
    choices: dict[str, list[float]] = {name: [] for name in _CHOICES}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(_OPENED):
            page = browser.new_page()
            page.goto(url)
            page.wait_for_function("() => performance.getEntriesByName('tables shown').length > 0", timeout=60_000)
            shown.append(page.evaluate("performance.getEntriesByName('tables shown')[0].startTime"))
            for name, address in _CHOICES.items():
                page.evaluate("performance.clearMeasures('choice shown')")
                page.evaluate("address => { location.hash = address; }", address)
                page.wait_for_function("() => performance.getEntriesByName('choice shown').length > 0")
                page.wait_for_function(_SETTLED)
                choices[name].append(page.evaluate("performance.getEntriesByName('choice shown')[0].duration"))
            page.close()
        browser.close()
    return {"shown": statistics.median(shown), "choice": max(map(statistics.median, choices.values()))}


# --- in a process of its own


def publish(storage: Path, pairs: int, days_each: int, most_pairs: int) -> int:
    """Publish a made-up database; how many rows tell of a workbook, a person and a day."""
    import duckdb

    from sigma_impressions.publish.database import DATABASE_NAME
    from sigma_impressions_tests.report import published

    storage.mkdir(parents=True)
    bounds = {"pairs": pairs, "days_each": days_each, "most_pairs": most_pairs}
    database = published.publish(storage / DATABASE_NAME, _WORKBOOKS, _ELEMENTS_EACH, _PEOPLE, **bounds)
    with duckdb.connect(str(database), read_only=True) as connection:
        ((days,),) = connection.execute("SELECT count(workbook_url_id) FROM daily_users").fetchall()
    return int(days)


def make(storage: Path) -> str:
    """Make the page anew; the bytes of it and of its parts."""
    import re

    from sigma_impressions.lake.storage import LocalStorage
    from sigma_impressions.report.write import remove_report, write_report

    remove_report(LocalStorage(storage))
    page = write_report(LocalStorage(storage), "Usage").path.read_text(encoding="utf-8")
    held = {name: re.search(rf'id="{id}">([^<]*)<', page) for name, id in (("tables", "packed"), ("facts", "facts"))}
    return json.dumps({"page": len(page.encode()), **{name: len(found[1]) for name, found in held.items() if found}})


if __name__ == "__main__":
    _, name, folder, *numbers = sys.argv
    print(globals()[name](Path(folder), *map(int, numbers)))
