"""The generated data of the demo: always the same, overlapping as real exports do, and believable in its figures."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions.demo import generate
from sigma_impressions.upstream.contract import SCHEMA

LAST_DAY = date(2026, 11, 22)  # a Sunday
DAYS = st.dates(date(2024, 1, 1), date(2030, 12, 31))
OF_COLUMN = {column: index for index, column in enumerate(generate.COLUMNS)}


def lines(data: bytes) -> list[str]:
    plain = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    return plain.decode().splitlines()[1:]


def exported(day: date, seed: int = generate.DEFAULT_SEED) -> list[str]:
    [(_, data)] = generate.export_files(day, seed)
    return lines(data)


def time_of(line: str) -> datetime | None:
    text = line.partition(",")[0]
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f Z").replace(tzinfo=UTC) if text.endswith(" Z") else None


def taken(day: date) -> datetime:
    return datetime.combine(day, generate.EXPORT_TIME, UTC)


@pytest.fixture(scope="module")
def period() -> list[tuple[str, bytes]]:
    return list(generate.export_period(LAST_DAY, days=70))


@pytest.fixture(scope="module")
def events(period: list[tuple[str, bytes]]) -> pl.DataFrame:
    """The distinct events of the period, without those whose line has too few or too many fields."""
    distinct = {line for key, data in period if key.endswith(("usage.csv", ".gz")) for line in lines(data)}
    rows = [row for row in csv.reader(sorted(distinct)) if len(row) == len(generate.COLUMNS)]
    return pl.DataFrame(rows, schema=list(generate.COLUMNS), orient="row")


def test_the_same_day_and_seed_give_the_same_bytes() -> None:
    first = [generate.export_files(LAST_DAY - timedelta(days=age)) for age in (0, 1, 2)]
    generate._events.cache_clear()
    generate._catalogue.cache_clear()
    generate._people.cache_clear()
    again = [generate.export_files(LAST_DAY - timedelta(days=age)) for age in (2, 1, 0)]
    assert first == again[::-1]
    assert generate.resources().equals(generate.resources())


def test_another_seed_gives_other_data() -> None:
    assert exported(LAST_DAY, 1) != exported(LAST_DAY, 2)
    assert not generate.resources(1).equals(generate.resources(2))


@settings(max_examples=10)
@given(day=DAYS, seed=st.integers(0, 5))
def test_consecutive_exports_hold_the_same_events_identically(day: date, seed: int) -> None:
    earlier, later = Counter(exported(day, seed)), Counter(exported(day + timedelta(days=1), seed))
    start = taken(day) - timedelta(days=1)
    common = Counter({line: count for line, count in earlier.items() if (at := time_of(line)) and at >= start})
    assert common
    assert common <= later
    # What the earlier one lacks of its own time is what arrived late.
    missing = [at for line in (later - earlier) if (at := time_of(line)) is not None and at <= taken(day)]
    assert all(at > taken(day) - timedelta(hours=2) for at in missing)


@settings(max_examples=10)
@given(day=DAYS)
def test_an_export_covers_the_two_days_before_it(day: date) -> None:
    times = [at for line in exported(day) if (at := time_of(line)) is not None]
    assert taken(day) - timedelta(days=2) <= min(times)
    assert max(times) <= taken(day)


def test_late_events_are_only_in_the_later_export() -> None:
    late = 0
    for age in range(1, 15):
        day = LAST_DAY - timedelta(days=age)
        new = set(exported(day + timedelta(days=1))) - set(exported(day))
        late += sum(1 for line in new if (at := time_of(line)) is not None and at <= taken(day))
    assert late > 0


def test_the_demo_compares_as_if_its_last_complete_day_had_been_exported_whole() -> None:
    days = [LAST_DAY - timedelta(days=age) for age in range(34)]
    events = {day: generate._events(day, generate.DEFAULT_SEED) for day in days}
    for last in days[:7]:
        now, before = (sum(events[last - timedelta(days=back + age)].height for age in range(14)) for back in (0, 14))
        late = events[last].filter(pl.col("exportable_at") > taken(last + timedelta(days=1))).height
        assert abs((now - late) / before - now / before) < 0.001


@given(day=DAYS)
@settings(max_examples=10)
def test_the_file_date_is_in_the_key(day: date) -> None:
    for key, _ in [*generate.export_files(day), generate.refused_file(day)]:
        match = re.search(generate.FILE_DATE_PATTERN, key)
        assert match is not None
        assert date(*(int(match[group]) for group in ("year", "month", "day"))) == day
        assert key.startswith(generate.PREFIX)


def test_the_newest_export_is_never_of_the_future() -> None:
    assert generate.last_export_day(datetime(2026, 11, 22, 0, 29, 59, tzinfo=UTC)) == date(2026, 11, 21)
    assert generate.last_export_day(datetime(2026, 11, 22, 0, 30, tzinfo=UTC)) == date(2026, 11, 22)


def test_the_bucket_has_one_refused_file_and_one_that_is_no_export(period: list[tuple[str, bytes]]) -> None:
    keys = [key for key, _ in period]
    assert len(keys) == len(set(keys)) == 72
    assert [key for key in keys if not key.endswith((".csv", ".csv.gz"))] == ["sigma-audit/README.txt"]
    without_users = [
        key
        for key, data in period
        if not data.startswith(b"\x1f\x8b") and key.endswith(".csv") and b"User Email" not in data.split(b"\n")[0]
    ]
    assert without_users == ["sigma-audit/2026-11-21T00-30-00 Workbook usage (manual).csv"]


def test_some_exports_are_compressed_and_named_so(period: list[tuple[str, bytes]]) -> None:
    compressed = [key for key, data in period if data.startswith(b"\x1f\x8b")]
    assert len(compressed) == 14
    assert all(key.endswith(".csv.gz") for key in compressed)


def test_resources_are_what_the_contract_asks_for() -> None:
    resources = generate.resources()
    kinds = dict(resources["resource_type"].value_counts().iter_rows())
    assert 55 <= kinds["sigma_workbook"] <= 65
    assert 220 <= kinds["sigma_element"] <= 280
    assert resources.columns == list(SCHEMA)
    assert not resources.select("workbook_url_id", "element_id").is_duplicated().any()
    assert resources["workbook_url_id"].str.contains(r"^[0-9A-Za-z]{21,22}$").all()
    assert resources["element_id"].drop_nulls().str.contains(r"^[0-9A-Za-z_-]{10}$").all()
    assert all(url_id in url for url_id, url in resources.select("workbook_url_id", "url").iter_rows())
    assert (resources["updated_at"] >= resources["created_at"]).all()
    workbooks = resources.filter(resource_type="sigma_workbook")
    elements = resources.filter(resource_type="sigma_element")
    assert workbooks["workbook_id"].n_unique() == workbooks.height
    assert elements.join(workbooks, on="workbook_url_id", how="anti").is_empty()
    assert workbooks["is_archived"].sum() == 5
    assert elements.select("page_id", "page_name").null_count().sum_horizontal().item() == 0
    # A page is of one workbook, and has one name.
    assert elements["page_id"].n_unique() == elements.select("workbook_url_id", "page_id", "page_name").n_unique()
    assert elements["element_id"].n_unique() < elements.height  # a copy keeps the IDs of its elements


def never_opened(seed: int = generate.DEFAULT_SEED) -> frozenset[tuple[str, str | None]]:
    """The resources that no event is ever about, as (workbook URL ID, element ID or None)."""
    catalogue = generate._catalogue(seed)
    workbooks = {(str(catalogue.url_ids[index]), None) for index in np.flatnonzero(catalogue.workbook_weights == 0)}
    elements = {
        (str(catalogue.url_ids[catalogue.element_workbooks[index]]), str(catalogue.element_ids[index]))
        for index in np.flatnonzero(catalogue.element_weights == 0)
    }
    return frozenset(workbooks | elements)


@pytest.mark.parametrize("seed", range(1, 6))
def test_other_seeds_have_as_many_resources_that_nobody_opens(seed: int) -> None:
    assert len(never_opened(seed)) == 12


def test_exactly_a_dozen_resources_are_never_opened(events: pl.DataFrame) -> None:
    known = {
        (workbook, element)
        for workbook, element in generate.resources().select("workbook_url_id", "element_id").iter_rows()
    }
    viewed = {
        (workbook, element or None) for workbook, element in events.select("Workbook URL ID", "Element ID").iter_rows()
    }
    assert len(never_opened()) == 12
    assert known - viewed == never_opened()


def test_some_views_are_of_unknown_workbooks_and_elements(events: pl.DataFrame) -> None:
    resources = generate.resources()
    views = events.rename({"Workbook URL ID": "workbook_url_id", "Element ID": "element_id"})
    retired = views.join(resources, on="workbook_url_id", how="anti")
    unknown = (
        views.join(retired, on="workbook_url_id", how="anti")
        .filter(pl.col("element_id") != "")
        .join(resources, on=["workbook_url_id", "element_id"], how="anti")
    )
    assert 0.003 < retired.height / views.height < 0.01
    assert 0.002 < unknown.height / views.height < 0.01


def test_the_week_has_a_rhythm_and_a_file_a_few_thousand_rows() -> None:
    rows = {LAST_DAY - timedelta(days=age): len(exported(LAST_DAY - timedelta(days=age))) for age in range(14)}
    midweek = [count for day, count in rows.items() if day.weekday() in (3, 4)]  # of Tuesday to Thursday
    monday = [count for day, count in rows.items() if day.weekday() == 0]  # of Saturday and Sunday
    assert all(3000 < count < 5000 for count in midweek)
    assert max(monday) < 0.4 * min(midweek)
    assert 2000 < sum(rows.values()) / len(rows) < 4000


def test_there_are_a_few_hits_and_a_long_tail(events: pl.DataFrame) -> None:
    shares = events["Workbook URL ID"].value_counts(sort=True, normalize=True)["proportion"]
    assert 0.1 < shares[0] < 0.4
    assert shares[:10].sum() > 0.5
    assert shares[40] < 0.01


def test_users_come_and_go(events: pl.DataFrame) -> None:
    people = events.filter(pl.col("User Email") != "")
    assert 380 < people["User Email"].n_unique() < 450
    days = pl.col("Request Time").str.head(10)
    spoken_for = people.filter(pl.col("Request Time").str.ends_with(" Z")).group_by("User Email")
    tenure = spoken_for.agg(first=days.min(), last=days.max(), views=pl.len()).filter(pl.col("views") > 100)
    assert tenure.filter(pl.col("last") < "2026-11-01").height > 0
    assert tenure.filter(pl.col("first") > "2026-10-01").height > 0


def test_some_rows_are_dirty_and_some_events_failed(period: list[tuple[str, bytes]], events: pl.DataFrame) -> None:
    daily = [line for key, data in period if key.endswith(("usage.csv", ".gz")) for line in lines(data)]
    widths = Counter(len(row) for row in csv.reader(daily))
    usual = len(generate.COLUMNS)
    assert set(widths) == {usual - 3, usual, usual + 1}
    assert (~events["Request Time"].str.ends_with(" Z")).any()
    assert (events["User Email"] == "").any()
    assert (events["Count"] == "n/a").any()
    failed = events.filter(pl.col("Event Status") == "failure")
    assert 0.01 < failed.height / events.height < 0.03
    clean = events.filter(
        pl.col("Request Time").str.ends_with(" Z"), pl.col("User Email") != "", pl.col("Count") != "n/a"
    )
    assert clean.height / events.height > 0.99


def test_names_with_commas_and_quotes_survive(period: list[tuple[str, bytes]], events: pl.DataFrame) -> None:
    assert {"Forecast, Current Quarter", 'The "Big Launch" Dashboard'} <= set(events["Workbook Name"])
    frame = pl.read_csv(io.BytesIO(dict(period)[period[-1][0]]), infer_schema=False, truncate_ragged_lines=True)
    assert frame.columns == list(generate.COLUMNS)
