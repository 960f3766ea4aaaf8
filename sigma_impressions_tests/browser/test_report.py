"""The usage report in a real browser: its tables by mouse and keyboard, its looks, and that it harms nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.browser.conftest import ARTEFACTS, PHONE, Seen, report_of, violations
from sigma_impressions_tests.report.published import HOSTILE

pytestmark = pytest.mark.slow

MOST_BYTES = 6_000_000
"""What a report of 5,000 workbooks, 60,000 elements, 12,000 people and 200,000 pairs of them may weigh."""


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("usual"), 140, 24, 400)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("small"), 24, 3, 30)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("hostile"), 40, 3, 40, title="Acme <b>Sigma</b>", hostile=True)


def rows(report: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(report.with_name(DATABASE_NAME)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def cells(lines: Locator) -> list[list[str]]:
    """The texts of the cells of each row that is shown."""
    found: list[list[str]] = lines.evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => (cell.querySelector('bdi') ?? cell).textContent.trim()))"
    )
    return found


def of(page: Page, table: str) -> Locator:
    return page.locator(f"#{table}-table tbody tr.row")


def choice_of(page: Page, name: str) -> Locator:
    return page.locator("#choices").get_by_role("combobox", name=name)


WORKBOOKS = "SELECT name FROM popular_resources WHERE resource_type = 'sigma_workbook'"


def test_sort_search_and_open_with_the_mouse(seen: Seen, usual: Path) -> None:
    page = seen.open(usual)
    table = page.locator("#workbooks-table")
    table.get_by_role("button", name="Workbook", exact=True).click()
    expect(table.get_by_role("columnheader", name="Workbook")).to_have_attribute("aria-sort", "ascending")
    names = [name for (name,) in rows(usual, WORKBOOKS)]
    assert [row[0] for row in cells(of(page, "workbooks"))][:2] == ["Churn by Region 23", "Churn by Region 58"]
    for sign in (-1, 1):
        table.get_by_role("button", name="Users", exact=True).click()
        users = [int(row[2].replace(",", "")) for row in cells(of(page, "workbooks"))]
        assert users == sorted(users, key=lambda count: sign * count)

    table.get_by_role("searchbox").fill("hiring OVERVIEW")
    found = sorted(name for name in names if "Hiring" in name and "Overview" in name)
    expect(table.get_by_role("status")).to_contain_text(f"1–{len(found)} of {len(found)} (")
    assert sorted(row[0] for row in cells(of(page, "workbooks"))) == found
    table.get_by_role("searchbox").fill("no such workbook")
    expect(table.get_by_text("No workbook matches.")).to_be_visible()
    expect(table.get_by_role("button", name="Save as CSV")).to_be_disabled()
    # A workbook is found by the name of an element too.
    table.get_by_role("searchbox").fill("tickets nps")
    tickets = [name for name in names if "Tickets" in name]
    expect(table.get_by_role("status")).to_contain_text(f"of {len(tickets)} (")
    table.get_by_role("searchbox").fill("")
    table.get_by_label("Trend").select_option("Rising")
    risers = len(rows(usual, f"{WORKBOOKS} AND movement = 'riser'"))
    expect(table.get_by_role("status")).to_contain_text(f"of {risers} ")
    table.get_by_label("Trend").select_option("Any trend")
    table.get_by_label("Show").select_option("Current data models")
    models = rows(usual, "SELECT name FROM popular_resources WHERE resource_type = 'sigma_data_model'")
    expect(table.get_by_role("status")).to_contain_text(f"of {len(models)} (")
    table.get_by_label("Show").select_option("Current workbooks")

    table.get_by_role("button", name="Impressions, 30 days").click()
    opener = of(page, "workbooks").first.get_by_role("button")
    opener.click()
    elements = page.locator("#workbooks-table .elements .detail", has_text="24 elements").locator("tbody tr")
    expect(elements).to_have_count(10)
    page.get_by_role("button", name="Show 14 more of 24 elements").click()
    expect(elements).to_have_count(24)
    opener.click()
    expect(page.locator("#workbooks-table .elements")).to_have_count(0)

    table.get_by_role("button", name="Rows after").click()
    expect(table.get_by_role("status")).to_contain_text(f"11–20 of {len(names)}")
    table.locator("label", has_text="Rows").get_by_role("combobox").select_option("100")
    expect(of(page, "workbooks")).to_have_count(100)


def test_everything_works_with_the_keyboard(seen: Seen, usual: Path) -> None:
    page = seen.open(usual)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.evaluate("document.querySelector('nav a').focus()")

    def tab_to(target: Locator) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("one => one === document.activeElement"):
                return
        raise AssertionError(f"{target} is not reached")

    tab_to(page.get_by_role("radio", name="30 days"))
    assert page.locator(".periods > div").evaluate("box => getComputedStyle(box).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="60 days")).to_be_checked()
    tab_to(choice_of(page, "Folder"))
    page.keyboard.type("acme/sales")
    page.keyboard.press("Enter")
    expect(page.locator("#lead-note")).to_contain_text("in Acme/Sales")
    expect(choice_of(page, "Folder")).to_have_value("Acme/Sales")
    tab_to(choice_of(page, "Team"))
    page.keyboard.type("Fin")
    expect(page.locator("#lead-note")).to_contain_text("by the team Finance")
    tab_to(page.get_by_role("button", name="Clear choices"))
    page.keyboard.press("Enter")
    expect(page.locator("#lead-note")).not_to_contain_text("Finance")

    table = page.locator("#workbooks-table")
    tab_to(table.get_by_role("searchbox"))
    page.keyboard.type("revenue deep")
    expect(of(page, "workbooks").filter(has_not_text="Deep Dive")).to_have_count(0)
    heading = table.get_by_role("button", name="Workbook", exact=True)
    tab_to(heading)
    assert heading.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(table.get_by_role("columnheader", name="Workbook")).to_have_attribute("aria-sort", "ascending")
    names = [row[0] for row in cells(of(page, "workbooks"))]
    assert len(names) > 1
    assert names == sorted(names, key=lambda name: int(name.split(" ")[-1]))
    opener = of(page, "workbooks").first.get_by_role("button")
    tab_to(opener)
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    expect(opener).to_be_focused()
    below = opener.get_attribute("aria-controls")
    expect(page.locator(f"[id='{below}'] tbody tr").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "false")


OPEN_EVERYTHING = """() => {
    for (const table of document.querySelectorAll(".table-card")) table.querySelector(".opener:not(.none)")?.click();
    for (const details of document.querySelectorAll("details")) details.open = true;
}"""


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_looks(look: str, seen: Seen, small: Path) -> None:
    scheme = {"color_scheme": "dark"} if look == "dark" else PHONE if look == "phone" else {}
    page = seen.open(small, **scheme)
    if look == "phone":
        choose = page.get_by_role("button", name="Choose (30 days)")
        choose.click()
        choice_of(page, "Team").select_option("Finance")
        page.get_by_role("button", name="Choose (30 days, 1 more)").click()
        expect(choice_of(page, "Team")).to_be_hidden()
        page.get_by_role("button", name="Choose (30 days, 1 more)").click()
    page.evaluate(OPEN_EVERYTHING)
    # Nothing reaches over the edge of the window.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(path=ARTEFACTS / f"report-{look}.png", full_page=True)
    assert violations(page) == []


def test_the_colours_can_be_switched(seen: Seen, usual: Path) -> None:
    page = seen.open(usual)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(background) != light
    page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(background) == light


def test_it_can_be_printed(seen: Seen, usual: Path) -> None:
    page = seen.open(usual, color_scheme="dark")
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).to_be_hidden()
    expect(page.locator("#workbooks-table .tools")).to_be_hidden()
    expect(of(page, "workbooks")).to_have_count(10)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=ARTEFACTS / "report-print.pdf", format="A4")


def test_hostile_names_are_text(seen: Seen, hostile: Path) -> None:
    page = seen.open(hostile)
    for grid in ("workbooks", "people", "teams", "folders", "owners", "underused"):
        page.locator(f"#{grid}-table .tools label", has_text="Rows").get_by_role("combobox").select_option("100")
    shown = [row[0] for row in cells(of(page, "workbooks"))]
    present = {name for (name,) in rows(hostile, WORKBOOKS)}
    assert {name.strip() for name in HOSTILE if name in present} <= set(shown)
    assert len(present & set(HOSTILE)) > 4
    page.evaluate(OPEN_EVERYTHING)
    # The URL that is a script is no link, the others are to Sigma or to a place of this page.
    links = page.locator("main a").evaluate_all("all => all.map(link => link.href)")
    assert links
    own = page.url.partition("#")[0]
    assert all(link.startswith(("https://app.sigmacomputing.com/", f"{own}#")) for link in links)
    assert page.locator("main img, main script, main iframe").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # 500 characters take two lines at most, and every name stays in its cell.
    heights = of(page, "workbooks").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert max(heights) < 120
    search = page.locator("#people-table").get_by_role("searchbox")
    search.fill(HOSTILE[0])
    expect(of(page, "people")).to_have_count(1)
    expect(of(page, "people")).to_contain_text(HOSTILE[0])
    search.fill("")
    # Chosen, and in the address.
    for team in [name for (name,) in rows(hostile, "SELECT DISTINCT unnest(teams) FROM active_users")]:
        if team in HOSTILE:
            choice_of(page, "Team").select_option(label=team.strip())
            expect(page.locator("#lead-note")).to_contain_text("by the team")
            page.reload()
            expect(page.locator("#lead-note")).to_contain_text("by the team")
            expect(page.locator("#problem")).to_be_hidden()
    page.get_by_role("button", name="Clear choices").click()
    page.screenshot(path=ARTEFACTS / "report-hostile-names.png", full_page=True)
    assert violations(page) == []
    phone = seen.open(hostile, **PHONE)
    phone.evaluate(OPEN_EVERYTHING)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.screenshot(path=ARTEFACTS / "report-hostile-names-phone.png", full_page=True)


def test_without_javascript_the_figures_are_there(browser: Browser, usual: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(usual.as_uri())
    expect(page.locator('[data-metric="impressions_14d"] .value')).to_be_visible()
    expect(page.locator("#lead")).to_contain_text("In the 14 complete days to 19 Nov 2026")
    expect(page.locator('[data-quality="files"]')).to_be_visible()
    expect(page.get_by_text("need JavaScript")).to_be_visible()
    expect(page.locator("#workbooks")).to_be_hidden()
    page.close()


@pytest.mark.soak
def test_a_large_organization(seen: Seen, tmp_path: Path) -> None:
    """5,000 workbooks, 60,000 elements, 12,000 people: within the size, and every table answers."""
    report = report_of(tmp_path, 5_000, 12, 12_000, pairs=200_000)
    assert report.stat().st_size < MOST_BYTES
    page = seen.open(report)
    ready = page.evaluate("performance.getEntriesByName('tables shown')[0].startTime")
    page.get_by_role("radio", name="14 days").check(force=True)
    chosen = page.evaluate("performance.getEntriesByName('choice shown').map(one => Math.round(one.duration))")
    print(f"{report.stat().st_size:,} bytes; tables shown after {ready:.0f} ms, choices after {chosen} ms")
    table = page.locator("#workbooks-table")
    ((name,),) = rows(report, f"{WORKBOOKS} AND name LIKE '%Overview%' AND path LIKE 'Acme/People/%' LIMIT 1")
    table.get_by_role("searchbox").fill(f"acme/people {name.lower()}")
    expect(table.get_by_role("status")).to_contain_text("in all")
    assert name in [row[0] for row in cells(of(page, "workbooks"))]
    table.get_by_role("searchbox").fill("")
    kinds = page.locator("#underused-table").get_by_label("Kind")
    kinds.select_option("All kinds")
    underused = rows(report, "SELECT count(*) FROM underused_resources WHERE NOT is_archived")[0][0]
    expect(page.locator("#underused-table").get_by_role("status")).to_have_text(f"1–10 of {underused:,}")
    page.locator("#underused-table").get_by_role("button", name="Name", exact=True).click()
    assert page.evaluate("document.querySelectorAll('tbody tr').length") < 400
