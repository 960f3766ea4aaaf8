"""The insight tables, against the reference in plain Python; and what makes them be published anew."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigma_impressions.destinations.files import export_tables
from sigma_impressions.insights.history import _covering
from sigma_impressions.insights.insight_tables import INSIGHT_TABLES
from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.insights.reference import Resource
from sigma_impressions_tests.insights.reference_of_people import InsightsOfPeople
from sigma_impressions_tests.metrics.captured import Captured, capture, capture_files
from sigma_impressions_tests.metrics.reference import Row, count_once

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)
WORKBOOK_ID = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"


def ago(days: int) -> datetime:
    return datetime(2026, 11, 20, 12, tzinfo=UTC) - timedelta(days=days)


def workbook(url_id: str, **more: Any) -> Resource:
    return {"resource_type": "sigma_workbook", "workbook_url_id": url_id, "workbook_name": url_id, **more}


def element(url_id: str, element_id: str, **more: Any) -> Resource:
    return {"resource_type": "sigma_element", "workbook_url_id": url_id, "element_id": element_id, **more}


FIRST_SNAPSHOT, SECOND_SNAPSHOT = ago(200), ago(5)
EARLIER: list[Resource] = [
    workbook("Model", created_at=ago(300)) | {"resource_type": "sigma_data_model"},
    element("Model", "table"),
    workbook("Sales", workbook_id=WORKBOOK_ID, owner_email="ann@example.com", created_at=ago(400)),
    element("Sales", "chart"),
    element("Sales", "table", created_at=ago(80)),
    workbook("Old", is_archived=True, created_at=ago(300)),
    workbook("Young", created_at=ago(13)),
    workbook("Grown", created_at=ago(14)),
    workbook("Vanished", created_at=ago(300)),
]
"""The resources until a few days ago; since then one has vanished, and some have come."""
NOW: list[Resource] = [*EARLIER[:-1], workbook("Appeared"), element("Grown", "chart", created_at=ago(70))]
GONE: Resource = {**EARLIER[-1], "is_deleted": True}

AGES = (0, 1, 6, 7, 13, 14, 20, 27, 28, 29, 30, 36, 59, 60, 66, 73, 74, 88, 89, 119, 120, 150, 180)
ROWS = st.builds(
    Row,
    request_time=st.builds(
        lambda age, second: ago(age).replace(hour=0) + timedelta(seconds=second),
        st.sampled_from(AGES),
        st.sampled_from([0, 43_200, 86_399]),
    ),
    user_email=st.sampled_from([None, "ann@example.com", "bob@example.com", "ζoë@example.com", "=x()@example.com"]),
    workbook_url_id=st.sampled_from(
        ["Sales", WORKBOOK_ID.upper(), "Old", "Young", "Grown", "Appeared", "Vanished", "Model", "?"]
    ),
    element_id=st.sampled_from([None, None, "chart", "table"]),
    count=st.sampled_from([1, 1, 2, 5, 20]),
)


def resources(as_of: date) -> list[Resource]:
    return [*NOW, GONE] if as_of >= SECOND_SNAPSHOT.date() else EARLIER


def first_seen() -> dict[tuple[str, str, str | None], datetime]:
    known = {_key(resource) for resource in EARLIER}
    return {
        _key(resource): FIRST_SNAPSHOT if _key(resource) in known else SECOND_SNAPSHOT for resource in [*EARLIER, *NOW]
    }


def _key(resource: Resource) -> tuple[str, str, str | None]:
    return resource["resource_type"], resource["workbook_url_id"], resource.get("element_id")


def tables_of(folder: Path) -> Tables:
    tables = Tables(folder)
    for found, taken_at in ((EARLIER, FIRST_SNAPSHOT), (NOW, SECOND_SNAPSHOT)):
        capture_snapshot(tables, conform(pl.DataFrame(found, infer_schema_length=None), "the test"), "here", taken_at)
    return tables


def refresh(tables: Tables, *as_of_dates: date) -> None:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, as_of_dates)


def found(database: Path, names: Iterable[str] = INSIGHT_TABLES) -> dict[str, list[dict[str, Any]]]:
    """The rows of tables of a published database, in their order: by default the insight tables."""
    tables = {}
    with duckdb.connect(str(database), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in names:
            relation = connection.sql(f"FROM {name}")
            tables[name] = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    return tables


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("resource_type", "workbook_url_id", "element_id", "metric", "folder", "owner_email")
    return sorted(rows, key=lambda row: [str(row.get(name) or "") for name in names])


def _rounded(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


EARLIER_DATES = [AS_OF - timedelta(days=days) for days in (1, 14, 15, 40, 61, 75, 100, 130, 180)]
ROBOT = [Row(ago(age), "robot", "Old", None) for age in range(0, 200, 14)]
"""Views so near each other that all days between them are captured."""


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(ROWS, min_size=5, max_size=60),
    stated=st.sets(st.sampled_from(EARLIER_DATES), max_size=5),
    captured=st.sampled_from([[], ROBOT]),
    rules=st.sampled_from([InsightRules(), InsightRules(1, 3, 2), InsightRules(3, 2, 1)]),
)
def test_tables_equal_the_reference(
    rows: list[Row], captured: list[Row], stated: set[date], rules: InsightRules
) -> None:
    file = Captured("f1", [*rows, *captured], AS_OF, ago(0))
    with tempfile.TemporaryDirectory() as folder:
        tables = tables_of(Path(folder))
        capture_files(tables, [file])
        refresh(tables, AS_OF, *stated)
        # A history that is published as of an earlier day must not know what came later.
        for as_of in {AS_OF} | (stated & {AS_OF - timedelta(days=14)}):
            shown = found(publish_database(tables, as_of, rules=rules).path)
            before = {day for day in stated if day < as_of}
            wanted = InsightsOfPeople(
                *(count_once([file.rows]), resources, first_seen()),
                as_of=as_of,
                rules=rules,
                stated=before,
                files=[file],
                members=[],
            )
            for name in INSIGHT_TABLES:
                expected, given_rows = getattr(wanted, name)(), shown[name]
                if name not in ("active_users", "usage_by_day"):
                    expected, given_rows = _sorted(expected), _sorted(given_rows)
                assert len(given_rows) == len(expected), name
                for row, stated_row in zip(given_rows, expected, strict=True):
                    assert {column: _rounded(row[column]) for column in stated_row} == {
                        column: _rounded(value) for column, value in stated_row.items()
                    }, name


@given(
    days=st.sets(st.integers(0, 400), max_size=60),
    as_of_dates=st.sets(st.integers(0, 460), max_size=12),
)
def test_few_as_of_dates_tell_of_all_days_that_lie_in_a_window(days: set[int], as_of_dates: set[int]) -> None:
    origin = date(2025, 1, 1)
    chosen, left = _covering(
        [origin + timedelta(days=day) for day in days], [origin + timedelta(days=day) for day in as_of_dates]
    )
    told = {(as_of - timedelta(days=back) - origin).days for as_of in chosen for back in range(60)}
    possible = {as_of - back for as_of in as_of_dates for back in range(60)}
    assert {(day - origin).days for day in left} == days - possible
    assert days & possible <= told
    # Windows may overlap, but none is there that tells of nothing new.
    assert len(chosen) <= len(days & possible)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Views of today, of 90 and of 150 days ago; as-of dates of today and of 100 days ago."""
    tables = tables_of(tmp_path_factory.mktemp("stored") / "storage")
    users = ["ann@example.com", "bob@example.com"]
    rows = [Row(ago(age), user, "Sales", "chart") for age in (0, 3, 90) for user in users]
    rows += [Row(ago(2), "ann@example.com", "Grown", None), Row(ago(150), "cyd@example.com", "Old", None)]
    capture(tables, "f1", [*rows, Row(ago(90), "ann@example.com", "Sales", "table")], last_modified=ago(0))
    refresh(tables, AS_OF, AS_OF - timedelta(days=100))
    return tables.root


