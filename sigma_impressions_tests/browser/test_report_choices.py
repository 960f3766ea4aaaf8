"""Whatever is chosen on the report: every figure of every section is the one that the published database gives."""

from __future__ import annotations

import random
from calendar import day_abbr
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.browser.conftest import Seen, report_of
from sigma_impressions_tests.browser.reference import Choice, Reference

pytestmark = pytest.mark.slow

GRIDS = ("workbooks", "underused", "owners-of-underused", "people", "teams", "folders", "owners")

GO = """async address => {
    const shown = new Promise(resolve => addEventListener("hashchange", () => setTimeout(resolve), { once: true }));
    location.hash = address;
    await shown;
    while (!("ready" in document.documentElement.dataset)) await new Promise(resolve => setTimeout(resolve));
}"""

EXTRACT = """() => {
    const text = cell => (cell.querySelector("bdi") ?? cell).textContent.trim();
    const lines = rows => [...rows].map(row => [...row.children].map(text));
    const grids = Object.fromEntries([...document.querySelectorAll(".table-card[id]")].map(card => [
        card.id.replace("-table", ""), {
            status: card.querySelector("[role=status]")?.textContent,
            rows: [...card.querySelectorAll("tr.row")].map(row => [
                row.querySelector(".opener")?.getAttribute("aria-label"), ...[...row.children].map(text)]),
        },
    ]));
    const plain = id => lines(document.querySelectorAll(`#${id} tbody tr`));
    return {
        cards: Object.fromEntries([...document.querySelectorAll("[data-metric]")].map(
            card => [card.dataset.metric, card.querySelector(".value").dataset.value])),
        lead: document.getElementById("lead").textContent,
        days: plain("days-table"), week: plain("week"), tiers: plain("tiers"), licences: plain("licences"),
        concentration: document.getElementById("concentration-note").textContent,
        moving: Object.fromEntries(["rising", "falling"].map(name => [name,
            [...document.querySelectorAll(`#${name}-list li`)].map(item => [
                item.querySelector("bdi").textContent,
                item.querySelector(".mover-figures").firstChild.textContent.trim(),
                item.querySelector("strong").textContent])])),
        grids,
    };
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_of(tmp_path_factory.mktemp("chosen"), 60, 4, 90)


@pytest.fixture(scope="module")
def reference(report: Path) -> Reference:
    return Reference(report.with_name(DATABASE_NAME))


def number(value: Any) -> str:
    return "–" if value is None else f"{value:,.0f}"


def change(reference: Reference, now: int, before: int) -> str:
    """How a change of complete days is written."""
    if reference.before is None:
        return "–"
    if before == 0:
        return "Not viewed" if now == 0 else "New"
    if now == 0:
        return "Gone"
    percent = int(abs(now / before - 1) * 100 + 0.5)
    sign = "±" if percent == 0 else "+" if now > before else "−"
    return f"{sign}{percent:,}%"


def movement(now: int, before: int) -> str:
    moved = now - before
    return (
        "same"
        if now == before == 0
        else "rising"
        if before == 0 or (now > 0 and moved >= max(before / 2, 5))
        else "falling"
        if now == 0 or -moved >= max(before / 2, 5)
        else "same"
    )


def same(found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Equal rows, in whatever order."""
    found, expected = Counter(map(tuple, found)), Counter(map(tuple, expected))
    assert found == expected, (found - expected, expected - found)


def show_many(page: Page) -> None:
    """A hundred rows of each table, which is all of them."""
    for grid in GRIDS:
        rows = page.locator(f"#{grid}-table .tools label", has_text="Rows").get_by_role("combobox")
        if rows.count():
            rows.select_option("100")


def assert_shown(shown: dict[str, Any], reference: Reference) -> None:
    """What the sections show is what the database gives."""
    known = {metric: value for metric, value in shown["cards"].items() if value is not None}
    assert known == {metric: str(int(value)) for metric, value in reference.figures().items()}
    assert len(shown["cards"]) == 8
    assert_overview(shown, reference)
    _assert_workbooks(shown, reference)
    same([row[1:8] for row in shown["grids"]["underused"]["rows"]], reference.underused_workbooks())
    _assert_people(shown, reference)
    _assert_groups(shown, reference)


def assert_figures(page: Page, reference: Reference, chosen: Iterable[Choice]) -> None:
    """Under each choice a report shows what the database beside it gives."""
    show_many(page)
    for choice in chosen:
        page.evaluate(GO, choice.address)
        reference.choose(choice)
        try:
            assert_shown(page.evaluate(EXTRACT), reference)
        except AssertionError as error:
            raise AssertionError(f"{choice}: {error}") from error


