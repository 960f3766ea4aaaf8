"""Counting once and the metrics, against the reference in plain Python."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigma_impressions.errors import ConservationError, NothingComputed
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    DAILY_TOTALS,
    EVENT_DATES,
    METRIC_TABLES,
    RESOURCE_IMPRESSIONS,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.conservation import check_claims, check_windows
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import (
    built_event_dates,
    expected_event_dates,
    expected_fingerprints,
    snapshot_for,
)
from sigma_impressions.publish.settle import is_complete
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.metrics.captured import capture, published_users
from sigma_impressions_tests.metrics.reference import Reference, Row, count_once

AS_OF = date(2026, 11, 20)
IDENTITY = ("resource_type", "workbook_url_id", "element_id")
WORKBOOK_ID = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"
MODEL_ID = "1f9e5d2b-63b2-4a1f-8c3f-7a4c6e7b8d92"
RESOURCES: list[dict[str, Any]] = [
    {"resource_type": "sigma_workbook", "workbook_url_id": "Sales", "workbook_id": WORKBOOK_ID},
    {"resource_type": "sigma_element", "workbook_url_id": "Sales", "element_id": "chart"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "sales", "workbook_id": None},
    {"resource_type": "sigma_element", "workbook_url_id": "sales", "element_id": "chart"},
    {"resource_type": "sigma_workbook", "workbook_url_id": "Unused", "workbook_id": None},
    {"resource_type": "sigma_data_model", "workbook_url_id": "Model", "workbook_id": MODEL_ID.upper()},
    {"resource_type": "sigma_element", "workbook_url_id": "Model", "element_id": "chart"},
]

ROWS = st.builds(
    Row,
    request_time=st.builds(
        lambda age, second, micro: (
            datetime(2026, 11, 20, tzinfo=UTC) - timedelta(days=age) + timedelta(seconds=second, microseconds=micro)
        ),
        st.sampled_from([-1, 0, 0, 1, 13, 14, 27, 28, 29, 30, 59, 60]),
        st.sampled_from([0, 1, 86_399]),
        st.sampled_from([0, 999_999]),
    ),
    user_email=st.sampled_from([None, "ann@example.com", "bob@example.com", "ζoë@example.com", "=x()@example.com"]),
    workbook_url_id=st.sampled_from(["Sales", "sales", "Gone", WORKBOOK_ID, WORKBOOK_ID.upper(), "Model", MODEL_ID]),
    element_id=st.sampled_from([None, None, "chart", "Chart", "other"]),
    count=st.sampled_from([1, 1, 2, 1_000_000_000]),
    event_id=st.sampled_from([None, None, None, "e1", "e2"]),
)
FILES = st.lists(st.lists(ROWS, max_size=25), min_size=1, max_size=4)


def tables_of(folder: Path) -> Tables:
    tables = Tables(folder)
    resources = conform(pl.DataFrame(RESOURCES, infer_schema_length=None), "the test")
    capture_snapshot(tables, resources, "the test", datetime.now(UTC))
    return tables


def content(tables: Tables, as_of: date = AS_OF) -> dict[str, list[dict[str, Any]]]:
    """All results, without what says when they were made."""
    daily = tables.read(DAILY_IMPRESSIONS).drop("fingerprint").collect()
    results = {table.name: read_as_of(tables, table, as_of) for table in METRIC_TABLES}
    return {
        name: sorted(frame.to_dicts(), key=str) for name, frame in ({DAILY_IMPRESSIONS.name: daily} | results).items()
    }


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=FILES, overlapping_exports=st.sampled_from(["largest", "sum"]))
def test_tables_equal_the_reference(files: list[list[Row]], overlapping_exports: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tables = tables_of(Path(folder))
        for number, rows in enumerate(files):
            capture(tables, f"f{number}", rows)
        refresh_daily_impressions(tables, overlapping_exports)
        refresh_metrics(tables, [AS_OF])
        reference = Reference(count_once(files, overlapping_exports), RESOURCES, AS_OF)

        found = read_as_of(tables, RESOURCE_IMPRESSIONS, AS_OF)
        users = published_users(tables, AS_OF).drop("as_of_date")
        assert found.height == len(RESOURCES)
        for resource in RESOURCES:
            wanted = reference.resource(resource)
            (row,) = [
                row
                for row in found.to_dicts()
                if row["resource_type"] == resource["resource_type"]
                and row["workbook_url_id"] == resource["workbook_url_id"]
                and row["element_id"] == resource.get("element_id")
            ]
            row["used"] = [
                {name: value for name, value in user.items() if name not in IDENTITY}
                for user in users.to_dicts()
                if all(user[name] == row[name] for name in IDENTITY)
            ]
            assert {name: row[name] for name in wanted} == wanted

        activity = {row["user_email"]: row for row in read_as_of(tables, USER_ACTIVITY, AS_OF).to_dicts()}
        assert activity.keys() == reference.users()
        for user, row in activity.items():
            wanted = reference.user(user)
            assert {name: row[name] for name in wanted} == wanted

        unmatched = {
            (row["workbook_url_id"], row["element_id"], row["reason"]): row
            for row in read_as_of(tables, UNMATCHED_IMPRESSIONS, AS_OF).to_dicts()
        }
        expected = reference.unmatched()
        assert unmatched.keys() == expected.keys()
        for key, wanted in expected.items():
            assert {name: unmatched[key][name] for name in wanted} == wanted


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=FILES, data=st.data())
def test_order_and_grouping_of_runs_do_not_matter(files: list[list[Row]], data: st.DataObject) -> None:
    """Any order of arrival, with a run after any of the files: the same tables, restated where needed."""
    earlier = AS_OF - timedelta(days=14)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        at_once, stepwise = tables_of(Path(one)), tables_of(Path(other))
        for number, rows in enumerate(files):
            capture(at_once, f"f{number}", rows)
        refresh_daily_impressions(at_once, "largest")
        refresh_metrics(at_once, [earlier, AS_OF])

        for number in data.draw(st.permutations(range(len(files)))):
            capture(stepwise, f"f{number}", files[number])
            if data.draw(st.booleans()):
                refresh_daily_impressions(stepwise, "largest")
                refresh_metrics(stepwise, [data.draw(st.sampled_from([earlier, AS_OF]))])
        refresh_daily_impressions(stepwise, "largest")
        refresh_metrics(stepwise, [earlier, AS_OF])

        assert content(stepwise) == content(at_once)
        assert content(stepwise, earlier) == content(at_once, earlier)


def test_a_second_refresh_writes_nothing(tmp_path: Path) -> None:
    tables = tables_of(tmp_path)
    capture(tables, "f1", [Row(datetime(2026, 11, 19, 8, tzinfo=UTC), "ann@example.com", "Sales", None)])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    versions = {table.name: tables.open(table).version() for table in (DAILY_IMPRESSIONS, AS_OF_DATES, *METRIC_TABLES)}

    assert refresh_daily_impressions(tables, "largest").built == ()
    assert refresh_metrics(tables, [AS_OF]).built == ()
    assert versions == {
        table.name: tables.open(table).version() for table in (DAILY_IMPRESSIONS, AS_OF_DATES, *METRIC_TABLES)
    }


@pytest.mark.slow
def test_a_late_file_rebuilds_exactly_its_event_dates_and_restates_their_windows(tmp_path: Path) -> None:
    tables = tables_of(tmp_path)
    for age in range(3):
        day = datetime(2026, 11, 20, 8, tzinfo=UTC) - timedelta(days=age)
        capture(tables, f"f{age}", [Row(day, "ann@example.com", "Sales", None)])
    refresh_daily_impressions(tables, "largest")
    before = AS_OF - timedelta(days=5)
    refresh_metrics(tables, [AS_OF, before])

    late = datetime(2026, 11, 18, 9, tzinfo=UTC)
    capture(tables, "late", [Row(late, "bob@example.com", "Sales", None)])
    assert refresh_daily_impressions(tables, "largest").built == (late.date(),)
    assert refresh_metrics(tables, []).built == (AS_OF,)
    total = read_as_of(tables, RESOURCE_IMPRESSIONS, AS_OF).filter(pl.col("workbook_url_id") == "Sales")
    assert total["total_impressions_14d"].max() == 4


@pytest.mark.slow
def test_a_file_date_is_complete_when_its_own_event_dates_are(tmp_path: Path) -> None:
    tables = tables_of(tmp_path)

    def captured(name: str, file_date: date, *event_days: int) -> None:
        days = [datetime(2026, 11, day, 8, tzinfo=UTC) for day in event_days]
        capture(tables, name, [Row(day, "ann@example.com", "Sales", None) for day in days], file_date)

    first, second, third = (date(2026, 11, day) for day in (10, 19, 20))
    captured("long ago", first, 9)
    captured("one", second, 18, 19)
    refresh_daily_impressions(tables, "largest")
    assert not is_complete(tables, "largest", [second]), "as-of dates that were never computed"
    refresh_metrics(tables, [first, second, third])
    assert is_complete(tables, "largest", [first, second, third])

    # Rows of an event date that files of the second, but not of the first file date hold.
    captured("other", third, 19)
    dates: list[tuple[list[date], bool]] = [([first], True), ([second], False), ([third], False), ([], True)]
    assert [(days, is_complete(tables, "largest", days)) for days, _ in dates] == dates
    refresh_daily_impressions(tables, "largest")
    assert not is_complete(tables, "largest", [first]), "an as-of date that is to be restated"
    refresh_metrics(tables, [])
    assert is_complete(tables, "largest", [first, second, third])

    expected = {day: wanted.fingerprint for day, wanted in expected_event_dates(tables, "largest").items()}
    assert expected == expected_fingerprints(tables, "largest") == built_event_dates(tables)
    assert expected_fingerprints(tables, "largest", [first]).keys() == {date(2026, 11, 9)}
    assert expected_fingerprints(tables, "largest", [third]).items() <= expected.items()


def test_numbers_that_do_not_add_up_are_refused() -> None:
    figures = {f"{kind}_{days}d": 5 for days in (14, 30, 60) for kind in ("impressions", "matched_impressions")}
    figures |= {f"unmatched_impressions_{days}d": 0 for days in (14, 30, 60)}
    check_windows(AS_OF, figures)
    with pytest.raises(ConservationError, match="30 days: 5 impressions were counted, but 4"):
        check_windows(AS_OF, figures | {"matched_impressions_30d": 4})


def test_a_date_with_fewer_impressions_than_one_of_its_files_is_refused(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    tables = tables_of(tmp_path)
    # Of the first file: two views that are equal, and an event that it holds twice, with 3 as the larger count.
    equal, event = Row(moment, "ann@example.com", "Sales", None, 1, None), ("ann@example.com", "Sales", None)
    capture(tables, "first", [equal, equal, Row(moment, *event, 2, "e1"), Row(moment, *event, 3, "e1")])
    capture(tables, "second", [equal, Row(moment, *event, 1, "e2")])
    refresh_daily_impressions(tables, "largest")
    (registered,) = tables.registry(EVENT_DATES).select("impressions", "largest_claim").rows()
    assert registered == (2 + 3 + 1, 2 + 3)
    check_claims(tables.registry(EVENT_DATES))
    with pytest.raises(ConservationError, match="2026-11-20: 4 impressions were counted, but one export file alone"):
        check_claims(tables.registry(EVENT_DATES).with_columns(impressions=pl.lit(4)))


def test_an_event_is_one_of_a_user_and_a_resource(tmp_path: Path) -> None:
    tables = tables_of(tmp_path)
    nine, ten, eleven = (datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (9, 10, 11))
    ann, bob = "ann@example.com", "bob@example.com"
    # Delivered three times: the largest count, and of the rows that have it the latest.
    first = [Row(nine, ann, "Sales", None, 3, "e1"), Row(ten, ann, "Sales", None, 3, "e1")]
    later = [Row(eleven, ann, "Sales", None, 2, "e1")]
    # The same ID of another user, of an element, of another workbook, and a day earlier.
    others = [Row(nine, bob, "Sales", None, 5, "e1"), Row(nine, ann, "Sales", "chart", 7, "e1")]
    others += [Row(nine, ann, "sales", None, 11, "e1"), Row(nine - timedelta(days=1), ann, "Sales", None, 13, "e1")]
    capture(tables, "first", first + others)
    capture(tables, "second", later + others)
    refresh_daily_impressions(tables, "largest")
    daily = tables.read(DAILY_IMPRESSIONS).collect().sort("impressions")
    assert daily["impressions"].to_list() == [3, 5, 7, 11, 13]
    assert daily["last_impression_at"][0] == daily["first_impression_at"][0] == ten
    # What the first file has by itself is what is counted.
    assert tables.registry(EVENT_DATES).select("impressions", "largest_claim").rows() == [(13, 13), (26, 26)]


@pytest.mark.slow
def test_impressions_of_nobody_are_in_every_total_and_of_no_user(tmp_path: Path) -> None:
    tables, nine = tables_of(tmp_path), datetime(2026, 11, 20, 9, tzinfo=UTC)
    rows = [Row(nine, "ann@example.com", "Sales", None, 2), Row(nine, None, "Sales", None, 30)]
    rows += [Row(nine, None, "Sales", "chart", 400), Row(nine, None, "Gone", None, 5_000)]
    capture(tables, "one", rows)
    capture(tables, "again", rows)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    (registered,) = tables.registry(EVENT_DATES).select("rows", "impressions", "distinct_users").rows()
    assert registered == (4, 5_432, 1)
    totals = tables.read(DAILY_TOTALS).collect()
    assert totals.filter(pl.col("workbook_url_id").is_null())["user_email"].to_list() == ["ann@example.com"]
    viewed = read_as_of(tables, RESOURCE_IMPRESSIONS, AS_OF).filter(pl.col("total_impressions_with_elements_60d") > 0)
    figures = viewed.select(
        *("element_id", "total_impressions_14d", "distinct_impressions_users_14d"),
        *("total_impressions_with_elements_60d", "distinct_impressions_users_with_elements_60d"),
        "anonymous_impressions_60d",
    )
    assert figures.rows() == [("chart", 400, 0, 400, 0, 400), (None, 32, 1, 432, 1, 430)]
    users = published_users(tables, AS_OF)
    assert users.select("element_id", "user_email", "impressions_60d").rows() == [(None, "ann@example.com", 2)]
    activity = read_as_of(tables, USER_ACTIVITY, AS_OF).select("user_email", "total_impressions_60d")
    assert activity.rows() == [("ann@example.com", 2)]
    unmatched = read_as_of(tables, UNMATCHED_IMPRESSIONS, AS_OF)
    assert unmatched.select("total_impressions_60d", "distinct_impressions_users_60d").rows() == [(5_000, 0)]


def test_a_data_model_has_its_own_views_and_those_of_its_elements(tmp_path: Path) -> None:
    tables, nine = tables_of(tmp_path), datetime(2026, 11, 20, 9, tzinfo=UTC)
    views = [("Model", None, 1), (MODEL_ID, "chart", 20), ("Model", "gone", 300), ("Sales", None, 4_000)]
    capture(tables, "f", [Row(nine, "ann@example.com", book, element, count) for book, element, count in views])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    found = read_as_of(tables, RESOURCE_IMPRESSIONS, AS_OF).filter(pl.col("workbook_url_id") == "Model")
    assert found.sort("resource_type").select(
        "resource_type", "total_impressions_14d", "total_impressions_with_elements_14d"
    ).rows() == [("sigma_data_model", 1, 321), ("sigma_element", 20, 20)]
    unmatched = read_as_of(tables, UNMATCHED_IMPRESSIONS, AS_OF)
    assert unmatched.select("workbook_url_id", "element_id", "reason").rows() == [("Model", "gone", "unknown_element")]
    activity = read_as_of(tables, USER_ACTIVITY, AS_OF)
    assert activity.select("distinct_workbooks_14d", "distinct_resources_14d").rows() == [(2, 4)]


def test_the_snapshot_of_an_as_of_date() -> None:
    first, second = datetime(2026, 11, 10, 12, tzinfo=UTC), datetime(2026, 11, 12, 23, 59, 59, tzinfo=UTC)
    taken = [(first, "first"), (second, "second")]
    assert snapshot_for(date(2026, 11, 1), taken) == "first"
    assert snapshot_for(date(2026, 11, 11), taken) == "first"
    assert snapshot_for(date(2026, 11, 12), taken) == "second"
    assert snapshot_for(date(2026, 12, 1), taken) == "second"
    with pytest.raises(NothingComputed, match="no snapshot"):
        snapshot_for(date(2026, 11, 1), [])
