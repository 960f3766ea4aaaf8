"""The keys by which daily rows are grouped: where the hashes of two texts are equal, they are counted apart."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from sigma_impressions.lake.schemas import RESOURCE_IMPRESSIONS, UNMATCHED_IMPRESSIONS, USER_ACTIVITY
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions_tests.metrics.captured import capture, discover, published_users
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)
SAME_HASH = ("user0001@compan2.com", "user0008@compan9.com")
"""DuckDB's hash of these is equal."""


@pytest.mark.slow
@pytest.mark.parametrize("as_of_dates", [[AS_OF], [AS_OF, date(2026, 11, 15)]])
@pytest.mark.parametrize(("users", "elements"), [(SAME_HASH, ("one", "two")), (("ann@x.org", "bob@x.org"), SAME_HASH)])
def test_texts_with_the_same_hash_are_counted_apart(
    users: tuple[str, str], elements: tuple[str, str], as_of_dates: list[date], tmp_path: Path
) -> None:
    ((first, second),) = duckdb.execute("SELECT hash($1), hash($2)", list(SAME_HASH)).fetchall()
    assert first == second, "another pair of texts is needed to test this"
    tables = Tables(tmp_path)
    resources = pl.DataFrame(
        [("sigma_workbook", None), ("sigma_element", elements[0]), ("sigma_element", elements[1])],
        schema=["resource_type", "element_id"],
        orient="row",
    ).with_columns(workbook_url_id=pl.lit("wb"))
    discover(tables, resources)
    moment = datetime(2026, 11, 14, 9, tzinfo=UTC)
    views = [(users[0], elements[0], 1), (users[1], elements[1], 10), (users[1], "gone", 100)]
    of_nobody = [(None, elements[0], 1_000), (None, "gone", 10_000)]
    capture(
        tables, "file", [Row(moment, user, "wb", element, count, None) for user, element, count in views + of_nobody]
    )
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, as_of_dates)
    for as_of in as_of_dates:
        viewed = read_as_of(tables, RESOURCE_IMPRESSIONS, as_of).filter(pl.col("total_impressions_60d") > 0)
        used = published_users(tables, as_of).select("user_email", "element_id", "impressions_60d")
        assert sorted(used.rows()) == sorted(views[:2])
        assert sorted(viewed["total_impressions_60d"]) == [10, 1_001]
        activity = read_as_of(tables, USER_ACTIVITY, as_of).select("user_email", "total_impressions_60d")
        assert dict(activity.iter_rows()) == {users[0]: 1, users[1]: 110}
        (unmatched,) = read_as_of(tables, UNMATCHED_IMPRESSIONS, as_of)["total_impressions_60d"]
        assert unmatched == 10_100
