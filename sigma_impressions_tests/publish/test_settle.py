"""Who publishes at the same time as others."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.errors import InputsChanged
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish import settle
from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)


def test_who_is_overtaken_again_and_again_leaves_it_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Tables(tmp_path)
    discover(tables, pl.DataFrame({"resource_type": ["sigma_workbook"], "workbook_url_id": ["wb1"]}))
    capture(tables, "file", [Row(datetime(2026, 11, 20, 9, tzinfo=UTC), "ann@x.org", "wb1", None, 1, None)])
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    monkeypatch.setattr(settle, "_ROUNDS", 0)

    def settled(as_of: date | None) -> settle.Published:
        return settle.publish_settled(tables, "largest", [], as_of, report=print)

    with pytest.raises(InputsChanged, match="Try again later"):
        settled(None)
    published = publish_database(tables)
    left = settled(None)
    assert (left.as_of, left.is_new, left.tables) == (AS_OF, False, published.tables)
    assert settled(AS_OF).as_of == AS_OF
    with pytest.raises(InputsChanged, match="Try again later"):
        settled(date(2026, 11, 19))
