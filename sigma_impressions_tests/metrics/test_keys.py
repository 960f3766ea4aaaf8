"""The keys by which daily rows are grouped: none may stand for two texts."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sigma_impressions.metrics import engine
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.tables import METRIC_TABLES, Tables
from sigma_impressions.upstream.capture import capture_snapshot
from sigma_impressions.upstream.contract import conform
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row

AS_OF_DATES = (date(2026, 11, 20), date(2026, 11, 10))


def computed(folder: Path) -> list[pl.DataFrame]:
    """The metric tables of some views, together as of two dates and then as of one."""
    tables = Tables(folder)
    workbooks = pl.DataFrame({"workbook_url_id": ["wb1", "wb2"]}).with_columns(resource_type=pl.lit("sigma_workbook"))
    capture_snapshot(tables, conform(workbooks, "the test"), "the test", datetime(2026, 1, 1, tzinfo=UTC))
    viewed = [
        Row(datetime(2026, 11, day, 9, tzinfo=UTC), f"user{day % 4}@x.org", f"wb{day % 3}", element, 1, None)
        for day in range(1, 21)
        for element in (None, "chart")
    ]
    capture(tables, "file", viewed)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, AS_OF_DATES)
    refresh_metrics(tables, [date(2026, 11, 15)])
    return [read_as_of(tables, table, day) for table in METRIC_TABLES for day in (*AS_OF_DATES, date(2026, 11, 15))]


def with_keys_of(monkeypatch: pytest.MonkeyPatch, values: str) -> None:
    """Let keys be among so many values, as an SQL expression of the salt gives it."""
    query = engine.query

    def narrowed(name: str) -> str:
        text = query(name)
        return text.replace("getvariable('salt'))", f"getvariable('salt')) % ({values})") if name == "keys" else text

    monkeypatch.setattr(engine, "query", narrowed)


def test_another_salt_is_taken_where_two_texts_have_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = computed(tmp_path / "usual")
    with_keys_of(monkeypatch, "CASE WHEN getvariable('salt') < 3 THEN 2 ELSE 1000000007 END::UBIGINT")
    for found, wanted in zip(computed(tmp_path / "shared"), expected, strict=True):
        assert wanted.height
        assert_frame_equal(found, wanted)


def test_wrong_counts_are_refused_when_no_salt_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_keys_of(monkeypatch, "2::UBIGINT")
    with pytest.raises(RuntimeError, match="With none of 10 salts all keys differ"):
        computed(tmp_path)
