"""The usage report in a real browser: its figures, its tables by mouse and keyboard, and that it harms nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.write import write_report
from sigma_impressions_tests.browser.conftest import ARTEFACTS, Seen
from sigma_impressions_tests.report.published import HOSTILE, publish

pytestmark = pytest.mark.slow

PHONE: Any = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
MOST_BYTES = 5_000_000
"""What a report of 5,000 workbooks and 60,000 elements may weigh."""


def report_of(folder: Path, *size: int, hostile: bool = False) -> Path:
    publish(folder / DATABASE_NAME, *size, hostile=hostile)
    return write_report(LocalStorage(folder), "Acme <b>Sigma</b>" if hostile else "Acme").path


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("usual"), 140, 24, 400)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("hostile"), 60, 9, 90, hostile=True)


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


def number(value: Any) -> str:
    return f"{value:,.0f}"


WORKBOOKS = (
    "SELECT name, total_impressions_60d, distinct_impressions_users_60d, complete_impressions_14d, "
    "coalesce(last_impression_at::DATE::VARCHAR, '–') FROM popular_resources WHERE element_id IS NULL "
)


def test_the_figures_are_those_of_the_database(seen: Seen, usual: Path) -> None:
    assert_figures(seen, usual)


def assert_figures(seen: Seen, report: Path) -> None:
    """The figures that a report shows are those of the database beside it."""
    page = seen.open(report)
    for metric, value in rows(report, "SELECT metric, value FROM usage_summary"):
        card = page.locator(f'[data-metric="{metric}"] .value')
        if card.count():
            text = f"{value:.0%}" if metric.startswith("share") else number(value)
            assert (card.get_attribute("data-value"), card.inner_text()) == (str(value), text), metric
    assert page.locator("[data-metric]").count() == 8
    assert cells(page.locator("#days-table tbody tr")) == [
        [str(day), weekday, *map(number, figures)]
        for day, weekday, *figures in rows(
            report,
            "SELECT event_date, strftime(event_date, '%a'), impressions, active_users, weekly_active_users, "
            "monthly_active_users, active_workbooks FROM usage_by_day ORDER BY event_date",
        )
    ]
    shown = [[row[0], row[1], row[2], row[3], row[6]] for row in cells(of(page, "popular"))]
    expected = rows(report, f"{WORKBOOKS} ORDER BY total_impressions_60d DESC, name LIMIT 25")
    assert shown == [[name, number(a), number(b), number(c), last] for name, a, b, c, last in expected]
    assert [[row[0], row[2], row[3]] for row in cells(of(page, "users"))] == [
        [user, number(month), number(fortnight)]
        for user, month, fortnight in rows(
            report,
            "SELECT user_email, impressions_60d, impressions_14d FROM active_users ORDER BY rank, user_email LIMIT 25",
        )
    ]
    underused = rows(
        report,
        "SELECT name, owner_email, reason FROM underused_resources WHERE NOT is_archived AND element_id IS NULL",
    )
    assert underused
    assert sorted(row[:3] for row in cells(of(page, "underused"))) == sorted(map(list, underused[:25]))
    for key, query in {
        "files": "SELECT count(*) FROM export_files",
        "rows": "SELECT sum(rows) FROM export_files",
        "rejected": "SELECT sum(rejected) FROM export_files",
        "unmatched": "SELECT sum(total_impressions_60d) FROM unmatched_impressions",
    }.items():
        assert page.locator(f'[data-quality="{key}"]').inner_text() == number(rows(report, query)[0][0])


def test_sort_search_and_open_with_the_mouse(seen: Seen, usual: Path) -> None:
    page = seen.open(usual)
    table = page.locator("#popular-table")
    table.get_by_role("button", name="Workbook", exact=True).click()
    expect(table.get_by_role("columnheader", name="Workbook")).to_have_attribute("aria-sort", "ascending")
    names = [name for (name,) in rows(usual, "SELECT name FROM popular_resources WHERE element_id IS NULL")]
    assert [row[0] for row in cells(of(page, "popular"))][:2] == ["Churn by Region 23", "Churn by Region 58"]
    table.get_by_role("button", name="Users", exact=True).click()
    users = [int(row[2].replace(",", "")) for row in cells(of(page, "popular"))]
    assert users == sorted(users, reverse=True)
    table.get_by_role("button", name="Users", exact=True).click()
    users = [int(row[2].replace(",", "")) for row in cells(of(page, "popular"))]
    assert users == sorted(users)

    table.get_by_role("searchbox").fill("hiring OVERVIEW")
    found = sorted(name for name in names if "Hiring" in name and "Overview" in name)
    expect(table.get_by_role("status")).to_have_text(f"1–{len(found)} of {len(found)} ({len(names)} in all)")
    assert sorted(row[0] for row in cells(of(page, "popular"))) == found
    table.get_by_role("searchbox").fill("no such workbook")
    expect(table.get_by_text("No workbook matches.")).to_be_visible()
    # A workbook is found by the name of an element too.
    table.get_by_role("searchbox").fill("tickets nps")
    tickets = [name for name in names if "Tickets" in name]
    expect(table.get_by_role("status")).to_contain_text(f"of {len(tickets)} (")
    table.get_by_role("searchbox").fill("")
    table.get_by_label("Trend").select_option("Rising")
    risers = len(rows(usual, f"{WORKBOOKS} AND movement = 'riser'"))
    expect(table.get_by_role("status")).to_contain_text(f"of {risers} ")
    table.get_by_label("Trend").select_option("Any trend")

    table.get_by_role("button", name="Impressions", exact=True).click()
    first = of(page, "popular").first
    name = cells(of(page, "popular"))[0][0]
    first.get_by_role("button").click()
    opened = page.locator("#popular-table .elements tbody tr")
    elements = rows(
        usual,
        "SELECT name, total_impressions_60d, distinct_impressions_users_60d, complete_impressions_14d "
        f"FROM popular_resources WHERE workbook_name = '{name}' AND element_id IS NOT NULL "
        "ORDER BY rank_by_impressions, name, workbook_url_id, element_id",
    )
    expect(opened).to_have_count(10)
    page.get_by_role("button", name="Show 14 more of 24 elements").click()
    assert [row[:4] for row in cells(opened)] == [[text, *map(number, figures)] for text, *figures in elements]
    first.get_by_role("button").click()
    expect(opened).to_have_count(0)

    table.get_by_role("button", name="Rows after").click()
    expect(table.get_by_role("status")).to_have_text(f"26–50 of {len(names)}")
    table.locator("label", has_text="Rows").get_by_role("combobox").select_option("100")
    expect(of(page, "popular")).to_have_count(100)


def test_everything_works_with_the_keyboard(seen: Seen, usual: Path) -> None:
    page = seen.open(usual)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the figures")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    table = page.locator("#popular-table")
    for _ in range(30):
        page.keyboard.press("Tab")
        if table.get_by_role("searchbox").evaluate("box => box === document.activeElement"):
            break
    page.keyboard.type("revenue deep")
    expect(table.get_by_role("status")).to_contain_text("in all")
    for _ in range(3):
        page.keyboard.press("Tab")
    heading = table.get_by_role("button", name="Workbook", exact=True)
    expect(heading).to_be_focused()
    assert heading.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Space")
    expect(table.get_by_role("columnheader", name="Workbook")).to_have_attribute("aria-sort", "ascending")
    names = [row[0] for row in cells(of(page, "popular"))]
    assert len(names) > 1
    assert names == sorted(names, key=lambda name: int(name.split(" ")[-1]))
    opener = of(page, "popular").first.get_by_role("button")
    for _ in range(10):
        page.keyboard.press("Tab")
        if opener.evaluate("button => button === document.activeElement"):
            break
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "true")
    expect(opener).to_be_focused()
    below = opener.get_attribute("aria-controls")
    expect(page.locator(f"[id='{below}'] tbody tr").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(opener).to_have_attribute("aria-expanded", "false")


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:200]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_looks(look: str, seen: Seen, usual: Path) -> None:
    scheme = {"color_scheme": "dark"} if look == "dark" else PHONE if look == "phone" else {}
    page = seen.open(usual, **scheme)
    page.locator("#popular-table .opener:not(.none)").first.click()
    # Nothing reaches over the edge of the window.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=ARTEFACTS / f"report-{look}.png", full_page=True)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
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
    expect(page.locator("#popular-table .tools")).to_be_hidden()
    expect(of(page, "popular")).to_have_count(25)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.pdf(path=ARTEFACTS / "report-print.pdf", format="A4")


def test_hostile_names_are_text(seen: Seen, hostile: Path) -> None:
    page = seen.open(hostile)
    shown = [row[0] for row in cells(of(page, "popular"))]
    assert {name.strip() for name in HOSTILE[:5]} <= set(shown)
    for number_of in range(3):
        of(page, "popular").nth(number_of).get_by_role("button").click()
    # The URL that is a script is no link, the others are.
    links = page.locator("main a").evaluate_all("all => all.map(link => link.href)")
    assert links
    assert all(link.startswith("https://app.sigmacomputing.com/") for link in links)
    assert page.locator("main img, main script, main iframe").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # 500 characters take two lines at most, and every name stays in its cell.
    heights = of(page, "popular").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert max(heights) < 110
    search = page.locator("#users-table").get_by_role("searchbox")
    search.fill(HOSTILE[0])
    expect(of(page, "users")).to_have_count(1)
    expect(of(page, "users")).to_contain_text(HOSTILE[0])
    search.fill("")
    page.screenshot(path=ARTEFACTS / "report-hostile-names.png", full_page=True)
    assert violations(page) == []
    phone = seen.open(hostile, **PHONE)
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
    phone.screenshot(path=ARTEFACTS / "report-hostile-names-phone.png", full_page=True)


def test_without_javascript_the_figures_are_there(browser: Browser, usual: Path) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(usual.as_uri())
    expect(page.locator('[data-metric="impressions_14d"] .value')).to_be_visible()
    expect(page.locator("[data-chart=impressions] svg").first).to_be_visible()
    expect(page.locator("#popular-table")).to_have_text("This table is shown by a browser with JavaScript.")
    page.close()


def test_a_large_organization(seen: Seen, tmp_path: Path) -> None:
    """5,000 workbooks with 60,000 elements: within the size, and every table answers."""
    report = report_of(tmp_path, 5_000, 12, 3_000)
    assert report.stat().st_size < MOST_BYTES
    page = seen.open(report)
    ready = page.evaluate("performance.getEntriesByName('tables shown')[0].startTime")
    print(f"{report.stat().st_size:,} bytes; tables shown after {ready:.0f} ms")
    table = page.locator("#popular-table")
    table.get_by_role("searchbox").fill("acme/people overview 40")
    expect(table.get_by_role("status")).to_contain_text("in all")
    assert all("Overview" in row[0] and "40" in row[0] for row in cells(of(page, "popular")))
    table.get_by_role("searchbox").fill("")
    kinds = page.locator("#underused-table").get_by_label("Kind")
    kinds.select_option("All kinds")
    underused = rows(report, "SELECT count(*) FROM underused_resources WHERE NOT is_archived")[0][0]
    expect(page.locator("#underused-table").get_by_role("status")).to_have_text(f"1–25 of {underused:,}")
    page.locator("#underused-table").get_by_role("button", name="Name", exact=True).click()
    assert page.evaluate("document.querySelectorAll('tbody tr').length") < 400
