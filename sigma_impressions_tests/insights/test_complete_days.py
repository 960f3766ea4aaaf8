"""What compares periods compares complete, captured days, whatever was not exported: against plain Python."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
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
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
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
