"""The checks that watch the source over time: ages, shrinkage, days that are unlike their weekday."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from sigma_impressions.defs import checks
from sigma_impressions.defs.checks import largest
from sigma_impressions.defs.export_checks import (
    GOOD_ROWS,
    event_types_are_chosen,
    freshness,
    headers_are_clear,
    objects_were_read,
    readable,
    rows_add_up,
    rows_are_good,
    rows_were_accepted,
    settings_are_uniform,
)
from sigma_impressions.defs.metric_checks import (
    MATCHED,
    USUAL,
    clocks_are_right,
    days_are_usual,
    files_are_covered,
    impressions_are_conserved,
    impressions_are_matched,
)
from sigma_impressions.defs.resource_checks import COMPLETE, resource_age, resource_shrinkage
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.staleness import build_staleness
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES, REJECTED_ROWS, UNMATCHED_IMPRESSIONS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.weekdays import compared_days, unusual_days
from sigma_impressions.settings.declared import SETTINGS
from sigma_impressions.texts import plain
from sigma_impressions.upkeep.future import Future
from sigma_impressions.windows import WINDOW_DAYS
from sigma_impressions.wiring import tables

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOW.date()
RESOURCES_KEY = dg.AssetKey("sigma_resources")
RED, YELLOW = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@pytest.mark.parametrize(("age", "passed"), [(0, True), (2, True), (3, False)])
def test_an_export_file_is_fresh_up_to_the_largest_age(age: int, passed: bool) -> None:
    result = freshness(RESOURCES_KEY, TODAY - timedelta(days=age), 9, 3, TODAY)
    assert result.passed is passed
    assert result.severity == YELLOW
    assert (result.description is None) is passed


def test_no_export_file_is_not_fresh() -> None:
    result = freshness(RESOURCES_KEY, None, 0, 3, TODAY)
    assert not result.passed
    assert "Sigma's scheduled export" in str(result.description)
    assert str(result.description).startswith("There is no export file yet. Is")
    instead = freshness(RESOURCES_KEY, None, 0, 3, TODAY, instead="There is 'sigma/'.")
    assert "There is no export file yet. There is 'sigma/'. Is" in str(instead.description)


@pytest.mark.parametrize(("claim", "passed"), [(5, True), (6, False), (None, True)])
def test_an_event_date_has_at_least_the_impressions_of_each_file(claim: int | None, passed: bool) -> None:
    dates = pl.DataFrame(
        {"event_date": [TODAY], "export_files": 2, "impressions": 5, "largest_claim": claim},
        schema_overrides={"largest_claim": pl.Int64},
    )
    result = files_are_covered(RESOURCES_KEY, dates)
    assert (result.passed, result.severity) == (passed, RED)
    assert result.metadata["compared_days"].value == (claim is not None)
    assert result.metadata["days_with_fewer_impressions"].value == (not passed)


@pytest.mark.parametrize(("unmatched", "passed"), [(10, True), (9, False), (11, False)])
def test_what_is_lost_or_doubled_in_one_window_is_red(unmatched: int, passed: bool) -> None:
    figures = pl.DataFrame({"as_of_date": [TODAY - timedelta(days=1), TODAY]})
    for days in WINDOW_DAYS:
        figures = figures.with_columns(
            pl.lit(100).alias(f"impressions_{days}d"),
            pl.lit(90).alias(f"matched_impressions_{days}d"),
            pl.lit(10).alias(f"unmatched_impressions_{days}d"),
        )
    of_today = pl.when(pl.col("as_of_date") == TODAY).then(unmatched).otherwise(10)
    result = impressions_are_conserved(RESOURCES_KEY, figures.with_columns(of_today.alias("unmatched_impressions_30d")))
    assert (result.passed, result.severity) == (passed, RED)
    assert passed or f"As of {TODAY} impressions are lost or doubled" in str(result.description)


@pytest.mark.parametrize(
    ("missed", "counted", "passed"), [(0, 0, True), (5, 100, True), (6, 100, False), (1, 1, False)]
)
def test_the_share_of_unmatched_impressions_has_a_threshold(missed: int, counted: int, passed: bool) -> None:
    figures = pl.DataFrame({"as_of_date": [TODAY], "impressions_60d": [counted], "unmatched_impressions_60d": [missed]})
    reasons = ["unknown_element", "unknown_workbook"]
    rows = pl.DataFrame({"workbook_url_id": ["few", "many"], "reason": reasons, "total_impressions_60d": [1, missed]})
    result = impressions_are_matched(RESOURCES_KEY, _filled(rows, UNMATCHED_IMPRESSIONS.schema), figures, 5)
    assert (result.passed, result.severity) == (passed, YELLOW)
    assert (result.description is None) is passed
    said = plain(str(result.description))
    assert passed or {"1 unknown_element", f"{missed} unknown_workbook"} <= set(re.split(r"[:,.] ", said))
    assert result.metadata["unmatched_share"].value == (missed / counted if counted else 0)
    assert result.metadata["examples"].value.records[0].data["workbook_url_id"] == ("many" if missed > 1 else "few")


FILES = pl.DataFrame(
    {
        "file_date": TODAY - timedelta(days=age),
        "key": f"{age}.csv",
        "file_id": f"{age}.csv",
        "capture_id": "c",
        "version": "v",
        "status": status,
        "reason": "no header line" if status == "refused" else None,
        "detail": None,
        "rows": 10,
        "accepted": 7,
        "rejected": 2,
        "skipped": 1,
        "warnings": [],
        "unused_columns": [],
        "event_types": [],
        "rules_fingerprint": "now",
    }
    for age, status in enumerate(["read", "refused"])
)


def test_a_refused_file_is_red_and_named_with_its_reason() -> None:
    result = readable(RESOURCES_KEY, FILES)
    assert (result.passed, result.severity) == (False, RED)
    assert "1 of 2 files were refused, for example 1.csv: no header line." in str(result.description)
    assert readable(RESOURCES_KEY, FILES.head(1)).passed


def test_what_a_key_holds_is_no_markup() -> None:
    key = "![x](http://evil.example/t.png) **bold** <img src=x>\u202e\n" + "k" * 5_000
    result = readable(RESOURCES_KEY, FILES.with_columns(key=pl.lit(key)))
    assert r"for example !\[x\](http:" in str(result.description)
    assert r"\*\*bold\*\* \<img src=x\>??kkk" in str(result.description)
    assert plain(str(result.description)).startswith("1 of 2 files were refused, for example ![x](http://evil.example/")
    (shown,) = [record.data for record in result.metadata["refused"].records]
    assert str(shown["key"]).isprintable()
    assert len(str(shown["key"])) < 5_000


def test_a_refused_file_of_another_day_stays_red() -> None:
    old = FILES.tail(1).with_columns(file_date=TODAY - timedelta(days=59))
    older = FILES.tail(1).with_columns(file_date=TODAY - timedelta(days=60))
    assert not readable(RESOURCES_KEY, pl.concat([FILES.head(1), old])).passed
    assert readable(RESOURCES_KEY, pl.concat([FILES.head(1), older])).passed


def test_objects_that_the_store_does_not_give_are_red_and_named() -> None:
    unread = FILES.head(2).with_columns(
        status=pl.lit("unreadable"),
        reason=pl.Series(["archived", "access denied"]),
        detail=pl.lit("Restore it"),
        key=pl.Series(["a.csv", "b.csv"]),
    )
    for check in (readable, objects_were_read):
        result = check(RESOURCES_KEY, pl.concat([FILES.head(1), unread], how="vertical_relaxed"))
        assert (result.passed, result.severity) == (False, RED)
        assert "2 of 3 files could not be read" in str(result.description)
        assert "archived" in str(result.description)
    assert "b.csv (access denied)" in str(result.description)
    assert objects_were_read(RESOURCES_KEY, FILES).passed


def _rejected(tables: Tables, **rows: Any) -> Tables:
    frame = pl.DataFrame({"file_date": [TODAY], "file_id": "0.csv", "capture_id": "c", **rows})
    append_rows(tables.open(REJECTED_ROWS), _filled(frame, REJECTED_ROWS.schema))
    return tables


def test_a_file_without_an_accepted_row_is_red_with_its_reason_and_an_example(tmp_path: Path) -> None:
    stored = _rejected(
        Tables(tmp_path), reason="unparseable_request_time", text="11/22/2026 9 am,ann@example.com,W", row_number=1
    )
    nothing = FILES.head(1).with_columns(accepted=0, rejected=9, skipped=1)
    result = rows_were_accepted(RESOURCES_KEY, stored, nothing.with_columns(rejected=1, skipped=0, rows=1))
    assert (result.passed, result.severity) == (False, RED)
    assert "1 rows are unparseable_request_time, such as '00/00/0000 0 xx," in str(result.description)
    assert "ann@example.com" not in str(result)
    skipped = nothing.with_columns(rejected=1, skipped=9, detail=pl.lit("event_status is 'ok'"))
    assert "9 rows are skipped (of the first one, event_status is 'ok')" in str(
        rows_were_accepted(RESOURCES_KEY, stored, skipped).description
    )
    assert rows_were_accepted(RESOURCES_KEY, stored, FILES).passed
    assert rows_were_accepted(RESOURCES_KEY, stored, nothing.with_columns(rows=0)).passed


def test_headers_that_leave_a_choice_are_yellow() -> None:
    clear = FILES.head(1).with_columns(warnings=pl.lit(["not valid UTF-8 (byte 4): the file is read as Windows-1252"]))
    assert headers_are_clear(RESOURCES_KEY, clear.with_columns(unused_columns=pl.lit(["Object Name"]))).passed
    ignored = "event_id is read from the column 'Audit Log ID', not from 'Request ID', which could be meant too"
    for column, value, said in (
        ("warnings", [ignored], ignored),
        ("unused_columns", ["Workbook URLID"], "'Workbook URLID', which looks like workbook_url_id"),
        ("unused_columns", ["Event Statuss"], "'Event Statuss', which looks like event_status"),
    ):
        result = headers_are_clear(RESOURCES_KEY, FILES.head(1).with_columns(pl.lit(value).alias(column)))
        assert (result.passed, result.severity) == (False, YELLOW)
        assert said in str(result.description)


def test_views_of_several_event_types_are_yellow_until_they_are_chosen() -> None:
    def files(*types: tuple[str, int, int]) -> pl.DataFrame:
        counted = [{"event_type": name, "rows": rows, "accepted": accepted} for name, rows, accepted in types]
        return FILES.head(1).with_columns(pl.Series("event_types", [counted]))

    several = files(("VIEW_WORKBOOK", 9, 7), ("PUBLISH", 3, 2), ("LOGIN", 50, 0))
    result = event_types_are_chosen(RESOURCES_KEY, several, ())
    assert (result.passed, result.severity) == (False, YELLOW)
    assert "2 types are counted as views: VIEW_WORKBOOK (7), PUBLISH (2)." in str(result.description)
    assert "SIGMA_IMPRESSIONS_EVENT_TYPES=VIEW_WORKBOOK,PUBLISH" in str(result.description)
    assert event_types_are_chosen(RESOURCES_KEY, several, ("view_*",)).passed
    assert event_types_are_chosen(RESOURCES_KEY, files(("VIEW_WORKBOOK", 9, 7), ("LOGIN", 50, 0)), ()).passed


@pytest.mark.parametrize("name", ["rows", "accepted", "rejected", "skipped"])
def test_a_file_whose_rows_do_not_add_up_is_red_and_named(name: str) -> None:
    assert rows_add_up(RESOURCES_KEY, FILES).passed
    wrong = FILES.with_columns(pl.when(pl.col("key") == "1.csv").then(pl.col(name) + 1).otherwise(name).alias(name))
    result = rows_add_up(RESOURCES_KEY, wrong)
    assert (result.passed, result.severity) == (False, RED)
    assert "1 of 2 files" in str(result.description)
    assert "1.csv" in str(result.description)


@pytest.mark.parametrize(("age", "passed"), [(0, False), (59, False), (60, True)])
def test_files_of_the_longest_window_were_read_under_the_settings_of_now(age: int, passed: bool) -> None:
    newest = FILES.head(1)
    other = newest.with_columns(
        file_date=pl.lit(TODAY - timedelta(days=age)), file_id=pl.lit("other.csv"), rules_fingerprint=pl.lit("before")
    )
    assert settings_are_uniform(RESOURCES_KEY, newest, "now", list).passed
    for listed, severity in ((["other.csv"], RED), ([], YELLOW)):
        result = settings_are_uniform(RESOURCES_KEY, pl.concat([newest, other]), "now", lambda ids=listed: ids)
        assert result.passed is passed
        assert passed or result.severity == severity
        assert passed or ("backfill --renormalize --from" in str(result.description)) is bool(listed)


@pytest.mark.parametrize(
    ("rejected", "passed", "severity"), [(0, True, YELLOW), (2, True, YELLOW), (3, False, YELLOW), (11, False, RED)]
)
def test_the_share_of_rejected_rows_has_two_thresholds(
    rejected: int, passed: bool, severity: dg.AssetCheckSeverity, tmp_path: Path
) -> None:
    stored = Tables(tmp_path)
    rows = pl.DataFrame(
        {
            "file_date": [TODAY] * rejected,
            "file_id": ["f"] * rejected,
            "capture_id": ["c"] * rejected,
            "reason": ["invalid_count"] * rejected,
        },
        schema={"file_date": pl.Date, "file_id": pl.String, "capture_id": pl.String, "reason": pl.String},
    )
    append_rows(stored.open(REJECTED_ROWS), _filled(rows, REJECTED_ROWS.schema))
    files = pl.DataFrame({"file_date": [TODAY], "file_id": "f", "capture_id": "c", "key": "a.csv", "rows": 100})
    result = rows_are_good(RESOURCES_KEY, stored, files, 2, 10)
    assert (result.passed, result.severity) == (passed, severity)
    assert result.metadata["rejected_percent"].value == rejected
    said = f"{rejected} of 100 rows ({rejected} %) were rejected: {rejected} invalid_count."
    assert passed or plain(str(result.description)).startswith(said)


def test_the_largest_reasons_of_a_check_are_in_its_sentence() -> None:
    counts = [("a", 3_000), ("b", 20), ("c", 9), ("d", 2), ("e", 1)]
    assert largest(counts) == "3,000 a, 20 b, 9 c, 3 for other reasons"
    assert largest(counts[:3]) == "3,000 a, 20 b, 9 c"


def test_what_a_check_says_points_at_nothing_beside_it() -> None:
    # A terminal, and an alert, show the sentence alone.
    for path in Path(checks.__file__).parent.glob("*_checks.py"):
        said = re.findall(r'^ {8,}f?"(.*)"', path.read_text(encoding="utf-8"), re.MULTILINE)
        assert said
        assert not [line for line in said if re.search(r"\b(below|above|check's table)\b", line)], path.name


def _filled(rows: pl.DataFrame, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    return rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in rows)


@pytest.mark.parametrize(("days", "passed"), [(7, True), (8, False)])
def test_resources_are_fresh_up_to_the_largest_age(days: int, passed: bool) -> None:
    assert resource_age(RESOURCES_KEY, NOW - timedelta(days=days), 7, NOW).passed is passed


def test_resources_of_the_future_are_not_fresh() -> None:
    assert resource_age(RESOURCES_KEY, NOW + timedelta(minutes=5), 7, NOW).passed
    result = resource_age(RESOURCES_KEY, NOW + timedelta(days=365), 7, NOW)
    assert (result.passed, result.severity) == (False, YELLOW)
    assert "Set the clock right" in str(result.description)


def test_what_lies_in_the_future_is_yellow() -> None:
    assert clocks_are_right(RESOURCES_KEY, Future(NOW, (), (), 0, None)).passed
    result = clocks_are_right(RESOURCES_KEY, Future(NOW, (TODAY + timedelta(days=365),), (), 0, None))
    assert (result.passed, result.severity) == (False, YELLOW)
    assert "1 as-of date up to 2027-11-23" in plain(str(result.description))
    assert result.metadata["as_of_dates"].value == 1


@pytest.mark.parametrize(
    ("found", "passed"),
    [((100, 1000), True), ((80, 1000), True), ((79, 1000), False), ((100, 700), False), ((300, 3000), True)],
)
def test_resources_may_shrink_up_to_the_threshold(found: tuple[int, int], passed: bool) -> None:
    # The largest was in use for longer than a week when the week began, the one before does not count any more.
    # One of the future, which a clock has left that was ahead, does not count either.
    ages, workbooks, elements = [30, 9, 2, -365], [500, 100, 90, 400], [9000, 1000, 900, 4000]
    snapshots = pl.DataFrame(
        {"taken_at": [NOW - timedelta(days=age) for age in ages], "workbooks": workbooks, "elements": elements}
    )
    result = resource_shrinkage(RESOURCES_KEY, snapshots, found, 20, NOW)
    assert result.passed is passed
    assert (result.description is None) is passed


def _days(impressions: dict[int, int], usual: int = 1000, days: int = 29) -> pl.DataFrame:
    """Event dates up to yesterday and today's first hours; `impressions` of some, by their age in days."""
    ages = range(days)
    return pl.DataFrame(
        {
            "event_date": [TODAY - timedelta(days=age) for age in ages],
            "impressions": [impressions.get(age, usual if age else 3) for age in ages],
        }
    ).filter(pl.col("impressions") > 0)