def assert_overview(shown: dict[str, Any], reference: Reference) -> None:
    now, before = reference.lead()
    if reference.complete is None:
        assert "of which not all are captured completely" in shown["lead"]
        assert f"{reference.figures()['period_impressions']:,} time" in shown["lead"]
    else:
        assert f"{now:,} time" in shown["lead"]
    assert ("before" in shown["lead"]) == (reference.before is not None)
    if before and now != before:
        assert f"{abs(now / before - 1) * 100:.1f}% {'more' if now > before else 'less'}" in shown["lead"]

    def since(users: int, days: int, place: int) -> list[int | None]:
        return [users if place - days + 1 >= reference.first_captured else None]

    expected = []
    for place, (day, captured, views, users, week, month, books) in enumerate(reference.days()):
        known = [views, users, *since(week, 7, place), *since(month, 30, place), books]
        expected.append([str(day), *map(number, known if captured else [None] * 5)])
    assert [[row[0], *row[2:7]] for row in shown["days"]] == expected
    assert shown["week"] == (_usual_week(reference) or [["No complete day yet"]])


def _usual_week(reference: Reference) -> list[list[str]]:
    """The means of each weekday, halves rounded up, over the days that are captured and complete."""
    usual: dict[int, list[tuple[int, int]]] = defaultdict(list)
    complete = reference.column("SELECT is_complete FROM usage_by_day ORDER BY event_date")
    for (day, captured, views, users, *_), is_complete in zip(reference.days(), complete, strict=True):
        if captured and is_complete:
            usual[day.weekday()].append((views, users))
    return [
        [day_abbr[which], "", *(number(int(sum(values) / len(days) + 0.5)) for values in zip(*days, strict=True))]
        for which, days in sorted(usual.items())
    ]


def _assert_workbooks(shown: dict[str, Any], reference: Reference) -> None:
    books = reference.workbooks()
    rows = shown["grids"]["workbooks"]["rows"]
    assert len(books) <= 100
    same(
        [[row[1], *row[2:6]] for row in rows],
        [
            [
                name,
                number(views),
                number(users),
                number(now if reference.complete else None),
                change(reference, now, before),
            ]
            for name, views, users, now, before in books
        ],
    )
    assert [row[2] for row in rows] == [number(views) for _, views, *_ in books]
    for direction in ("rising", "falling"):
        moved = [(name, now, before) for name, _, _, now, before in books if movement(now, before) == direction]
        moved = moved if reference.before else []
        moved.sort(key=lambda row: -abs(row[1] - row[2]))
        found = shown["moving"][direction]
        assert set(map(tuple, found)) <= {(name, number(before), number(now)) for name, now, before in moved}
        assert [abs(int(now.replace(",", "")) - int(before.replace(",", ""))) for _, before, now in found] == [
            abs(now - before) for _, now, before in moved[:8]
        ]
    same(
        [row[1:] for row in shown["grids"]["owners-of-underused"]["rows"]],
        [[owner, *map(number, figures)] for owner, *figures in reference.underused_by_owner()],
    )


