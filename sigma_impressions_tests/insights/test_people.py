"""The insight tables about members, teams, folders, owners and pages, against the reference in plain Python."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sigma_impressions.insights.complete_days import last_complete_day
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.insights.thresholds import DEFAULT_RULES
from sigma_impressions.lake.schemas import MEMBER_COLUMNS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish import build, database
from sigma_impressions.report.read import read_usage
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.insights.reference import Resource
from sigma_impressions_tests.insights.reference_of_people import InsightsOfPeople, Member
from sigma_impressions_tests.insights.test_insight_tables import AS_OF, _rounded, ago, element, refresh, workbook
from sigma_impressions_tests.insights.test_insight_tables import found as rows_of
from sigma_impressions_tests.metrics.captured import Captured, capture, capture_files
from sigma_impressions_tests.metrics.reference import Row, count_once

pytestmark = pytest.mark.slow

TABLES = ("user_activity", *INSIGHT_TABLES)
FIRST_SNAPSHOT, LATER_SNAPSHOT = ago(200), ago(5)
ADDRESSES = ("ann@x.org", "bob@x.org", "cyd@x.org", "ζoë@x.org", "embed-7")


@contextmanager
def with_members(members: list[Member]) -> Iterator[None]:
    """Let what is published have these members."""
    create = build.create_insights

    def create_with_members(connection: duckdb.DuckDBPyConnection, *args: Any) -> None:
        ((is_view,),) = connection.execute(
            "SELECT count(*) > 0 FROM duckdb_views() WHERE view_name = 'members'"
        ).fetchall()
        connection.execute(f"DROP {'VIEW' if is_view else 'TABLE'} members")
        connection.register("members", pl.DataFrame(members, schema=MEMBER_COLUMNS).to_arrow())
        create(connection, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "create_insights", create_with_members)
        yield


def member(member_id: str, user_email: str | None, **more: Any) -> Member:
    return {
        "member_id": member_id,
        "user_email": user_email,
        "name": None,
        "account_type": "Viewer",
        "kind": "internal",
        "teams": [],
        "created_at": ago(300),
        "is_active": True,
        "first_seen_at": FIRST_SNAPSHOT,
        "is_deleted": False,
        **more,
    }


def published(tables: Tables, members: list[Member], as_of: date = AS_OF) -> dict[str, list[dict[str, Any]]]:
    """The insight tables, and `user_activity`, as of a day."""
    with with_members(members):
        return rows_of(database.publish_database(tables, as_of).path, TABLES)


TIMES = st.sampled_from([None, *(ago(days) for days in (-3, 2, 13, 14, 20, 40, 59, 60, 100, 300))])
MEMBERS = st.lists(
    st.builds(
        dict,
        user_email=st.sampled_from([None, *ADDRESSES, "dan@x.org", "eve@x.org"]),
        name=st.sampled_from([None, "Ann", "=Bob()"]),
        account_type=st.sampled_from([None, "Creator", "Viewer"]),
        kind=st.sampled_from([None, "internal", "guest", "embed"]),
        teams=st.sampled_from(
            [None, [], ["Finance"], ["Finance", "Sales"], ["no_team", "Sales", "Sales"], ["Größe/Ü"]]
        ),
        created_at=TIMES,
        is_active=st.sampled_from([True, True, True, None, False]),
        first_seen_at=st.sampled_from([FIRST_SNAPSHOT, FIRST_SNAPSHOT, ago(20), LATER_SNAPSHOT]),
        is_deleted=st.sampled_from([False, False, False, None, True]),
    ),
    max_size=9,
).map(lambda found: [{"member_id": f"m{number}", **one} for number, one in enumerate(found)])

PATHS = st.sampled_from([None, "", "/", "A", "A/", "/A//B/", "A/B/C", "a", "Größe /☕", "A b/ B"])
OWNERS = st.sampled_from([None, "Ann@X.org", " ann@x.org ", "bob@x.org", "gone@x.org"])
PAGES = st.sampled_from([(None, None), ("p1", "One"), ("p1", "Two"), ("p2", None)])


@st.composite
def organizations(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Resource]:
    """Workbooks in folders with elements on pages; one is a data model, one archived, one young."""
    found: list[Resource] = []
    for url_id, more in {
        "W1": {},
        "W2": {},
        "W3": {},
        "Old": {"is_archived": True},
        "Young": {"created_at": ago(3)},
        "Model": {"resource_type": "sigma_data_model"},
    }.items():
        described = {"path": draw(PATHS), "owner_email": draw(OWNERS), "created_at": ago(400), "name": f"The {url_id}"}
        found.append({**workbook(url_id), **described, **more})
        for element_id in ("chart", "table"):
            page_id, page_name = draw(PAGES)
            found.append(
                element(
                    url_id,
                    element_id,
                    page_id=page_id,
                    page_name=page_name,
                    **{**described, **more, "resource_type": "sigma_element"},
                )
            )
    return found


VIEWS = st.lists(
    st.builds(
        Row,
        request_time=st.sampled_from([0, 0, 1, 5, 13, 14, 15, 20, 27, 28, 29, 30, 45, 59, 60, 75, 90]).map(ago),
        user_email=st.sampled_from([None, *ADDRESSES]),
        workbook_url_id=st.sampled_from(["W1", "W1", "W2", "Old", "Young", "Model", "?"]),
        element_id=st.sampled_from([None, "chart", "table", "?"]),
        count=st.sampled_from([1, 1, 2, 5]),
    ),
    max_size=40,
)
CAPTURED = st.sampled_from([0, 10, 30, 61]).map(
    lambda days: [Row(ago(day), "robot", "W2", None) for day in range(0, days, 12)]
)
"""Views so near each other that the days since the first of them are captured."""

ROWS = st.tuples(VIEWS, CAPTURED).map(lambda parts: [*parts[0], *parts[1]])


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    resources=organizations(),
    members=MEMBERS,
    rows=ROWS,
    last_modified=st.sampled_from([None, ago(0), ago(0).replace(hour=0), ago(-1), ago(7), ago(31), ago(32), ago(50)]),
    back=st.sampled_from([0, 0, 0, 14]),
)
def test_tables_about_people_equal_the_reference(
    resources: list[Resource],
    members: list[Member],
    rows: list[Row],
    last_modified: datetime | None,
    back: int,
) -> None:
    as_of = AS_OF - timedelta(days=back)
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(Path(folder))
        snapshot = conform(pl.DataFrame(resources, infer_schema_length=None), "the test")
        capture_snapshot(tables, snapshot, "here", FIRST_SNAPSHOT)
        file = Captured("f1", rows, AS_OF, last_modified)
        capture_files(tables, [file])
        refresh(tables, AS_OF, as_of)
        shown = published(tables, members, as_of)
    seen = {(r["resource_type"], r["workbook_url_id"], r.get("element_id")): FIRST_SNAPSHOT for r in resources}
    wanted = InsightsOfPeople(
        count_once([rows]),
        lambda _: resources,
        seen,
        as_of=as_of,
        rules=DEFAULT_RULES,
        stated=[],
        files=[file],
        members=members,
    )
    for name in ("user_activity", "active_users", "usage_summary", *INSIGHT_TABLES[5:]):
        expected, found = getattr(wanted, name)(), shown[name]
        assert len(found) == len(expected), name
        pairs = zip(_sorted(name, found), _sorted(name, expected), strict=True)
        for row, stated in pairs:
            assert {column: _rounded(row[column]) for column in stated} == {
                column: _rounded(value) for column, value in stated.items()
            }, name


KEYS = {
    "usage_summary": ("metric",),
    "licence_usage": ("account_type", "kind"),
    "team_usage": ("people", "team"),
    "folder_usage": ("folder",),
    "owner_usage": ("owner_email",),
    "page_usage": ("workbook_url_id", "page_id"),
}


def _sorted(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # `active_users` is compared in its order.
    keys = KEYS.get(name)
    return sorted(rows, key=lambda row: [(row[key] is not None, row[key] or "") for key in keys]) if keys else rows


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views of the last 61 days by a robot, and one by Ann; of a workbook in a folder."""
    tables = Tables(tmp_path_factory.mktemp("stored") / "storage")
    resources = [{**workbook("W1"), "path": "A/B", "created_at": ago(400)}]
    capture_snapshot(tables, conform(pl.DataFrame(resources), "the test"), "here", FIRST_SNAPSHOT)
    rows = [Row(ago(day), "robot", "W1", None) for day in range(0, 61, 12)]
    capture(tables, "f1", [*rows, Row(ago(3), "ann@x.org", "W1", None)], last_modified=ago(0))
    refresh(tables, AS_OF)
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path / "storage"))


