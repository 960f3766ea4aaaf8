"""What the page holds for its script: unpacked again it is what plain SQL finds in the published database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.payload import pack
from sigma_impressions.report.read import read_usage
from sigma_impressions_tests.report.published import publish
from sigma_impressions_tests.report.unpacked import NOBODY, OTHERS, Fact, Unpacked

SIZES = st.fixed_dictionaries(
    {
        "workbooks": st.integers(0, 30),
        "elements_each": st.integers(0, 5),
        "users": st.integers(0, 25),
        "hostile": st.booleans(),
        "pairs": st.one_of(st.none(), st.integers(0, 60)),
        "days_each": st.integers(1, 70),
        "most_pairs": st.one_of(st.none(), st.integers(0, 40)),
        "members": st.booleans(),
        "not_captured": st.one_of(st.just(()), st.sets(st.integers(0, 59)), st.just(range(60))),
        "complete": st.one_of(st.none(), st.integers(0, 60)),
    }
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(size=SIZES)
def test_what_is_packed_is_what_sql_finds(folder: Path, size: dict[str, Any]) -> None:
    database = publish(folder / DATABASE_NAME, **size)
    packed = pack(read_usage(database))
    page = Unpacked(packed.tables, packed.facts)
    with duckdb.connect(str(database), read_only=True) as connection:
        assert_facts(page, connection)
        assert_tables(page, connection)
        assert_meta(page, connection)


def assert_facts(page: Unpacked, connection: duckdb.DuckDBPyConnection) -> None:
    facts = list(page.facts())
    assert len({fact[:3] for fact in facts}) == len(facts)
    # What is left out is there twice: by workbook, of other people, and by person, of other workbooks.
    of_workbooks, of_people = ([fact for fact in facts if fact[place] != OTHERS] for place in (0, 1))
    by_day = (
        "SELECT workbook_url_id, event_date - DATE '1970-01-01', sum(impressions) FROM daily_impressions GROUP BY ALL"
    )
    assert summed(of_workbooks, 0, 2) == {tuple(key): count for *key, count in connection.execute(by_day).fetchall()}
    told = connection.execute(
        f"SELECT coalesce(workbook_url_id, '{OTHERS}'), user_email, event_date - DATE '1970-01-01', impressions "
        "FROM daily_users"
    ).fetchall()
    assert sorted(of_people, key=str) == sorted(told, key=str)
    users = connection.execute("SELECT user_email, impressions_60d, active_days_60d FROM active_users WHERE rank > 0")
    by_user = summed(of_people, 1)
    of_nobody = by_user.pop((NOBODY,), 0)
    days_of = Counter(user for user, _ in {(fact[1], fact[2]) for fact in of_people})
    assert {(user, by_user[user,], days_of[user]) for (user,) in by_user} == {*users.fetchall()}
    ((everything,),) = connection.execute("SELECT coalesce(sum(impressions), 0) FROM daily_impressions").fetchall()
    assert by_user.total() + of_nobody == everything
    pairs = {fact[:2] for fact in facts if fact[0] != OTHERS and fact[1] not in (NOBODY, OTHERS)}
    of_pairs = sum(fact[3] for fact in facts if fact[:2] in pairs)
    cut = page.meta["cut"]
    if cut is None:
        assert of_pairs == by_user.total()
    else:
        assert (cut["impressions"], cut["impressionsShown"]) == (by_user.total(), of_pairs)
        assert cut["pairs"] > cut["shown"] == len(pairs)


def summed(facts: Iterable[Fact], *places: int) -> Counter[Any]:
    """Impressions by some of the fields of facts."""
    counted: Counter[Any] = Counter()
    for fact in facts:
        counted[tuple(fact[place] for place in places)] += fact[3]
    return counted


def assert_tables(page: Unpacked, connection: duckdb.DuckDBPyConnection) -> None:
    def found(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query).fetchall()

    def column(table: str, name: str) -> list[Any]:
        return page.numbers(table, name)

    ids, states = page.texts_of("workbooks", "id"), page.texts_of("workbooks", "state")
    # The present ones first, in the order of the table.
    present = found("SELECT workbook_url_id FROM popular_resources WHERE element_id IS NULL")
    assert [(name,) for name in ids[: len(present)]] == present
    assert {*states[: len(present)]} <= {"present"}
    assert sorted(ids[len(present) :]) == [
        name
        for (name,) in found(
            "SELECT DISTINCT workbook_url_id FROM daily_impressions WHERE workbook_url_id NOT IN "
            "(SELECT workbook_url_id FROM popular_resources) ORDER BY ALL"
        )
    ]
    gone = dict(found("SELECT workbook_url_id, is_deleted FROM sigma_resources WHERE element_id IS NULL"))
    said = {None: "unknown", True: "deleted", False: "archived"}
    assert states[len(present) :] == [said[gone.get(name)] for name in ids[len(present) :]]
    owners = dict(found("SELECT workbook_url_id, owner_email FROM sigma_resources"))
    assert page.texts_of("workbooks", "owner") == [_canonical(owners.get(name)) for name in ids]
    kinds = dict(found("SELECT workbook_url_id, resource_type FROM sigma_resources WHERE element_id IS NULL"))
    assert page.texts_of("workbooks", "kind") == [
        kinds.get(name, "sigma_unknown").removeprefix("sigma_") for name in ids
    ]

    figures = ["now", "before", *(f"{letter}{days}" for letter in "iu" for days in (14, 30, 60))]
    owner_of = [name for name, count in zip(ids, column("workbooks", "elements"), strict=True) for _ in range(count)]
    elements = zip(
        owner_of,
        page.texts_of("elements", "name"),
        page.texts_of("elements", "page"),
        page.texts_of("elements", "movement"),
        *(column("elements", name) for name in figures),
        strict=True,
    )
    windows = ", ".join(
        f"{name}_with_elements_{days}d"
        for name in ("total_impressions", "distinct_impressions_users")
        for days in (14, 30, 60)
    )
    assert sorted(elements, key=str) == sorted(
        found(
            f"SELECT workbook_url_id, r.name, page_name, movement, complete_impressions_14d, "
            f"previous_complete_impressions_14d, {windows} FROM resource_impressions AS r "
            "JOIN sigma_resources USING (workbook_url_id, element_id) "
            "LEFT JOIN popular_resources AS p USING (workbook_url_id, element_id) "
            "WHERE p.element_id IS NOT NULL OR total_impressions_with_elements_60d > 0"
        ),
        key=str,
    )
    page_of = [name for name, count in zip(ids, column("workbooks", "pages"), strict=True) for _ in range(count)]
    pages = zip(
        page_of,
        page.texts_of("pages", "name"),
        column("pages", "elements"),
        *(column("pages", name) for name in figures[2:]),
        strict=True,
    )
    windows = ", ".join(f"{name}_{days}d" for name in ("impressions", "viewers") for days in (14, 30, 60))
    assert sorted(pages) == sorted(found(f"SELECT workbook_url_id, page_name, elements, {windows} FROM page_usage"))

    teams = [
        None if places is None else [page.teams[place] for place in places] for places in column("people", "teams")
    ]
    people = zip(
        page.texts_of("people", "user"),
        page.texts_of("people", "name"),
        page.texts_of("people", "tier"),
        column("people", "new"),
        page.texts_of("people", "type"),
        page.texts_of("people", "kind"),
        teams,
        column("people", "member"),
        column("people", "licensed"),
        column("people", "age"),
        column("people", "first"),
        column("people", "last"),
        strict=True,
    )
    assert list(people) == found(
        "SELECT user_email, name, tier, is_new::INTEGER, account_type, kind, teams, is_member::INTEGER, "
        "may_use_sigma::INTEGER, age_days, first_impression_at::DATE - DATE '1970-01-01', "
        "last_impression_at::DATE - DATE '1970-01-01' FROM active_users ORDER BY rank NULLS LAST, user_email"
    )
    underused = zip(
        page.texts_of("underused", "id"),
        page.texts_of("underused", "kind"),
        page.texts_of("underused", "name"),
        page.texts_of("underused", "owner"),
        page.texts_of("underused", "reason"),
        column("underused", "age"),
        column("underused", "archived"),
        strict=True,
    )
    expected = found(
        "SELECT workbook_url_id, resource_type, name, owner_email, reason, age_days, is_archived::INTEGER "
        "FROM underused_resources"
    )
    assert sorted(underused, key=str) == sorted(((*row[:3], _canonical(row[3]), *row[4:]) for row in expected), key=str)


def assert_meta(page: Unpacked, connection: duckdb.DuckDBPyConnection) -> None:
    days = connection.execute(
        "SELECT event_date - DATE '1970-01-01', is_captured::INTEGER, is_complete::INTEGER FROM usage_by_day"
    ).fetchall()
    meta = page.meta
    assert (meta["firstDay"], meta["asOf"]) == (days[0][0], days[-1][0])
    assert (meta["days"]["captured"], meta["days"]["complete"]) == ([day[1] for day in days], [day[2] for day in days])
    assert meta["capturedSince"] == min((day for day, is_captured, _ in days if is_captured), default=None)
    complete = [day for day, _, is_complete in days if is_complete]
    assert meta["lastComplete"] == max(complete, default=None)
    ((compared,),) = connection.execute(
        "SELECT not_compared_because IS NULL FROM usage_summary WHERE metric = 'impressions_14d'"
    ).fetchall()
    assert meta["previousKnown"] == compared
    assert meta["teams"] == [page.texts.index(team) for team in sorted(page.teams)]
    assert (meta["hasTeams"], meta["hasMembers"], meta["hasPages"]) == tuple(
        int(connection.execute(f"SELECT count(*) > 0 FROM {table}").fetchall()[0][0])
        for table in ("active_users WHERE len(teams) > 0", "sigma_members", "page_usage")
    )


def _canonical(owner: str | None) -> str | None:
    return owner and owner.strip().lower()
