"""Read the members from a snapshot file (docs/tables-and-metrics.md, "Where sigma_members comes from")."""

from __future__ import annotations

from typing import Final

import polars as pl

from sigma_impressions.clouds.objects import ObjectStore
from sigma_impressions.upstream.contract import Contract, in_parts, no_value_told, refuse_rows, typed_rows
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.snapshot_file import read_rows
from sigma_impressions.users import canonical

CONTRACT: Final = Contract(MEMBERS, ("email",), "SIGMA_IMPRESSIONS_MEMBERS", "its members")


def read_members(location: str, bucket: ObjectStore | None = None) -> pl.DataFrame:
    """The members of a file, with the columns of `members.MEMBERS`, sorted by their ID. Raises as `read_snapshot` does.

    Without an ID a member has the address for one; who is not said to be inactive is active.
    """
    frame = read_rows(location, bucket, CONTRACT)
    with no_value_told(location):
        return _conform(frame, location)


def _conform(frame: pl.DataFrame, read_from: str) -> pl.DataFrame:
    typed = typed_rows(frame, CONTRACT, read_from)
    address = canonical(typed["email"])
    rows = typed.with_columns(
        member_id=pl.col("member_id").fill_null(address),
        teams=in_parts(typed["teams"]),
        is_active=pl.col("is_active").fill_null(True),
    )
    repeated = address.is_not_null() & address.is_duplicated()
    problems = {
        "email is missing": rows.filter(address.is_null()),
        "the same e-mail address is there twice": rows.filter(repeated),
        "two members have the same member_id": rows.filter(
            pl.col("member_id").is_not_null() & pl.col("member_id").is_duplicated() & ~repeated
        ),
    }
    # By number alone: whatever else is in a row says who it is.
    refuse_rows(problems, read_from, "sigma_members", ())
    return rows.drop("row").sort("member_id")