PEOPLE = [
    member("1", "ann@x.org", teams=["Finance"]),
    member("2", "never@x.org", name="Nev", kind="guest"),
    member("3", "young@x.org", created_at=ago(13)),
    member("4", "grown@x.org", created_at=ago(14)),
    member("5", "shown@x.org", first_seen_at=LATER_SNAPSHOT),
    member("6", "inactive@x.org", is_active=False),
    member("7", "deleted@x.org", is_deleted=True),
    member("8", None),
]


def test_who_never_came_may_come_and_had_the_time_for_it(tables: Tables) -> None:
    shown = published(tables, PEOPLE)
    tiers = {row["user_email"]: row["tier"] for row in shown["active_users"]}
    assert tiers == {
        "robot": "occasional",
        "ann@x.org": "occasional",
        "never@x.org": "never",
        "grown@x.org": "never",
        "young@x.org": "unknown",
        "shown@x.org": "unknown",
    }
    assert [row["is_member"] for row in shown["active_users"][:2]] == [False, True]
    licences = {row["kind"]: row for row in shown["licence_usage"]}
    figures = ("members", "active_60d", "never", "unknown", "without_address")
    assert [licences["internal"][name] for name in figures] == [4, 1, 1, 2, 1]
    assert [licences["guest"][name] for name in figures] == [1, 0, 1, 0, 0]
    summary = {row["metric"]: row["value"] for row in shown["usage_summary"]}
    assert (summary["members"], summary["never_seen_members"], summary["impressions_not_members_60d"]) == (5, 2, 5)


