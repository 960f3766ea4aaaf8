"""Members in what is stored already: forgotten, turned into pseudonyms, and of a time that has not come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.errors import AddressesStored
from sigma_impressions.lake.inventory import take_stock
from sigma_impressions.lake.repair import drop_damaged
from sigma_impressions.lake.schemas import MEMBER_SNAPSHOTS, SIGMA_MEMBERS
from sigma_impressions.lake.tables import Tables, files_of
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.edit_users import forget_stored, pseudonymize_stored, refuse_stored_addresses
from sigma_impressions.upkeep.future import drop_future, left_in_future
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members, members_as_of
from sigma_impressions.users import Pseudonyms

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
KEY = Pseudonyms("a key that nobody knows")
FOUND = pl.DataFrame(
    [
        {
            "member_id": "m1",
            "email": "Ann@x.org",
            "name": "Ann Lee",
            "teams": ["HR", "of joe@x.org"],
            "created_at": datetime(2025, 3, 4, 8, 12, 33, tzinfo=UTC),
        },
        {"member_id": "bob@x.org", "email": "bob@x.org", "name": "Bob, not ann@x.org", "teams": ["HR"]},
        {"member_id": "m3", "email": None, "name": "Cy", "teams": None},
    ],
    schema=MEMBERS,
)


def nothing(_: str) -> None:
    pass


def capture(tables: Tables, users: Pseudonyms | None = None, days: int = 0, found: pl.DataFrame = FOUND) -> None:
    capture_members(tables, as_stored(found, users), "here", NOW + timedelta(days=days))


def test_of_a_forgotten_member_nothing_is_left(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture(tables)
    forget_stored(tables, "ANN@x.org", None, nothing)
    found = members_as_of(Tables(tmp_path), NOW.date())
    (ann,) = found.filter(pl.col("user_email").str.starts_with("forgotten_")).to_dicts()
    assert ann["member_id"] == ann["user_email"]
    # By the moment of the invitation the person would be found once more, if a member still.
    assert (ann["name"], ann["teams"], ann["created_at"]) == (None, None, None)
    (bob,) = found.filter(pl.col("user_email") == "bob@x.org").to_dicts()
    assert (bob["member_id"], bob["name"], bob["teams"]) == ("bob@x.org", "Bob, not [address]", ["HR"])
    assert found.filter(pl.col("user_email").is_null())["name"].to_list() == ["Cy"]
    held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"Ann Lee" not in held


def test_who_is_still_a_member_comes_back_unless_excluded(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture(tables)
    forget_stored(tables, "ann@x.org", None, nothing)
    capture(tables, days=1)
    found = members_as_of(tables, NOW.date() + timedelta(days=1))
    assert found.filter("is_deleted").height == 1
    assert "ann@x.org" in found.filter(~pl.col("is_deleted"))["user_email"].to_list()
    others = as_stored(FOUND[1:], None)
    capture_members(tables, others, "here", NOW + timedelta(days=2), excluded=["ann@x.org"])
    assert "ann@x.org" not in members_as_of(tables, NOW.date() + timedelta(days=2))["user_email"].to_list()


def test_stored_members_become_what_pseudonyms_would_have_made_of_them(tmp_path: Path) -> None:
    tables, wanted = Tables(tmp_path / "stored"), Tables(tmp_path / "wanted")
    capture(tables)
    with pytest.raises(AddressesStored):
        refuse_stored_addresses(tables)
    pseudonymize_stored(tables, KEY, nothing)
    refuse_stored_addresses(Tables(tmp_path / "stored"))
    capture(wanted, KEY)
    found = members_as_of(Tables(tmp_path / "stored"), NOW.date())
    assert found.sort("member_id").equals(members_as_of(wanted, NOW.date()))
    assert found["name"].to_list() == [None] * 3
    # Whoever may list members in Sigma knows the moments of the invitations.
    assert found["created_at"].drop_nulls().to_list() == [datetime(2025, 3, 4, tzinfo=UTC)]
    assert "x.org" not in str(found.to_dicts())
    assert "m1" not in found["member_id"].to_list()


def test_a_name_without_an_address_is_refused_too(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture(tables, found=FOUND[2:])
    with pytest.raises(AddressesStored):
        refuse_stored_addresses(tables)
    pseudonymize_stored(tables, KEY, nothing)
    refuse_stored_addresses(Tables(tmp_path))
    forget_stored(Tables(tmp_path), "ann@x.org", KEY, nothing)
    refuse_stored_addresses(Tables(tmp_path))


def test_teams_that_hold_the_address_within_a_longer_word_are_told(tmp_path: Path) -> None:
    tables, said = Tables(tmp_path), list[str]()
    capture(tables, found=FOUND[1:].with_columns(teams=pl.lit(["Copy_of_ann@x.org", "HR"])))
    forget_stored(tables, "ann@x.org", None, said.append)
    assert any("sigma_members.teams (1)" in line for line in said)


def test_the_members_of_a_run_whose_clock_was_ahead_are_dropped(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture(tables)
    capture(tables, days=30, found=FOUND[:1])
    assert "1 member snapshot up to" in str(left_in_future(tables, NOW).sentence)
    assert take_stock(tables) == []
    drop_future(tables, NOW, [], nothing)
    # Nobody misses them.
    assert take_stock(tables) == []
    assert left_in_future(tables, NOW).sentence is None
    assert tables.read(MEMBER_SNAPSHOTS).collect().height == 1
    assert tables.read(SIGMA_MEMBERS).collect().height == 3


def test_a_snapshot_of_which_a_file_is_lost_is_named_and_given_up(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    capture(tables)
    assert take_stock(tables) == []
    (lost,) = files_of(tables.newest(SIGMA_MEMBERS))["path"]
    (tmp_path / SIGMA_MEMBERS.name / lost).unlink()
    assert {damage.table for damage in take_stock(tables)} == {SIGMA_MEMBERS}
    drop_damaged(tables, nothing)
    assert take_stock(Tables(tmp_path)) == []
    assert members_as_of(Tables(tmp_path), NOW.date()).is_empty()


def test_maintenance_keeps_the_first_and_the_last_snapshot_of_a_day(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    for hour, rows in enumerate((1, 2, 3)):
        capture_members(tables, as_stored(FOUND[:rows], None), "here", NOW - timedelta(days=30, hours=-hour))
    assert take_stock(tables) == []
    maintain(tables, timedelta(days=1), nothing)
    # Nobody misses the others.
    assert take_stock(tables) == []
    assert sorted(tables.read(MEMBER_SNAPSHOTS).collect()["members"]) == [1, 3]
