"""What compares periods compares complete, captured days, whatever was not exported: against plain Python."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sigma_impressions.insights.complete_days import captured_days, last_complete_day
from sigma_impressions.insights.thresholds import DEFAULT_RULES
from sigma_impressions.lake.schemas import EVENT_DATES, EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.insights import reference
from sigma_impressions_tests.insights.reference_of_people import InsightsOfPeople
from sigma_impressions_tests.insights.test_insight_tables import (
    AS_OF,
    _rounded,
    _sorted,
    ago,
    element,
    found,
    refresh,
    workbook,
)
from sigma_impressions_tests.metrics.captured import Captured, capture_files
from sigma_impressions_tests.metrics.reference import Row, count_once

SNAPSHOT = ago(200)
RESOURCES = [
    {**workbook("Sales"), "path": "A", "created_at": ago(300)},
    {**element("Sales", "chart"), "created_at": ago(300)},
    {**workbook("Costs"), "path": "A/B", "created_at": ago(300)},
    {**workbook("Model"), "resource_type": "sigma_data_model", "created_at": ago(300)},
]
SEEN = {(r["resource_type"], r["workbook_url_id"], r.get("element_id")): SNAPSHOT for r in RESOURCES}
COMPARING = ("popular_resources", "usage_by_day", "usage_summary", "folder_usage", "owner_usage", "active_users")


def views_of(day: datetime, chance: random.Random) -> list[Row]:
    """Views of a day by some people: some workbooks are viewed more and more often, some on few days only."""
    people = chance.sample(["ann@x.org", "bob@x.org", "cyd@x.org"], chance.choice([0, 1, 2]))
    return [
        Row(
            day.replace(hour=chance.choice([0, 11, 23])),
            person,
            chance.choice(["Sales", "Sales", "Costs", "Model", "?"]),
            chance.choice([None, "chart"]),
            chance.choice([1, 2, 5, 9]),
        )
        for person in [*people, None]
        if chance.random() < 0.7
    ]


@st.composite
def exports(draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Captured]:
    """The export files of a company: of each day, twice a day, or all in one; with days that have none.

    Nobody may work at weekends, there may be no view at all, or views from before all others; the exports may have
    begun yesterday, or have stopped long ago.
    """
    chance = random.Random(draw(st.integers(0, 10_000)))
    begin, stop = draw(st.sampled_from([0, 1, 14, 27, 28, 29, 45, 75])), draw(st.sampled_from([0, 0, 0, 1, 3, 20, 33]))
    missing = draw(st.sampled_from([set(), set(), {0}, {1}, {14, 15}, {28}, {27, 50}, set(range(5, 22))]))
    works_at_weekends, is_used = draw(st.booleans()), draw(st.sampled_from([True, True, True, False]))
    kind = draw(st.sampled_from(["daily", "twice a day", "evening", "one file"]))
    days = {age: ago(age) for age in range(begin, stop - 1, -1) if age not in missing}
    views = {
        age: views_of(day, chance) if is_used and (works_at_weekends or day.isoweekday() < 6) else []
        for age, day in days.items()
    }
    files = []
    for age, day in days.items():
        night, evening = day.replace(hour=2) + timedelta(days=1), day.replace(hour=23)
        if kind == "twice a day":
            files.append(Captured(f"noon {age}", [row for row in views[age] if row.request_time < day], *_at(day)))
            files.append(Captured(f"night {age}", [row for row in views[age] if row.request_time >= day], *_at(night)))
        else:
            files.append(Captured(f"{kind} {age}", views[age], *_at(evening if kind == "evening" else night)))
    files = [file for file in files if file.last_modified and file.last_modified <= ago(0)]
    if kind == "one file" and files:
        files = [Captured("all", [row for file in files for row in file.rows], *_at(files[-1].last_modified))]
    if files and draw(st.booleans()):
        # A row of long ago in a file of now, and one that a wrong clock has dated ahead.
        stray = [Row(ago(100), "ann@x.org", "Sales", None), Row(ago(-1), "bob@x.org", "Sales", None)]
        files[-1] = replace(files[-1], rows=[*files[-1].rows, *stray])
    return files


def _at(moment: datetime | None) -> tuple[date, datetime]:
    assert moment
    return moment.date(), moment


def registries(files: list[Captured]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The registries of the export files and the event dates, as far as they tell of captured days."""
    registered = [
        {
            "file_id": file.file_id,
            "file_date": file.file_date,
            "last_modified": file.last_modified,
            "status": "read",
            "event_dates": file.days,
        }
        for file in files
    ]
    viewed = sorted({day for file in files for day in file.days})
    return (
        pl.DataFrame(registered, schema=EXPORT_FILES.schema),
        pl.DataFrame({"event_date": viewed, "impressions": [1] * len(viewed)}, schema_overrides=EVENT_DATES.schema),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=exports())