def _assert_people(shown: dict[str, Any], reference: Reference) -> None:
    people = reference.people()
    same(
        [
            [row[0].removeprefix("Days and workbooks of "), row[2].split(" ")[0].lower(), *row[3:7]]
            for row in shown["grids"]["people"]["rows"]
        ],
        [
            [user, tier, number(views), number(now if reference.complete else None), number(days), number(books)]
            for user, tier, views, now, days, books, *_ in people
        ],
    )
    views = sum(row[2] for row in people)
    for tier, _, count, share, of_views in shown["tiers"]:
        found = [row for row in people if row[1] == tier.lower()]
        assert count == number(len(found))
        assert int(share.rstrip("%")) == pytest.approx(100 * len(found) / max(len(people), 1), abs=0.51)
        assert int(of_views.rstrip("%")) == pytest.approx(100 * sum(row[2] for row in found) / max(views, 1), abs=0.51)
    licences: dict[str, list[int]] = {}
    for _, tier, _, _, days, _, licensed, account_type, kind in people:
        if licensed:
            name = ", ".join(filter(None, [account_type or "(no type)", kind]))
            counts = licences.setdefault(name, [0] * 6)
            counts[0] += 1
            counts[1] += days > 0
            for place, of_tier in enumerate(("lapsed", "dormant", "never", "unknown"), 2):
                counts[place] += tier == of_tier
    if len(licences) > 1:
        licences["All"] = [sum(counts) for counts in zip(*licences.values(), strict=True)]
    if reference.has_members:
        same(shown["licences"], [[name, *map(number, counts)] for name, counts in licences.items()] or [["None"]])
    else:
        assert shown["licences"] == []
    viewers = sorted((row[2] for row in people if row[2]), reverse=True)
    if viewers:
        top = -(-len(viewers) // 10)
        assert f"top 10% of the {number(len(viewers))} " in shown["concentration"]
        assert f"({top}) make {100 * sum(viewers[:top]) / views:.0f}%" in shown["concentration"]


def _assert_groups(shown: dict[str, Any], reference: Reference) -> None:
    for name, none in (("folder", "(in no folder)"), ("owner", "(no owner)")):
        groups = reference.groups(name)
        rows = shown["grids"][f"{name}s"]["rows"]
        expected = [
            [group or none, *map(number, figures), change(reference, now, before)]
            for group, *figures, now, before in groups
        ]
        assert shown["grids"][f"{name}s"]["status"].split(" of ")[-1] == str(len(groups))
        same([row[1:8] for row in rows], sorted(expected, key=lambda row: -int(row[4].replace(",", "")))[:100])
    if not reference.has_members:
        assert shown["grids"]["teams"]["rows"] == []
        return
    same(
        [row[1:8] for row in shown["grids"]["teams"]["rows"]],
        [
            [team, *map(number, figures), change(reference, now, before)]
            for team, *figures, now, before in reference.teams()
        ],
    )


def choices(reference: Reference, count: int, seed: int = 7) -> list[Choice]:
    """Many different choices, the same ones each time."""
    pick = random.Random(seed)
    folders = reference.column("SELECT DISTINCT folder FROM folders WHERE folder IS NOT NULL ORDER BY folder")
    owners = reference.column("SELECT DISTINCT owner FROM books WHERE owner IS NOT NULL ORDER BY owner")
    teams = reference.column("SELECT DISTINCT unnest(teams) AS team FROM active_users ORDER BY team")
    types = reference.column(
        "SELECT DISTINCT account_type FROM active_users WHERE account_type IS NOT NULL ORDER BY account_type"
    )

    def maybe(values: list[str], share: float) -> str | None:
        return pick.choice(values) if pick.random() < share else None

    every = (
        Choice(
            pick.choice([14, 30, 60]), maybe(folders, 0.5), maybe(owners, 0.15), maybe(teams, 0.4), maybe(types, 0.3)
        )
        for _ in range(2 * count)
    )
    return [Choice(period=14), Choice(), *dict.fromkeys(every)][:count]


KNOWN = {
    "nobody is a member": {"members": False},
    "some days were not captured": {"not_captured": (10, 11, 12, 50)},
    "captured for ten days": {"not_captured": range(50)},
    "one complete day": {"not_captured": range(58)},
    "one day only, not complete": {"not_captured": range(59)},
    "no day is complete": {"complete": None},
    "complete days end long ago": {"complete": 38},
    "not complete for long": {"complete": 10},
    "the last day is complete": {"complete": 60},
    "no views at all": {"not_captured": range(60)},
}


@pytest.mark.parametrize("known", KNOWN)
def test_whatever_is_known(known: str, seen: Seen, tmp_path: Path) -> None:
    report = report_of(tmp_path, 24, 2, 30, **KNOWN[known])
    reference = Reference(report.with_name(DATABASE_NAME))
    page = seen.open(report)
    of_team = [Choice(team="Finance")] if reference.has_members else []
    assert_figures(page, reference, [Choice(14), Choice(60, folder="Acme/Sales"), *of_team])
    assert page.locator(".bars rect").count() + page.locator("#impressions-chart .missing rect").count() >= 120
    no_teams = expect(page.get_by_text("Teams are not shown"))
    no_teams.to_be_hidden() if reference.has_members else no_teams.to_be_visible()


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.soak)])
def test_every_figure_of_every_choice_is_that_of_the_database(
    count: int, seen: Seen, report: Path, reference: Reference
) -> None:
    assert_figures(seen.open(report), reference, choices(reference, count))


