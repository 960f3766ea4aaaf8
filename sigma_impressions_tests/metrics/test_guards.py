"""Queries that lose or double impressions: nothing of the days concerned is written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.lake.queries import Queries, Query
from sigma_impressions.lake.schemas import AS_OF_DATES, DAILY_TABLES, EVENT_DATES, METRIC_TABLES, Table
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.conservation import ConservationError
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

FIRST, SECOND = date(2026, 11, 19), date(2026, 11, 20)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Two days on which two users viewed a known workbook and an unknown one, the second not yet counted."""
    tables = Tables(tmp_path)
    resources = pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["known"]})
    discover(tables, resources)
    for day in (FIRST, SECOND):
        refresh_daily_impressions(tables, "largest")
        moment = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        views = [("ann@x.org", "known"), ("bob@x.org", "known"), ("ann@x.org", "gone")]
        capture(tables, str(day), [Row(moment, user, workbook, None) for user, workbook in views], day)
    return tables


def change(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Let a query have another text from now on."""
    query = Queries.query

    def changed(self: Queries, asked: str) -> Query:
        found = query(self, asked)
        if asked != name:
            return found
        assert found.text.count(old) == 1
        return replace(found, text=found.text.replace(old, new))

    monkeypatch.setattr(Queries, "query", changed)


def written(tables: Tables, names: tuple[Table, ...]) -> list[pl.DataFrame]:
    return [tables.read(table).collect() for table in names]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "old", "new"),
    [
        ("resource_impressions", "coalesce(o.total_60d, 0) AS", "2 * coalesce(o.total_60d, 0) AS"),
        ("shared_views", "WHERE NOT has_several_ids", "WHERE NOT has_several_ids AND user_no = 1"),
        ("shared_views", "sum(of_30d)::BIGINT AS", "2 * sum(of_30d)::BIGINT AS"),
        ("shared_views", "$last::DATE - 13 AND", "$last::DATE AND"),
    ],
    ids=["attached twice", "lost", "counted twice", "lost in one window"],
)
def test_no_as_of_date_is_written_whose_impressions_do_not_add_up(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, query: str, old: str, new: str
) -> None:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [FIRST])
    names = (*METRIC_TABLES, AS_OF_DATES)
    before = written(tables, names)
    change(monkeypatch, query, old, new)
    with pytest.raises(ConservationError, match="impressions were counted, but"):
        refresh_metrics(tables, [SECOND])
    for now, then in zip(written(tables, names), before, strict=True):
        assert now.equals(then) and not now.is_empty()


def test_no_event_date_is_written_with_fewer_impressions_than_one_of_its_files(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (*DAILY_TABLES, EVENT_DATES)
    before = written(tables, names)
    change(
        monkeypatch,
        "counted_impressions",
        "FROM counted_once\n",
        "FROM counted_once WHERE user_key IN (SELECT user_key FROM user_keys WHERE user_email < 'b')\n",
    )
    with pytest.raises(ConservationError, match="2 impressions were counted, but one export file alone has 3"):
        refresh_daily_impressions(tables, "largest")
    for now, then in zip(written(tables, names), before, strict=True):
        assert now.equals(then) and set(now["event_date"]) == {FIRST}
