"""The demo's members: who they are against who views."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
from polars.testing import assert_frame_equal

from sigma_impressions.demo.fake_sigma import FakeSigma
from sigma_impressions.demo.generate import seat_holders
from sigma_impressions.demo.members import members, organization
from sigma_impressions.upstream.members import MEMBERS, discover_members
from sigma_impressions_tests.upstream.sigma import credentials

DAY = date(2026, 11, 20)


def test_some_members_never_come_and_some_viewers_are_no_members() -> None:
    known, viewers = set(members(DAY)["email"]), {seat.email for seat in seat_holders(DAY)}

    assert 30 < len(known - viewers - set(members(DAY).filter(~pl.col("is_active"))["email"])) < 60
    assert 0 < len(viewers - known) < 10


def test_who_has_left_is_deactivated() -> None:
    left = {seat.email for seat in seat_holders(DAY - timedelta(days=180))} - {s.email for s in seat_holders(DAY)}

    assert left
    assert set(members(DAY).filter(~pl.col("is_active"))["email"]) == left


def test_kinds_and_teams_differ() -> None:
    found = members(DAY)

    assert set(found["kind"]) == {"internal", "guest", "embed"}
    assert found["account_type"].n_unique() == 3
    sizes = found.explode("teams").drop_nulls("teams").group_by("teams").len()["len"]
    assert sizes.min() == 5
    assert sizes.max() > 40


def test_from_one_day_to_the_next_nobody_is_another_one() -> None:
    today, tomorrow = members(DAY), members(DAY + timedelta(days=1))

    both = today.join(tomorrow, on="member_id", how="semi")
    assert both.height > 490
    changed = today.join(tomorrow, on=list(MEMBERS), how="anti", nulls_equal=True)
    assert changed.height < 10


def test_the_fake_sigma_serves_them() -> None:
    with FakeSigma(organization(DAY)) as sigma:
        served = discover_members(credentials(sigma), lambda _: None)

    compared = ["email", "account_type", "kind", "teams", "created_at", "is_active"]
    assert_frame_equal(served.members.select(compared).sort("email"), members(DAY).select(compared).sort("email"))