DETAIL = """() => [...document.querySelectorAll("tr.elements .detail")].map(part => ({
    title: part.querySelector("h4").textContent,
    rows: [...part.querySelectorAll(":scope > table > tbody > tr")].map(row =>
        [...row.children].map(cell => (cell.querySelector("bdi") ?? cell).textContent.trim())),
    all: part.querySelector("button")?.click(),
}))"""


def opened(page: Page, address: str) -> dict[str, list[list[str]]]:
    """What opens at an address: the rows of each part, all of them, by the title."""
    page.evaluate(GO, address)
    page.evaluate(DETAIL)
    return {part["title"]: part["rows"] for part in page.evaluate(DETAIL)}


def users_of(reference: Reference, which: str) -> list[list[str]]:
    """Users of the period of some views, by name or address, with their impressions and last day."""
    return [
        [name, number(views), str(last)]
        for name, views, last in reference.rows(
            f"SELECT coalesce(name, user_email), sum(impressions)::BIGINT, max(event_date) FROM seen "
            f"JOIN active_users USING (user_email) WHERE in_period AND ({which}) GROUP BY user_email, name"
        )
    ]


def books_of(reference: Reference, which: str) -> list[list[str]]:
    return [
        [name, number(views)]
        for name, views in reference.rows(
            f"SELECT books.name, sum(impressions)::BIGINT FROM seen JOIN books USING (workbook_url_id) "
            f"JOIN active_users USING (user_email) WHERE in_period AND ({which}) GROUP BY workbook_url_id, books.name"
        )
    ]


def part(parts: dict[str, list[list[str]]], noun: str) -> list[list[str]]:
    """The rows of the part whose title says what they are; of a workbook without pages there is no part of pages."""
    return next((rows for title, rows in parts.items() if f" {noun}" in title), [])


def test_what_opens_is_that_of_the_database(seen: Seen, report: Path, reference: Reference) -> None:
    page = seen.open(report)
    show_many(page)
    choice = Choice(14, team="Finance")
    reference.choose(choice)
    behind = choice.address.removeprefix("#")
    books = reference.rows(
        "SELECT workbook_url_id, name FROM seen JOIN books USING (workbook_url_id) WHERE in_period AND is_present "
        "GROUP BY ALL ORDER BY sum(impressions) DESC LIMIT 3"
    )
    for book, name in books:
        parts = opened(page, f"#workbook={book}{behind}")
        same([row[:2] + row[3:] for row in part(parts, "user")], users_of(reference, f"workbook_url_id = '{book}'"))
        same(
            [row[:3] for row in part(parts, "element")],
            [
                [name, number(views), number(users)]
                for name, views, users in reference.rows(
                    "SELECT name, total_impressions_with_elements_14d, distinct_impressions_users_with_elements_14d "
                    f"FROM resource_impressions WHERE workbook_url_id = '{book}' AND element_id IS NOT NULL"
                )
            ],
        )
        same(
            part(parts, "page"),
            [
                [name, *map(number, figures)]
                for name, *figures in reference.rows(
                    "SELECT page_name, elements, impressions_14d, viewers_14d FROM page_usage "
                    f"WHERE workbook_url_id = '{book}'"
                )
            ],
        )
        expect(page.locator("tr.elements")).to_have_count(1)
        expect(page.locator("tr.elements")).to_contain_text("do not follow the choice of team")
    for user in reference.column(
        "SELECT user_email FROM seen WHERE in_period GROUP BY ALL ORDER BY sum(impressions) DESC LIMIT 3"
    ):
        parts = opened(page, f"#person={user}{behind}")
        same([row[:2] for row in part(parts, "workbook")], books_of(reference, f"user_email = '{user}'"))
    for team in ("Finance", "Team 9"):
        parts = opened(page, f"#team={team}{behind}")
        which = f"may_use_sigma AND list_contains(teams, '{team}')"
        found = [row[:2] + row[3:] for row in part(parts, "user") if row[1] != "0"]
        same(found, users_of(reference, which))
        same([row[:2] for row in part(parts, "workbook")], books_of(reference, which))
    for folder in ("Acme", "Acme/Sales"):
        parts = opened(page, f"#folder={folder}{behind}")
        which = (
            f"workbook_url_id IN (SELECT workbook_url_id FROM books JOIN folders AS f USING (workbook_url_id) "
            f"WHERE f.folder = '{folder}' AND is_present AND NOT is_model)"
        )
        same([row[:2] + row[3:] for row in part(parts, "user")], users_of(reference, which))
        same([row[:2] for row in part(parts, "workbook") if row[1] != "0"], books_of(reference, which))
