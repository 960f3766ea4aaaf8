"""The members of a Sigma organization and their teams, through its REST API."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import SigmaApiError, SigmaRefused
from sigma_impressions.lake.schemas import UTC_TIME
from sigma_impressions.upstream.answers import check_count, text, truth
from sigma_impressions.upstream.contract import as_time
from sigma_impressions.upstream.reading import DISCOVERY_SECONDS, both, read_each, with_fewer_rights, within
from sigma_impressions.upstream.sigma_api import (
    DEFAULT_CONCURRENCY,
    NOT_SIGMA,
    PATIENCE,
    Credentials,
    SigmaApi,
    Traffic,
    path_of,
)
from sigma_impressions.users import canonical

MEMBERS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "member_id": pl.String,
    "email": pl.String,
    "name": pl.String,
    "account_type": pl.String,
    "kind": pl.String,
    "teams": pl.List(pl.String),
    "created_at": UTC_TIME,
    "is_active": pl.Boolean,
}
"""The columns of a member. `email` is as Sigma has it: `users.canonical` gives the form in which views name users."""

_DEACTIVATED_TOO: Final = {"includeArchived": "true", "includeInactive": "true"}


@dataclass(frozen=True)
class Member:
    """What the list of members says of one, deactivated in Sigma or by SCIM if not `is_active`."""

    member_id: str
    email: str | None
    name: str | None
    account_type: str | None
    kind: str | None
    created_at: str | None
    is_active: bool


@dataclass(frozen=True)
class DiscoveredMembers:
    """Who may use Sigma now: `members` with the columns of `MEMBERS`, one row per person, sorted by `member_id`.

    `teams` is null where the teams could not be listed, and empty for who is in none. `unread_teams` are the names
    of the teams whose members could not be read, None if that holds for all; `notes` say what could not be learnt, and
    `remarks` what is odd and how it is taken.
    """

    members: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MEMBERS))
    unread_teams: tuple[str, ...] | None = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True)
class _Teams:
    """The names of the teams of every member, by ID; None if the teams could not be listed."""

    of_member: Mapping[str, set[str]] | None
    unread: tuple[str, ...] | None = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def discover_members(
    credentials: Credentials,
    report: Callable[[str], None],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    backoff: Backoff = PATIENCE,
) -> DiscoveredMembers:
    """Read all members, those that were deactivated too, and the teams of each; `report` is told of the progress.

    Without the right to list them there are none, and a note. Raises `SigmaApiError` if Sigma is down or answers
    what is none of Sigma's.
    """
    return asyncio.run(within(DISCOVERY_SECONDS, _discover(credentials, report, concurrency, backoff), credentials))


def probe_members(credentials: Credentials) -> tuple[int, list[str]]:
    """How many members the first page of them has, and what may not be read; quick, for the test of a source.

    Raises as `discover_members` does.
    """
    return asyncio.run(within(_TEST_SECONDS, _probe(credentials), credentials))


_TEST_SECONDS: Final = 60


async def _probe(credentials: Credentials) -> tuple[int, list[str]]:
    async with SigmaApi(credentials, backoff=Backoff(3, PATIENCE.first)) as api:
        found: dict[str, int] = {}
        missing: list[str] = []
        for what in ("members", "teams"):
            try:
                async for page in api.entries(path_of(what)):
                    found[what] = len(page)
                    break
            except SigmaRefused as refused:
                if refused.status != 403:
                    raise
                missing.append(f"The owner of the client credentials may not list {what}: they stay unknown.")
        return found.get("members", 0), missing


async def list_members(api: SigmaApi, missing: str) -> tuple[list[Member], list[str]]:
    """Every member once, deactivated or not, and notes; without the right to list them none, and what is `missing`."""
    try:
        return await with_fewer_rights(
            lambda params: _listed(api, params),
            _DEACTIVATED_TOO,
            "The owner of the client credentials may not list deactivated members: they are left out.",
        )
    except SigmaRefused as refused:
        if refused.status != 403:
            raise
        return [], [f"The owner of the client credentials may not list members: {missing}."]


async def _listed(api: SigmaApi, params: Mapping[str, str]) -> list[Member]:
    # By ID: a list that changes while it is paged through repeats some.
    found: dict[str, Member] = {}
    async for page in api.entries(path_of("members"), params):
        found.update((member.member_id, member) for member in map(_member, page))
        check_count(len(found))
    return list(found.values())


def _member(entry: Mapping[str, Any]) -> Member:
    names = (text(entry, name) for name in ("firstName", "lastName"))
    return Member(
        member_id=_id(entry, "memberId"),
        email=_trimmed(text(entry, "email")),
        name=_trimmed(" ".join(part for name in names if (part := _trimmed(name)))),
        account_type=_trimmed(text(entry, "memberType")),
        kind=_trimmed(text(entry, "userKind")),
        created_at=_trimmed(text(entry, "createdAt")),
        is_active=not any(truth(entry, flag, "a member") for flag in ("isArchived", "isInactive")),
    )


def _id(entry: Mapping[str, Any], name: str) -> str:
    found = _trimmed(text(entry, name))
    if found is None:
        raise SigmaApiError(f"{name} is missing in the answer. {NOT_SIGMA}")
    return found


def _trimmed(found: str | None) -> str | None:
    """A text without blanks around it; None if nothing is left."""
    return (found or "").strip() or None


# --- Teams ------------------------------------------------------------------------------------------------------


async def _discover(
    credentials: Credentials, report: Callable[[str], None], concurrency: int, backoff: Backoff
) -> DiscoveredMembers:
    async with SigmaApi(credentials, concurrency=concurrency, backoff=backoff) as api:
        # The pages of the members come one after the other; the teams fill the time.
        (listed, notes), teams = await both(
            list_members(api, "names, account types and teams stay unknown"), _teams(api, report)
        )
        members, remarks = _one_per_person(_frame(listed, teams.of_member))
        return DiscoveredMembers(members, teams.unread, (*notes, *teams.notes), (*teams.remarks, *remarks), api.traffic)


async def _teams(api: SigmaApi, report: Callable[[str], None]) -> _Teams:
    """Who is in which team. Which teams there are and who is in each of them are lists of their own."""
    try:
        names = await _team_names(api)
    except SigmaRefused as refused:
        if refused.status != 403:
            raise
        note = "The owner of the client credentials may not list teams: they stay as they were last known, if so."
        return _Teams(None, None, (note,))
    report(f"{api.credentials.base_url}: {len(names)} teams listed, reading who is in them")
    of_member: defaultdict[str, set[str]] = defaultdict(set)
    memberships = 0

    async def read(team_id: str) -> None:
        nonlocal memberships
        try:
            async for page in api.entries(path_of("teams", team_id, "members")):
                for entry in page:
                    of_member[_id(entry, "userId")].add(names[team_id])
                memberships += len(page)
                check_count(memberships)
        except SigmaRefused as refused:
            if refused.status != 404:  # else it was deleted since it was listed
                raise

    failed = await read_each(api, list(names), read, report, lambda done: f"{done} of {len(names)} teams read")
    unread = tuple(sorted(names[team_id] for team_id, _ in failed))
    notes = [_of_unread(len(failed), failed[0][1])] if failed else []
    shared = sum(count for count in Counter(names.values()).values() if count > 1)
    remark = f"{shared} teams have a name that another one has too: those of one name are taken as one team."
    return _Teams(of_member, unread, tuple(notes), (remark,) if shared else ())


def _of_unread(teams: int, reason: str) -> str:
    return f"Who is in {teams} of the teams could not be read, of one of them because of this: {reason}"


async def _team_names(api: SigmaApi) -> dict[str, str]:
    """The name of every team that is not archived, by its ID, which stands for a name that is blank."""
    found: dict[str, str] = {}
    async for page in api.entries(path_of("teams")):
        for entry in page:
            if not truth(entry, "isArchived", "a team"):
                team_id = _id(entry, "teamId")
                found[team_id] = _trimmed(text(entry, "name")) or team_id
        check_count(len(found))
    return found


# --- Rows -------------------------------------------------------------------------------------------------------


def _frame(listed: list[Member], teams_of: Mapping[str, set[str]] | None) -> pl.DataFrame:
    """The members with the columns of `MEMBERS`. Raises `SigmaApiError` for a time that cannot be read."""
    rows = [
        (
            *(member.member_id, member.email, member.name, member.account_type, member.kind),
            None if teams_of is None else sorted(teams_of.get(member.member_id, ())),
            member.created_at,
            member.is_active,
        )
        for member in listed
    ]
    frame = pl.DataFrame(rows, schema=MEMBERS | {"created_at": pl.String}, orient="row")
    times = as_time(frame["created_at"])
    if times.null_count() > frame["created_at"].null_count():
        raise SigmaApiError(f"createdAt of a member is not a time in the answer. {NOT_SIGMA}")
    return frame.with_columns(times.alias("created_at"))


def _one_per_person(members: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """One member of each address, the one in use, and what there is to say of the others and of those without one.

    Who was deactivated and invited again may be there twice.
    """
    in_use_first = members.sort(
        "is_active", "created_at", "member_id", descending=[True, True, False], nulls_last=True, maintain_order=True
    )
    address = canonical(in_use_first["email"])
    kept = in_use_first.filter(address.is_null() | address.is_first_distinct()).sort("member_id")
    remarks = []
    if more := members.height - kept.height:
        remarks.append(f"Left out because another one of the same e-mail address is newer or not deactivated: {more}.")
    if without := kept["email"].null_count():
        remarks.append(f"Without an e-mail address, so that it cannot be told which views are theirs: {without}.")
    return kept, remarks
