"""Made-up members of the made-up company: who may use Sigma, and in which teams; pure, the same for the same seed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from sigma_impressions.demo.fake_sigma import Organization
from sigma_impressions.demo.generate import DEFAULT_SEED, Seat, email_of, resources, seat_holders
from sigma_impressions.demo.vocabulary import DEPARTMENTS, FIRST_NAMES, LAST_NAMES
from sigma_impressions.upstream.members import MEMBERS

_PARTNERS: Final = "partner.example"

_NEVER_COME: Final = 36
"""Members with a licence and no view, of all departments."""

_WITHOUT_LICENCE: Final = 4
"""Who views and is no member any more, by seat from the first one on."""

_GUESTS_EVERY: Final = 45
_CHAMPIONS_EVERY: Final = 12
_CHAMPIONS: Final = "Data Champions"
_BOARD: Final = "Board"
_BOARD_SIZE: Final = 5


def members(day: date, seed: int = DEFAULT_SEED) -> pl.DataFrame:
    """The members on a day, with the columns of `upstream.members.MEMBERS`.

    Nearly all who have a seat are members; those who have left theirs within half a year are deactivated. Beside them
    there are members who never come, guests of a partner among them, and an account for embedded workbooks.
    """
    now = seat_holders(day, seed)
    rows = [_viewer(number, seat) for number, seat in enumerate(now) if number >= _WITHOUT_LICENCE]
    present = {seat.email for seat in now}
    for seat in seat_holders(day - timedelta(days=180), seed):
        if seat.email not in present:
            rows.append(_row(seat.email, f"{seat.first} {seat.last}", [seat.department], 400, is_active=False))
    rows += [_stranger(number) for number in range(_NEVER_COME)]
    rows.append(_row(f"embed@{_PARTNERS}", "Customer Portal", [], 300, kind="embed"))
    known = {row["email"] for row in rows}
    owners = resources(seed)["owner_email"].drop_nulls().unique().sort()
    rows += [_row(owner, "", [], 700, "Creator") for owner in owners if owner not in known]
    return pl.DataFrame(rows, schema=MEMBERS).unique("email", keep="first").sort("member_id")


def organization(day: date, seed: int = DEFAULT_SEED) -> Organization:
    """What the fake Sigma serves: the resources and the members of the company."""
    found, in_team = Organization(), dict[str, list[str]]()
    for member in members(day, seed).iter_rows(named=True):
        member_id = found.add_member(
            member["email"],
            member["name"] or "",
            account_type=member["account_type"],
            kind=member["kind"],
            created_at=f"{member['created_at']:%Y-%m-%dT%H:%M:%S.000Z}",
            is_archived=not member["is_active"],
        )
        for team in member["teams"]:
            in_team.setdefault(team, []).append(member_id)
    for team, ids in in_team.items():
        found.add_team(team, ids)
    found.add_resources(resources(seed))
    return found


def _viewer(number: int, seat: Seat) -> dict[str, object]:
    teams = [seat.department, *([_CHAMPIONS] if number % _CHAMPIONS_EVERY == 0 else [])]
    kind = "guest" if number % _GUESTS_EVERY == 1 else "internal"
    account_type = ("Creator", "Explorer", "Viewer", "Viewer", "Viewer")[number % 5]
    return _row(seat.email, f"{seat.first} {seat.last}", teams, 30 + 11 * (number % 90), account_type, kind)


def _stranger(number: int) -> dict[str, object]:
    """A member who never comes. The initial sets the name apart from those of people who view."""
    first, last = FIRST_NAMES[number % len(FIRST_NAMES)], LAST_NAMES[7 * number % len(LAST_NAMES)]
    department = DEPARTMENTS[number % len(DEPARTMENTS)].name
    is_guest = number % 6 == 5
    email = email_of(f"{first}.q", last)
    if is_guest:
        email = f"{email.partition('@')[0]}@{_PARTNERS}"
    teams = [] if is_guest else [department, *([_BOARD] if number < _BOARD_SIZE else [])]
    account_type = ("Viewer", "Explorer", "Creator")[number % 3]
    return _row(email, f"{first} Q. {last}", teams, 20 + 13 * number, account_type, "guest" if is_guest else "internal")


def _row(  # noqa: PLR0917 - a row is written as one
    email: str,
    name: str,
    teams: list[str],
    age: int,
    account_type: str = "Viewer",
    kind: str = "internal",
    *,
    is_active: bool = True,
) -> dict[str, object]:
    # A date that does not move with the day: from one day to the next nobody is made anew.
    made = date(2026, 6, 1) - timedelta(days=age)
    return {
        "member_id": f"member-{email.partition('@')[0]}",
        "email": email,
        "name": name or None,
        "account_type": account_type,
        "kind": kind,
        "teams": sorted(teams),
        "created_at": datetime(made.year, made.month, made.day, 9, tzinfo=UTC),
        "is_active": is_active,
    }