@pytest.fixture
def tables(stored: Path, tmp_path: Path) -> Tables:
    """A copy of what is stored."""
    return Tables(shutil.copytree(stored, tmp_path / "storage"))


def test_the_reasons_are_plain_sentences(tables: Tables) -> None:
    rows = found(publish_database(tables).path)["underused_resources"]
    assert {(row["workbook_url_id"], row["element_id"], row["is_archived"]): row["reason"] for row in rows} == {
        ("Sales", "table", False): (
            "Nobody viewed it in the last 60 days; the last view was on 2026-08-22, 90 days ago."
        ),
        ("Grown", None, False): "Only 1 user viewed it in the last 60 days; fewer than 2 count as underused.",
        ("Old", None, True): "Nobody viewed it in the last 60 days; the last view was on 2026-06-23, 150 days ago.",
        **dict.fromkeys(
            [("Model", None, False), ("Model", "table", False)],
            "No view of it has been captured; the captured views begin on 2026-06-23.",
        ),
    }
    fewer = found(publish_database(tables, rules=InsightRules(underused_below_users=1)).path)["underused_resources"]
    assert {row["reason_code"] for row in fewer} == {"no_impressions", "never_seen"}


def test_views_of_nobody_are_by_no_user_but_may_be_by_many(tables: Tables) -> None:
    views = [(0, "Grown", None, 3), (0, "Sales", "table", 1), (100, "Young", None, 1)]
    capture(tables, "embeds", [Row(ago(age), None, book, element, count) for age, book, element, count in views])
    refresh(tables, AS_OF - timedelta(days=100))
    shown = found(publish_database(tables).path)
    # One user and three views of nobody: nobody knows that these are fewer than two people.
    underused = {(row["workbook_url_id"], row["element_id"]): row["reason"] for row in shown["underused_resources"]}
    assert underused.keys() == {("Sales", "table"), ("Old", None), ("Model", None), ("Model", "table")}
    assert underused["Sales", "table"].startswith("At most 1 user viewed it in the last 60 days")
    (popular,) = [
        row for row in shown["popular_resources"] if row["workbook_url_id"] == "Grown" and not row["element_id"]
    ]
    assert (popular["total_impressions_60d"], popular["distinct_impressions_users_60d"]) == (4, 1)
    assert [row["user_email"] for row in shown["active_users"]] == ["ann@example.com", "bob@example.com"]
    assert shown["active_users"][-1]["cumulative_share"] == 1
    today = shown["usage_by_day"][-1]
    assert (today["impressions"], today["active_users"], today["weekly_active_users"]) == (6, 2, 2)
    summary = {row["metric"]: row["value"] for row in shown["usage_summary"]}
    assert (summary["impressions_14d"], summary["active_users_14d"], summary["new_users_14d"]) == (9, 2, 0)


