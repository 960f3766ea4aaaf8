"""Tables that are opened once for all steps of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sigma_impressions.defs.stored import tables_of
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


def test_credentials_of_a_bucket_are_asked_for_in_each_step() -> None:
    bucket = settings("s3://bucket/tables")
    assert tables_of(Run("first"), bucket) is not tables_of(Run("first"), bucket)
