"""Keep snapshots of `sigma_members`, and read them: a new one only when something changed, the registry last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from sigma_impressions.errors import ResourcesRefused
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import MEMBER_COLUMNS, MEMBER_SNAPSHOTS, SIGMA_MEMBERS, UTC_TIME
from sigma_impressions.lake.snapshots import (
    keep_snapshot,
    newest_snapshot,
    snapshot_in_use,
    snapshot_rows,
    taken_in_order,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.carry_over import oldest_needed
from sigma_impressions.users import Pseudonyms, canonical, pseudonymous_rows, without_addresses


@dataclass(frozen=True)
class CapturedMembers:
    """The newest snapshot; `is_new` if it differs from the one before and was stored now.

    `members` were found now; `vanished` ones are kept beside them because they are gone for less than 60 days.
    """

    snapshot_id: str
    is_new: bool
    members: int
    vanished: int


def member_snapshot(tables: Tables, as_of: date) -> str | None:
    """The snapshot of the members that an as-of date uses, chosen as that of the resources; None without any."""
    return snapshot_in_use(as_of, taken_in_order(tables.registry(MEMBER_SNAPSHOTS)))


def members_as_of(tables: Tables, as_of: date) -> pl.DataFrame:
    """The members as of the end of a day, with the columns `MEMBER_COLUMNS`; none without any snapshot."""
    return members_of(tables, member_snapshot(tables, as_of))


def members_of(tables: Tables, snapshot_id: str | None) -> pl.DataFrame:
    """The members of a snapshot, with the columns `MEMBER_COLUMNS`, sorted by their ID; none of no snapshot."""
    if snapshot_id is None:
        return pl.DataFrame(schema=MEMBER_COLUMNS)
    return snapshot_rows(tables, SIGMA_MEMBERS, snapshot_id).select(*MEMBER_COLUMNS).sort("member_id")


def as_stored(members: pl.DataFrame, users: Pseudonyms | None) -> pl.DataFrame:
    """Members with the columns of `members.MEMBERS` as they are stored: with addresses as views have them.

    With pseudonyms nothing is left that leads to a person without the key: no name, no ID of Sigma's, and of the time
    of the invitation only the day.
    """
    columns = [name for name in MEMBER_COLUMNS if name not in ("first_seen_at", "is_deleted")]
    named = members.with_columns(canonical(members["email"]).alias("user_email")).select(columns)
    if users is None:
        return named
    return pseudonymous_rows(named, users).with_columns(
        users.of(named["member_id"]).alias("member_id"),
        day_of(pl.col("created_at")),
        name=pl.lit(None, pl.String),
        teams=pl.col("teams").list.eval(without_addresses(pl.element())),
    )


def day_of(times: pl.Expr) -> pl.Expr:
    """The begins of the days of some times; whoever may list members in Sigma knows the moments."""
    return times.dt.truncate("1d")


def capture_members(
    tables: Tables,
    members: pl.DataFrame,
    read_from: str,
    now: datetime,
    *,
    unread_teams: Collection[str] | None = (),
    excluded: Collection[str] = (),
) -> CapturedMembers:
    """Store the members as the newest snapshot, unless they equal it.

    `members` are as `as_stored` returns them. Who is in one of the `unread_teams`, or in any if they are None, stays as
    it was. Who is gone is kept, with `is_deleted` true, until the last day of the views has left the longest window,
    but for the `excluded`, who are no members. Raises `ResourcesRefused` for an empty snapshot after a non-empty one.
    """
    registry = tables.open(MEMBER_SNAPSHOTS)
    newest = newest_snapshot(registry, now)
    if newest is not None and members.is_empty() and newest["members"]:
        raise ResourcesRefused(
            f"{read_from} holds no members, and the snapshot before held {newest['members']}. The last snapshot "
            "stays in use; look whether those who may list members still can."
        )
    stored = snapshot_rows(tables, SIGMA_MEMBERS, newest["snapshot_id"] if newest else "")
    before = stored.filter(~pl.col("user_email").is_in(list(excluded)).fill_null(False))
    if unread_teams is None or unread_teams:
        members = _with_unread(members, before, unread_teams)
    rows = _carried_over(members, before, now)
    vanished = rows["vanished_at"].count()
    content_digest = digest([rows.select(*members.columns, "is_deleted").write_ndjson()], 64)
    if newest is not None and newest["content_digest"] == content_digest:
        return CapturedMembers(newest["snapshot_id"], False, members.height, vanished)
    registered = {
        "taken_at": now,
        "content_digest": content_digest,
        "members": members.height,
        "read_from": read_from,
    }
    snapshot_id = keep_snapshot(tables, registry, {SIGMA_MEMBERS: rows}, registered)
    return CapturedMembers(snapshot_id, True, members.height, vanished)


def _with_unread(members: pl.DataFrame, before: pl.DataFrame, unread_teams: Collection[str] | None) -> pl.DataFrame:
    """The members with those of the unread teams that they were in before, or with all of them if none was read."""
    teams = pl.col("teams")
    if unread_teams is not None:
        teams = teams.list.eval(pl.element().filter(pl.element().is_in(list(unread_teams))))
    known = members.join(before.select("member_id", kept=teams), on="member_id", how="left")
    both = pl.concat_list(pl.col("teams", "kept").fill_null([])).list.unique().list.sort()
    is_known = pl.any_horizontal(pl.col("teams", "kept").is_not_null())
    return known.with_columns(teams=pl.when(is_known).then(both)).drop("kept")


def _carried_over(members: pl.DataFrame, before: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """The members, and those of the snapshot before who are gone since the longest window began, sorted by ID.

    Who is there under another ID, as after having been deleted and invited again, or where another source is read, is
    not gone, and was seen before.
    """
    by_id = before.select("member_id", "first_seen_at")
    by_address = before.group_by("user_email").agg(address_seen_at=pl.col("first_seen_at").min())
    found = (
        members.join(by_id, on="member_id", how="left")
        .join(by_address, on="user_email", how="left")
        .with_columns(
            pl.coalesce("first_seen_at", "address_seen_at", pl.lit(now)).alias("first_seen_at"),
            is_deleted=pl.lit(False),
            vanished_at=pl.lit(None, UTC_TIME),
        )
    )
    gone = (
        before.join(members, on="member_id", how="anti")
        .join(members, on="user_email", how="anti")
        .with_columns(pl.col("vanished_at").fill_null(now), is_deleted=pl.lit(True))
        .filter(pl.col("vanished_at") >= oldest_needed(now))
    )
    columns = [*MEMBER_COLUMNS, "vanished_at"]
    return pl.concat([found.select(columns), gone.select(columns)]).sort("member_id")