@pytest.mark.parametrize(
    ("impressions", "unusual"),
    [
        ({}, []),
        ({1: 400}, []),
        ({1: 290}, [1]),
        ({2: 0}, [2]),
        ({3: 1710, 4: 1690}, [3]),
        # One unusual week before does not make this one unusual.
        ({8: 9000}, []),
        # Nothing came on this weekday before.
        ({8: 0, 15: 0, 22: 0}, [1]),
        # Older than the compared days.
        ({9: 0}, []),
    ],
)
def test_days_are_compared_with_their_weekday_of_earlier_weeks(impressions: dict[int, int], unusual: list[int]) -> None:
    found = unusual_days(compared_days(_days(impressions), TODAY - timedelta(days=1)), 70)
    assert sorted((TODAY - day).days for day in found["event_date"]) == unusual


@pytest.mark.parametrize("days", [0, 1, 2, 10])
def test_days_without_earlier_weeks_are_not_compared(days: int) -> None:
    assert compared_days(_days({}, days=days), TODAY - timedelta(days=1)).is_empty()


def test_a_day_that_is_not_exported_to_its_end_is_not_compared() -> None:
    begun = _days({1: 100})
    assert unusual_days(compared_days(begun, TODAY - timedelta(days=2)), 70).is_empty()
    assert compared_days(begun, None).is_empty()
    # The exports of yesterday end at noon.
    files = pl.DataFrame({"status": ["read"], "last_modified": [NOW - timedelta(days=1)]})
    assert days_are_usual(dg.AssetKey("daily"), begun, files, 70).passed