def test_nobody_is_called_unused_on_a_few_days_of_views(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture_snapshot(tables, conform(pl.DataFrame([workbook("W1")]), "the test"), "here", FIRST_SNAPSHOT)
    # A row from long ago is no sign that the days since then are captured.
    capture(tables, "f1", [Row(ago(day), "robot", "W1", None) for day in (0, 1, 2, 16, 17, 90)], last_modified=ago(0))
    refresh(tables, AS_OF)
    shown = published(tables, [*PEOPLE, member("9", "later@x.org", created_at=ago(15))])
    tiers = {row["user_email"]: row["tier"] for row in shown["active_users"]}
    # Of the last one all days are captured.
    assert tiers.pop("later@x.org") == "never"
    assert {tier for user, tier in tiers.items() if user not in ("robot", "grown@x.org")} == {"unknown"}
    assert {row["captured_since"] for row in shown["active_users"]} == {AS_OF - timedelta(days=17)}
    summary = {row["metric"]: row for row in shown["usage_summary"]}
    assert summary["never_seen_members"]["value"] is None
    assert summary["never_seen_members"]["unknown_because"] == (
        "Views are captured since 2026-11-03 only; who never came can be told from 2027-01-01 on."
    )


def test_without_members_it_is_said_that_there_are_none(tables: Tables) -> None:
    shown = published(tables, [])
    assert (shown["team_usage"], shown["licence_usage"]) == ([], [])
    assert [row["is_member"] for row in shown["active_users"]] == [None, None]
    unknown = {row["metric"]: row for row in shown["usage_summary"] if row["unknown_because"]}
    assert unknown.keys() >= {"members", "never_seen_members", "users_not_members_60d"}
    assert all(row["value"] is None and "No members" in row["unknown_because"] for row in unknown.values())
    assert [row["folder"] for row in shown["folder_usage"]] == ["A", "A/B"]


def test_the_report_has_those_who_never_came_behind_those_who_viewed_something(tables: Tables) -> None:
    with with_members(PEOPLE):
        path = database.publish_database(tables).path
    usage = read_usage(path)
    people = usage.content.people["user_email"].to_list()
    assert (usage.users_60d, people[:2]) == (2, ["robot", "ann@x.org"])
    assert "never@x.org" in people[2:]


def test_a_day_is_complete_when_a_later_file_was_read() -> None:
    def of(*files: tuple[str, datetime | None]) -> date | None:
        frame = pl.DataFrame(
            files, schema={"status": pl.String, "last_modified": pl.Datetime("us", "UTC")}, orient="row"
        )
        return last_complete_day(frame, AS_OF)

    midnight = ago(0).replace(hour=0)
    assert of() is of(("read", None)) is of(("refused", ago(0))) is None
    assert of(("read", ago(3)), ("refused", ago(0))) == AS_OF - timedelta(days=4)
    assert of(("read", midnight)) == of(("read", ago(0))) == AS_OF - timedelta(days=1)
    assert of(("read", midnight - timedelta(microseconds=1))) == AS_OF - timedelta(days=2)
    assert of(("read", ago(-9))) == AS_OF