def test_captured_and_complete_days_equal_the_reference(files: list[Captured]) -> None:
    of_files, of_days = registries(files)
    viewed = {day for file in files for day in file.days if day <= AS_OF}
    assert set(captured_days(of_files, of_days, AS_OF)) == reference.captured_days(files, viewed, AS_OF)
    assert last_complete_day(of_files, AS_OF) == reference.last_complete_day(files, AS_OF)


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    files=exports(),
    back=st.sampled_from([0, 0, 0, 1, 14]),
    compared=st.sampled_from([(), (0, 14), (0, 14), (0, 14, 60)]),
)
def test_what_compares_periods_equals_the_reference(
    files: list[Captured], back: int, compared: tuple[int, ...]
) -> None:
    as_of = AS_OF - timedelta(days=back)
    complete = reference.last_complete_day(files, as_of) or as_of
    stated = {complete - timedelta(days=days) for days in compared}
    with tempfile.TemporaryDirectory() as folder:
        tables = Tables(Path(folder))
        capture_snapshot(tables, conform(pl.DataFrame(RESOURCES), "the test"), "here", SNAPSHOT)
        capture_files(tables, files)
        refresh(tables, as_of, *stated)
        shown = found(publish_database(tables, as_of).path)
    wanted = InsightsOfPeople(
        *(count_once([file.rows for file in files]), lambda _: RESOURCES, SEEN),
        as_of=as_of,
        rules=DEFAULT_RULES,
        stated=stated,
        files=files,
        members=[],
    )
    for name in COMPARING:
        pairs = zip(_sorted(shown[name]), _sorted(getattr(wanted, name)()), strict=True)
        for row, stated_row in pairs:
            assert {column: _rounded(row[column]) for column in stated_row} == {
                column: _rounded(value) for column, value in stated_row.items()
            }, name
    for row in shown["usage_summary"]:
        is_compared = row["complete_value"] is not None and row["previous_complete_value"] is not None
        assert (row["not_compared_because"] is None) is is_compared


def daily(ages: Iterable[int], views: Callable[[int], int]) -> list[Captured]:
    """Exports of whole days, taken in the night after each; of the days that are so long ago, with so many views."""
    return [
        Captured(f"{age}", [Row(ago(age), "ann@x.org", "Sales", None, views(age))][: views(age)], *_at(night(age)))
        for age in ages
    ]


def night(age: int) -> datetime:
    """The small hours behind a day."""
    return ago(age - 1).replace(hour=2)


def published(folder: Path, files: list[Captured]) -> dict[str, list[dict[str, Any]]]:
    tables = Tables(folder)
    capture_snapshot(tables, conform(pl.DataFrame(RESOURCES), "the test"), "here", SNAPSHOT)
    capture_files(tables, files)
    refresh(tables, AS_OF)
    return found(publish_database(tables, AS_OF).path)


def sales(shown: dict[str, list[dict[str, Any]]]) -> list[Any]:
    """What is compared of the one workbook that is viewed."""
    columns = ("complete_impressions_14d", "previous_complete_impressions_14d", "trend_14d", "movement")
    (row,) = [row for row in shown["popular_resources"] if row["workbook_url_id"] == "Sales" and not row["element_id"]]
    return [row[column] for column in columns]


def impressions(shown: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return next(row for row in shown["usage_summary"] if row["metric"] == "impressions_14d")


@pytest.mark.slow
def test_a_part_of_a_day_is_compared_with_nothing(tmp_path: Path) -> None:
    files = daily(range(1, 40), lambda _: 10)
    begun = Captured("0", [Row(ago(0).replace(hour=1), "ann@x.org", "Sales", None, 1)], *_at(ago(0).replace(hour=2)))
    shown = published(tmp_path, [*files, begun])
    assert sales(shown) == [140, 140, 0, "steady"]
    row = impressions(shown)
    assert (row["value"], row["complete_value"], row["previous_complete_value"]) == (131, 140, 140)
    assert (row["last_complete_day"], row["not_compared_because"]) == (AS_OF - timedelta(days=1), None)
    assert [(day["is_captured"], day["is_complete"]) for day in shown["usage_by_day"][-2:]] == [
        (True, True),
        (True, False),
    ]


@pytest.mark.slow
def test_nobody_at_weekends_is_no_hole_and_an_export_that_is_missing_is_one(tmp_path: Path) -> None:
    def views(age: int) -> int:
        return 10 if ago(age).isoweekday() < 6 else 0

    # A Thursday, 15 days ago.
    shown = published(tmp_path, daily([age for age in range(1, 40) if age != 15], views))
    assert sales(shown) == [100, None, None, "unknown"]
    assert impressions(shown)["not_compared_because"] == (
        "Only 27 of the 28 days from 2026-10-23 to 2026-11-19 were captured."
    )
    without = [day for day in shown["usage_by_day"][-39:-1] if not day["impressions"]]
    assert len(without) == 11
    assert [day["event_date"] for day in without if not day["is_captured"]] == [AS_OF - timedelta(days=15)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ages", "compared"),
    [
        # Nothing was captured before: nothing is new.
        (range(1, 28), [140, None, None, "unknown"]),
        # Exports have stopped: nothing is gone, as long as the last whole weeks are among the 60 days.
        (range(32, 60), [140, 140, 0, "steady"]),
        (range(33, 61), [140, None, None, "unknown"]),
    ],
)
def test_nothing_moves_for_want_of_data(tmp_path: Path, ages: range, compared: list[Any]) -> None:
    shown = published(tmp_path, daily(ages, lambda _: 10))
    assert sales(shown) == compared
    row = impressions(shown)
    assert row["last_complete_day"] == AS_OF - timedelta(days=min(ages))
    assert {row["movement"] for row in shown["popular_resources"]} <= {"unknown", "none", "steady"}
