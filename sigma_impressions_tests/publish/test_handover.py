"""What a run has grouped for the newest as-of date is what its publication would group."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.metrics.fingerprints import built_as_of_dates
from sigma_impressions.metrics.grouping import Grouped
from sigma_impressions.metrics.handover import Inputs, keep, taken
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upkeep.edit_users import forget_stored
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

pytestmark = pytest.mark.slow

AS_OF = date(2026, 11, 20)
BOOK_ID = "0e8d4c1a-52a1-4f0e-9b2e-6f3b5d6a7c81"


def computed(folder: Path) -> Tables:
    """Three as-of dates of views of all kinds, none of them published."""
    tables = Tables(folder)
    resources = pl.DataFrame({"workbook_url_id": ["Sales", "Costs"], "workbook_id": [BOOK_ID, None]})
    discover(tables, resources.with_columns(resource_type=pl.lit("sigma_workbook")))
    nine = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 9, tzinfo=UTC)
    viewed = [
        ("ann@x.org", "Sales"),
        (None, "Sales"),
        ("ann@x.org", BOOK_ID),
        ("bob@x.org", "gone"),
        ("cy@x.org", "Costs"),
    ]
    rows = [
        Row(nine - timedelta(days=age), user, book, None, age + number)
        for age in range(0, 70, 3)
        for number, (user, book) in enumerate(viewed, 1)
    ]
    capture(tables, "file", rows)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF - timedelta(days=back) for back in range(3)])
    return tables


def test_what_is_handed_over_is_published_as_what_is_grouped_again(tmp_path: Path) -> None:
    tables = computed(tmp_path / "tables")
    inputs = Inputs.of(tables, tables.edition(), AS_OF, built_as_of_dates(tables)[AS_OF])
    handed_over = taken(inputs)
    assert handed_over is not None
    keep(inputs, handed_over)
    # Of another storage nothing is kept.
    again = Tables(shutil.copytree(tmp_path / "tables", tmp_path / "again"))
    with (
        duckdb.connect(str(publish_database(tables).path), read_only=True) as handed,
        duckdb.connect(str(publish_database(again).path), read_only=True) as grouped,
    ):
        names = [name for (name,) in handed.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        assert {"resource_users", "resource_impressions", "daily_impressions"} <= {*names}
        for name in {*names} - {"publication"}:
            assert handed.table(name).pl().equals(grouped.table(name).pl()), name
        assert handed.table("resource_users").pl().height == 2
    assert taken(inputs) is None


def test_a_user_who_is_forgotten_in_between_is_not_published(tmp_path: Path) -> None:
    tables = computed(tmp_path)
    assert forget_stored(tables, "ann@x.org", None, lambda line: None)
    with duckdb.connect(str(publish_database(tables).path), read_only=True) as published:
        named = published.table("resource_users").pl()["user_email"]
    assert named.len() == 2 and "cy@x.org" in named and "ann@x.org" not in named


def test_what_is_kept_is_taken_once_and_only_of_the_same_inputs() -> None:
    inputs, grouped = (
        Inputs("storage", "", AS_OF, "fingerprint"),
        Grouped(pl.DataFrame(), pl.DataFrame(), pl.DataFrame()),
    )
    others = [
        replace(inputs, edition="edited"),
        replace(inputs, as_of=AS_OF - timedelta(days=1)),
        replace(inputs, fingerprint="restated"),
    ]
    for asked, expected in [(inputs, grouped), *((other, None) for other in others)]:
        keep(inputs, grouped)
        assert taken(replace(inputs, storage="another")) is None
        assert taken(asked) is expected
        assert taken(inputs) is None
