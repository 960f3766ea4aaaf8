"""Snapshots of the members: kept when something changed, never emptied by accident, with history."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sigma_impressions.errors import ResourcesRefused
from sigma_impressions.lake.schemas import MEMBER_COLUMNS, MEMBER_SNAPSHOTS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.members_stored import capture_members, members_as_of

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
FOUND = {name: dtype for name, dtype in MEMBER_COLUMNS.items() if name not in ("first_seen_at", "is_deleted")}


def members(*emails: str | None, **more: Any) -> pl.DataFrame:
    rows = [
        {"member_id": f"m{at}", "user_email": email, "teams": ["Finance"], "is_active": True, **more}
        for at, email in enumerate(emails)
    ]
    return pl.DataFrame(rows, schema=FOUND)


def test_a_snapshot_is_kept_only_when_something_changed(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    assert members_as_of(tables, NOW.date()).equals(pl.DataFrame(schema=MEMBER_COLUMNS))
    first = capture_members(tables, members("ann@x.org", None), "here", NOW)
    again = capture_members(tables, members("ann@x.org", None), "there", NOW + timedelta(days=1))
    other = capture_members(tables, members("ann@x.org", None, teams=["HR"]), "here", NOW + timedelta(days=2))
    assert [one.is_new for one in (first, again, other)] == [True, False, True]
    assert again.snapshot_id == first.snapshot_id
    found = members_as_of(tables, NOW.date() + timedelta(days=2))
    assert found.schema == pl.Schema(MEMBER_COLUMNS)
    assert found["first_seen_at"].to_list() == [NOW] * 2


def test_an_as_of_date_has_the_members_of_its_end_or_the_first_ones_that_are_known(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture_members(tables, members("ann@x.org"), "here", NOW)
    capture_members(tables, members("ann@x.org", "bob@x.org"), "here", NOW + timedelta(days=2))
    heights = [members_as_of(tables, NOW.date() + timedelta(days=days)).height for days in (-9, 0, 1, 2, 3)]
    assert heights == [1, 1, 1, 2, 2]


def test_an_empty_answer_after_a_full_one_is_refused(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    assert capture_members(tables, members(), "here", NOW - timedelta(days=1)).members == 0
    capture_members(tables, members("ann@x.org"), "here", NOW)
    with pytest.raises(ResourcesRefused, match="holds no members, and the snapshot before held 1"):
        capture_members(tables, members(), "here", NOW + timedelta(days=1))
    assert members_as_of(tables, NOW.date() + timedelta(days=1)).height == 1


def test_who_vanishes_is_kept_for_60_days_and_stays_known(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture_members(tables, members("ann@x.org", "bob@x.org"), "here", NOW)

    def after(days: int, *emails: str) -> list[tuple[str, bool, datetime]]:
        now = NOW + timedelta(days=days)
        capture_members(tables, members(*emails), "here", now)
        found = members_as_of(tables, now.date())
        return list(found.select("user_email", "is_deleted", "first_seen_at").iter_rows())

    assert after(5, "ann@x.org") == [("ann@x.org", False, NOW), ("bob@x.org", True, NOW)]
    assert after(60, "ann@x.org")[1:] == [("bob@x.org", True, NOW)]
    assert after(61, "ann@x.org", "bob@x.org")[1:] == [("bob@x.org", False, NOW)]
    assert after(62, "ann@x.org")[1:] == [("bob@x.org", True, NOW)]
    assert after(62 + 60, "ann@x.org")[1:] == []


def test_teams_that_could_not_be_read_stay_as_they_were(tmp_path: Path) -> None:
    tables = Tables(tmp_path)

    times = (NOW + timedelta(minutes=minute) for minute in count())

    def teams(found: pl.DataFrame, unread: Collection[str] | None) -> list[list[str] | None]:
        capture_members(tables, found, "here", next(times), unread_teams=unread)
        return members_as_of(tables, NOW.date())["teams"].to_list()

    assert teams(members("ann@x.org", teams=["Finance", "HR"]), ()) == [["Finance", "HR"]]
    assert teams(members("ann@x.org", teams=["Sales"]), ["HR"]) == [["HR", "Sales"]]
    # None could be listed; of who is new nothing is known then.
    assert teams(members("ann@x.org", "bob@x.org", teams=None), None) == [["HR", "Sales"], None]
    assert teams(members("ann@x.org", "bob@x.org", teams=[]), ["HR"]) == [["HR"], []]
    assert teams(members("ann@x.org", "bob@x.org", teams=None), ()) == [None, None]


def test_who_was_invited_again_under_another_id_is_there_once_and_stays_known(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture_members(tables, members("ann@x.org"), "here", NOW)
    capture_members(tables, members("ann@x.org").with_columns(member_id=pl.lit("n")), "here", NOW + timedelta(days=1))
    found = members_as_of(tables, NOW.date() + timedelta(days=1))
    assert found.select("member_id", "first_seen_at").rows() == [("n", NOW)]
    assert tables.read(MEMBER_SNAPSHOTS).collect().height == 2