def test_days_of_few_impressions_are_not_compared() -> None:
    assert compared_days(_days({1: 1}, usual=99), TODAY - timedelta(days=1)).is_empty()


def test_staleness_is_noticed_without_a_run_and_whatever_was_run_last(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    resources = tmp_path / "resources.csv"
    resources.write_text("resource_type,workbook_url_id\n", encoding="utf-8")
    source = SigmaSource(bucket_uri="s3://exports-bucket/sigma", resources=str(resources))
    stored = tables(source.settings())
    today = datetime.now(UTC).date()
    _register(stored, today - timedelta(days=40))
    # An old day is materialized just now; that makes nothing fresh.
    instance.report_runless_asset_event(dg.AssetMaterialization("raw_export_files", partition="2026-01-01"))
    assert _tick(instance, source) == {"source_is_fresh": False, "resources_are_fresh": True}
    _register(stored, today)
    old = (datetime.now(UTC) - timedelta(days=8)).timestamp()
    os.utime(resources, (old, old))
    assert _tick(instance, source) == {"source_is_fresh": True, "resources_are_fresh": False}
    # Without the file only its last reading is known.
    resources.unlink()
    assert _tick(instance, source) == {"source_is_fresh": True}
    instance.report_runless_asset_event(dg.AssetMaterialization(RESOURCES_KEY))
    assert _tick(instance, source) == {"source_is_fresh": True, "resources_are_fresh": True}


def _register(stored: Tables, day: date) -> None:
    rows = pl.DataFrame({"file_date": [day], "key": [f"{day}.csv"]})
    append_rows(stored.open(RAW_EXPORT_FILES), _filled(rows, RAW_EXPORT_FILES.schema))


def _tick(instance: dg.DagsterInstance, source: SigmaSource) -> dict[str, bool]:
    with dg.build_sensor_context(instance, resources={"source": source}) as context:
        result = build_staleness(RESOURCES_KEY).evaluate_tick(context)
    assert not result.run_requests
    events = result.asset_events
    assert all(isinstance(event, dg.AssetCheckEvaluation) for event in events)
    return {event.check_name: event.passed for event in events if isinstance(event, dg.AssetCheckEvaluation)}


@pytest.mark.parametrize(
    ("result", "settings"),
    [
        (GOOD_ROWS.result(RESOURCES_KEY, "1 rejected."), ["REJECTED_WARN_PERCENT", "REJECTED_ERROR_PERCENT"]),
        (MATCHED.result(RESOURCES_KEY, "1 of 100 impressions has no resource."), ["UNMATCHED_WARN_PERCENT"]),
        (USUAL.result(RESOURCES_KEY, "1 day changed."), ["DAILY_CHANGE_PERCENT"]),
        (COMPLETE.result(RESOURCES_KEY, "21 % vanished."), ["RESOURCES_SHRINKAGE_PERCENT"]),
        (resource_age(RESOURCES_KEY, NOW - timedelta(days=9), 7, NOW), ["RESOURCES_MAX_AGE_DAYS"]),
        (freshness(RESOURCES_KEY, TODAY - timedelta(days=9), 9, 3, TODAY), ["EXPORT_MAX_AGE_DAYS"]),
    ],
)
def test_a_check_with_a_bound_names_the_setting_of_it(result: dg.AssetCheckResult, settings: list[str]) -> None:
    variables = {setting.variable for setting in SETTINGS}
    for name in settings:
        assert f"SIGMA_IMPRESSIONS_{name}" in variables
        assert f"SIGMA_IMPRESSIONS_{name}" in plain(str(result.description))