def test_data_models_are_ranked_by_themselves_and_are_no_workbooks(tables: Tables) -> None:
    capture(tables, "models", [Row(ago(0), "ann@example.com", "Model", element) for element in (None, "table", "?")])
    refresh(tables)
    shown = found(publish_database(tables).path)
    (model,) = [row for row in shown["popular_resources"] if row["resource_type"] == "sigma_data_model"]
    figures = ("total_impressions_60d", "rank_by_impressions", "percentile_by_impressions", "movement")
    assert [model[name] for name in figures] == [3, 1, 0, "unknown"]
    underused = {(row["resource_type"], row["workbook_url_id"]) for row in shown["underused_resources"]}
    assert ("sigma_data_model", "Model") in underused
    # Sales and Grown were viewed as workbooks; so were those two, of the four that are not archived, in 60 days.
    summary = {row["metric"]: row["value"] for row in shown["usage_summary"]}
    assert [summary[name] for name in ("active_workbooks_14d", "workbooks", "used_workbooks_60d")] == [2, 4, 2]
    assert shown["usage_by_day"][-1]["active_workbooks"] == 1
    assert shown["active_users"][0]["distinct_workbooks_60d"] == 3


@pytest.mark.slow
def test_they_are_published_anew_when_what_they_show_has_changed(tables: Tables) -> None:
    assert publish_database(tables).is_new
    assert not publish_database(tables).is_new
    # Another rule.
    rules = InsightRules(power_user_days=9)
    assert publish_database(tables, rules=rules).is_new
    assert not publish_database(tables, rules=rules).is_new
    # A figure to compare with, of 14 days before the last complete day.
    refresh(tables, AS_OF - timedelta(days=15))
    assert publish_database(tables, rules=rules).is_new
    # Views long before the window.
    capture(tables, "late", [Row(ago(170), "dan@example.com", "Young", None)])
    refresh(tables)
    published = publish_database(tables, rules=rules)
    assert published.is_new
    assert not publish_database(tables, rules=rules).is_new
    (row,) = [row for row in found(published.path)["popular_resources"] if row["workbook_url_id"] == "Young"]
    assert row["last_impression_at"] == ago(170)


def test_they_are_exported_with_the_other_tables(tables: Tables, tmp_path: Path) -> None:
    written = {file.table: file for file in export_tables(publish_database(tables).path, tmp_path / "out", "parquet")}
    assert set(INSIGHT_TABLES) <= set(written)
    assert written["usage_by_day"].rows == 60
    users = pl.read_parquet(written["active_users"].path)
    assert users["user_email"].to_list() == ["ann@example.com", "bob@example.com"]
