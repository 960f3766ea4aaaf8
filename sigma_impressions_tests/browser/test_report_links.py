"""A link to the report shows again what was chosen and opened when it was copied, and says what it cannot show."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from sigma_impressions_tests.browser.conftest import PHONE, Seen, report_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("linked"), 60, 4, 90)


VIEW = "document.querySelector('main').innerText"


def top_of(page: Page, target: str) -> float:
    """How far below the bar something begins."""
    return page.evaluate(
        """target => document.querySelector(target).getBoundingClientRect().top
            - document.querySelector(".bar").getBoundingClientRect().bottom""",
        target,
    )


def go(page: Page, address: str) -> None:
    page.evaluate("address => { location.hash = address; }", address)
    expect(page.locator("html[data-ready]")).to_have_count(1)


def test_a_link_shows_the_same_again(seen: Seen, report: Path) -> None:
    page = seen.open(report)
    page.get_by_role("radio", name="14 days").check(force=True)
    page.locator("#choices").get_by_role("combobox", name="Folder").fill("ACME/sales/")
    page.keyboard.press("Enter")
    page.locator("#choices").get_by_role("combobox", name="Team").select_option("Finance")
    opener = page.locator("#workbooks-table tr.row", has_not_text="Not viewed").nth(2).get_by_role("button")
    opener.click()
    expect(page.locator("#lead-note")).to_contain_text("in Acme/Sales, by the team Finance")
    assert "folder=Acme%2FSales" in page.url
    assert page.url.partition("#")[2].startswith("workbook=")
    shown = page.evaluate(VIEW)
    again = seen.open(report, address=page.url.partition("#")[2])
    assert again.evaluate(VIEW) == shown
    expect(again.locator("tr.elements")).to_have_count(1)
    expect(again.locator("tr:has(+ tr.elements) .opener")).to_be_focused()
    assert -4 < top_of(again, "tr:has(+ tr.elements)") < 200

    # A link to a section keeps what is chosen, and lands there.
    page.get_by_role("link", name="People", exact=True).click()
    expect(page.locator("#lead-note")).to_contain_text("in Acme/Sales, by the team Finance")
    assert page.url.endswith("#people&period=14&folder=Acme%2FSales&team=Finance")
    expect(page.locator("#people")).to_be_in_viewport()
    assert abs(top_of(page, "#people")) < 30
    expect(page.locator("tr.elements")).to_have_count(0)

    # Back and forward.
    addresses = [page.url]
    views = [page.evaluate(VIEW)]
    for _ in range(5):
        page.go_back()
        expect(page.locator("html[data-ready]")).to_have_count(1)
        addresses.append(page.url)
        views.append(page.evaluate(VIEW))
    assert addresses[-1].partition("#")[2] == ""
    expect(page.locator("#lead-note")).not_to_contain_text("Finance")
    for address, view in list(zip(addresses, views, strict=True))[-2::-1]:
        page.go_forward()
        expect(page.locator("html[data-ready]")).to_have_count(1)
        assert (page.url, page.evaluate(VIEW)) == (address, view)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        *((section, f"#{section}") for section in ("workbooks", "moving", "underused", "people", "groups", "quality")),
        ("person=person7%40acme.example&period=60", "#people-table tr:has(+ tr.elements)"),
        ("team=Finance", "#teams-table tr:has(+ tr.elements)"),
        ("folder=Acme%2FSales&owner=person0%40acme.example", "#folders-table tr:has(+ tr.elements)"),
        ("owner=person3%40acme.example", "#owners-table tr:has(+ tr.elements)"),
    ],
)
def test_a_link_lands_where_it_says(seen: Seen, report: Path, address: str, target: str) -> None:
    page = seen.open(report, address=address)
    distance = top_of(page, target)
    # Below the bar; the last sections cannot be scrolled up to it.
    assert -4 < distance < 60 or page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
    expect(page.locator("#problem")).to_be_hidden()


def test_a_phone_lands_there_too(seen: Seen, report: Path) -> None:
    page = seen.open(report, address="person=person7%40acme.example&team=Product", **PHONE)
    if page.locator("#problem").is_visible():
        page = seen.open(report, address="person=person7%40acme.example", **PHONE)
    assert -4 < top_of(page, "#people-table tr:has(+ tr.elements)") < 60


def test_what_is_not_there_is_said_and_left_out(seen: Seen, report: Path) -> None:
    page = seen.open(report, address="period=15&folder=Acme%2FSales&team=Nobodies&colour=red&type=%E0%A4%A")
    problem = page.locator("#problem")
    for text in ("no period of 15 days", "no team “Nobodies”", "nothing to choose by “colour”", "no account type"):
        expect(problem).to_contain_text(text)
    expect(page.locator("#lead-note")).to_contain_text("in Acme/Sales")
    go(page, f"workbook={quote('<img src=x>')}")
    expect(problem).to_have_text("There is no workbook “<img src=x>” in this report.")
    go(page, "nowhere&period=60")
    expect(problem).to_have_text("There is no section “nowhere” in this report.")
    expect(page.get_by_role("radio", name="60 days")).to_be_checked()
    go(page, "people")
    expect(problem).to_be_hidden()
    folder = page.locator("#choices").get_by_role("combobox", name="Folder")
    folder.fill("Acme/Nowhere")
    folder.press("Enter")
    expect(problem).to_have_text("There is no folder “Acme/Nowhere” in this report.")
    expect(folder).to_have_attribute("aria-invalid", "true")
    # What is opened is found behind filters and searches of its table too.
    table = page.locator("#people-table")
    table.get_by_role("searchbox").fill("nothing")
    table.get_by_label("Tier").select_option("Never")
    expect(table.get_by_text("Nobody matches.")).to_be_visible()
    go(page, "person=person7%40acme.example")
    expect(table.locator("tr.elements")).to_have_count(1)
    expect(problem).to_be_hidden()
