"""Tables that are opened once for all steps of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from sigma_impressions.defs.stored import tables_of
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import DAILY_TOTALS
from sigma_impressions.settings.declared import Settings
from sigma_impressions.settings.read import read_leniently


@dataclass(frozen=True)
class Run:
    run_id: str


def settings(storage: str) -> Settings:
    return replace(read_leniently({}), storage=storage)


def test_the_steps_of_a_run_share_tables_and_runs_do_not(tmp_path: Path) -> None:
    here, there = settings(str(tmp_path / "here")), settings(str(tmp_path / "there"))
    first = tables_of(Run("first"), here)
    assert tables_of(Run("first"), here) is first
    assert tables_of(Run("first"), there).root != first.root
    assert tables_of(Run("second"), here) is not first


def test_a_step_looks_anew_at_what_is_stored(tmp_path: Path) -> None:
    here = settings(str(tmp_path))
    stored = tables_of(Run("first"), here)
    row = {"event_date": date(2026, 11, 20), "fingerprint": "f", "workbook_url_id": "w", "impressions": 1}
    append_rows(stored.open(DAILY_TOTALS), pl.DataFrame([row], schema=DAILY_TOTALS.schema))
    assert stored.held(DAILY_TOTALS)["2026-11-20"].rows == 1
    (file,) = (tmp_path / DAILY_TOTALS.name).rglob("*.parquet")
    file.unlink()
    assert not tables_of(Run("first"), here).held(DAILY_TOTALS)


def test_credentials_of_a_bucket_are_asked_for_in_each_step() -> None:
    bucket = settings("s3://bucket/tables")
    assert tables_of(Run("first"), bucket) is not tables_of(Run("first"), bucket)
