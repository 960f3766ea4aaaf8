"""Every list of the report as a file for spreadsheets: what is shown, all of its rows, and no formula."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from sigma_impressions.texts import FORMULA
from sigma_impressions_tests.browser.conftest import Seen, report_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("saved"), 60, 4, 90)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("hostile"), 30, 3, 40, hostile=True)


def saved(page: Page, name: str) -> tuple[str, list[list[str]]]:
    """The file of a list: its name and its lines."""
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Save as CSV: {name}", exact=True).click()
    data = Path(download.value.path()).read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    return download.value.suggested_filename, list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def shown(page: Page, table: str) -> list[list[str]]:
    """What a table shows, page by page: the name of each row, as its opener says it, and the texts of its cells."""
    found: list[list[str]] = []
    while True:
        found += page.locator(f"#{table}-table tr.row").evaluate_all(
            "rows => rows.map(row => [...row.children].map(cell => "
            "(cell.querySelector('bdi') ?? cell).textContent.trim()))"
        )
        following = page.locator(f"#{table}-table").get_by_role("button", name="Rows after")
        if following.is_disabled():
            return found
        following.click()


def figures(cells: list[str]) -> list[str]:
    """Numbers as a file has them."""
    return [re.sub(r"(?<=\d),(?=\d)", "", cell) for cell in cells]


def test_a_file_holds_what_is_shown(seen: Seen, report: Path) -> None:
    page = seen.open(report, address="&period=14&folder=Acme%2FSales")
    table = page.locator("#workbooks-table")
    table.get_by_role("searchbox").fill("o")
    table.get_by_role("button", name="Users", exact=True).click()
    page.wait_for_timeout(200)
    name, (header, *lines) = saved(page, "Workbooks")
    assert name == "sigma-workbooks-2026-11-20-chosen.csv"
    assert header[:5] == [
        *("Workbook", "Impressions, 14 days", "Users", "Impressions, 14 complete days", "Change of 14 complete days")
    ]
    rows = shown(page, "workbooks")
    assert len(rows) > 10
    assert [line[:4] for line in lines] == [figures(row[:4]) for row in rows]
    assert [line[5] or "–" for line in lines] == [row[6] for row in rows]
    assert all(line[header.index("Folder")].startswith("Acme/Sales/") for line in lines)

    for list_name, host, columns in (
        ("Teams", "teams", 6),
        ("Folders", "folders", 6),
        ("Owners", "owners", 6),
        ("Underused content", "underused", 1),
    ):
        _, (header, *lines) = saved(page, list_name)
        rows = shown(page, host)
        assert rows
        assert [line[:columns] for line in lines] == [
            figures(["" if cell in ("(no owner)", "(in no folder)") else cell for cell in row[:columns]])
            for row in rows
        ], list_name


def test_the_other_lists_have_files_too(seen: Seen, report: Path) -> None:
    page = seen.open(report)
    name, (header, *lines) = saved(page, "People")
    assert name == "sigma-people-2026-11-20.csv"
    rows = shown(page, "people")
    assert [[line[1], *line[2:6]] for line in lines] == [
        [row[1].split(" ")[0].lower(), *figures(row[2:6])] for row in rows
    ]
    assert {line[header.index("Account type")] for line in lines} >= {"Creator", "Viewer", "Explorer"}

    # A line for each workbook and data model, so that the file can be sent to the owners.
    _, (header, *lines) = saved(page, "Underused workbooks and data models by owner")
    counts = {row[0]: int(row[1]) for row in shown(page, "owners-of-underused")}
    assert {owner or "(no owner)" for owner, *_ in lines} == set(counts)
    for owner, count in counts.items():
        assert sum((line[0] or "(no owner)") == owner for line in lines) == count
    for list_name in ("rising workbooks", "falling workbooks"):
        host = list_name.split(" ")[0]
        items: list[Any] = page.locator(f"#{host}-list li").evaluate_all(
            "all => all.map(one => [one.querySelector('bdi').textContent, one.querySelector('strong').textContent])"
        )
        if not items:
            continue
        _, (_, *lines) = saved(page, list_name)
        assert [[line[0], line[4]] for line in lines][: len(items)] == [figures(item) for item in items]
    _, (_, *lines) = saved(page, "licences")
    members = page.locator("#licences tr", has_text="All").locator("td").first.inner_text()
    assert sum(int(line[1]) for line in lines) == int(members)
    page.get_by_text("The days as a table").click()
    _, (header, *lines) = saved(page, "usage per day")
    assert len(lines) == 60
    assert lines[-1][-1] == "not complete yet"


def test_no_cell_is_a_formula(seen: Seen, hostile: Path) -> None:
    page = seen.open(hostile)
    pattern = FORMULA.replace(r"\p{Z}", " \u00a0\u2028\u2029").replace(r"\p{Cf}", "\u00ad\u200b-\u200f\u202a-\u202e")
    assert page.evaluate("FORMULA.source") == FORMULA
    page.locator("#underused-table").get_by_label("Kind").select_option("All kinds")
    for list_name in ("Workbooks", "People", "Teams", "Folders", "Owners", "Underused content", "licences"):
        _, (_, *lines) = saved(page, list_name)
        assert lines
        cells = [cell for line in lines for cell in line if not re.fullmatch(r"-?\d+(\.\d+)?(e-\d+)?", cell)]
        assert not [cell for cell in cells if re.search(pattern, cell)]
    _, (_, *lines) = saved(page, "Workbooks")
    names = {line[0] for line in lines}
    assert '\'=HYPERLINK("https://evil.example","click")' in names
    assert "W" * 500 in names
