"""Members and teams over HTTP: who is found in which team, and what is said of those who are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.demo.fake_sigma import Behaviour, FakeSigma, Organization
from sigma_impressions.errors import SigmaRefused, SigmaUnavailable
from sigma_impressions.upstream.discovery import discover_resources
from sigma_impressions.upstream.members import MEMBERS, DiscoveredMembers, discover_members
from sigma_impressions_tests.upstream.organizations import large_organization
from sigma_impressions_tests.upstream.sigma import HURRIED, credentials


@pytest.fixture
def server() -> Iterator[FakeSigma]:
    organization = Organization()
    ann = organization.add_member("Ann.Lee@Example.com", "Ann Lee", account_type="Creator")
    bob = organization.add_member("bob@example.com", "Bob", kind="guest", created_at="2026-01-02T03:04:05.678Z")
    organization.add_member("embed@example.com", kind="embed")
    organization.add_member("gone@example.com", "Cy Gone", is_archived=True)
    organization.add_member("scim@example.com", "Di Scim", is_inactive=True)
    organization.add_team("Sales", [ann, bob])
    organization.add_team("Finance", [ann])
    organization.add_team("Nobody's")
    organization.add_team("Of old", [bob], is_archived=True)
    with FakeSigma(organization) as running:
        yield running


def discover(server: FakeSigma, backoff: Backoff = HURRIED) -> DiscoveredMembers:
    return discover_members(credentials(server), lambda _line: None, backoff=backoff)


def teams_by_email(found: DiscoveredMembers) -> dict[str, list[str] | None]:
    return dict(found.members.select("email", "teams").iter_rows())


def test_every_member_is_a_row_with_the_teams(server: FakeSigma) -> None:
    found = discover(server)
    usual = datetime(2025, 1, 1, 8, tzinfo=UTC)
    assert found.members.schema == pl.Schema(MEMBERS)
    assert found.members.rows() == [
        ("member-0", "Ann.Lee@Example.com", "Ann Lee", "Creator", "internal", ["Finance", "Sales"], usual, True),
        (
            *("member-1", "bob@example.com", "Bob", "Viewer", "guest", ["Sales"]),
            *(datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), True),
        ),
        ("member-2", "embed@example.com", None, "Viewer", "embed", [], usual, True),
        ("member-3", "gone@example.com", "Cy Gone", "Viewer", "internal", [], usual, False),
        ("member-4", "scim@example.com", "Di Scim", "Viewer", "internal", [], usual, False),
    ]
    assert (found.unread_teams, found.notes) == ((), ())
    # A token, the members, the teams, and who is in each of the three that are not archived.
    assert found.traffic.requests == 6
    assert all("limit=1000" in path for path in server.paths if "token" not in path)


def test_of_an_address_there_is_one_member_the_one_in_use(server: FakeSigma) -> None:
    organization = server.organization
    organization.add_team("Old", [organization.add_member("ANN.LEE@example.com ", is_archived=True)])
    again = organization.add_member("gone@example.com", "Cy Again")
    organization.add_member("", "Nameless")
    found = discover(server)
    assert teams_by_email(found)["Ann.Lee@Example.com"] == ["Finance", "Sales"]
    assert found.members.filter(email="gone@example.com").select("member_id", "is_active").rows() == [(again, True)]
    assert found.members["email"].null_count() == 1
    # Nobody can mend that, so it is no note.
    assert not found.notes
    assert found.remarks == (
        "Left out because another one of the same e-mail address is newer or not deactivated: 2.",
        "Without an e-mail address, so that it cannot be told which views are theirs: 1.",
    )


def test_teams_of_one_name_are_one(server: FakeSigma) -> None:
    organization = server.organization
    organization.add_team(" Sales ", ["member-0", "member-2"])
    organization.add_team("", ["member-2", "member-2", "somebody-else"])
    found = discover(server)
    assert teams_by_email(found)["embed@example.com"] == ["Sales", "team-5"]
    assert found.remarks == ("2 teams have a name that another one has too: those of one name are taken as one team.",)


def test_without_the_right_to_list_members_there_are_none(server: FakeSigma) -> None:
    server.behaviour.is_administrator = False
    found = discover(server)
    assert found.members.schema == pl.Schema(MEMBERS)
    assert found.members.is_empty()
    assert [note.split(":")[0] for note in found.notes] == [
        "The owner of the client credentials may not list members",
        "The owner of the client credentials may not list teams",
    ]


def test_without_the_right_to_list_teams_they_are_unknown(server: FakeSigma) -> None:
    server.behaviour.refused["teams"] = 403
    found = discover(server)
    assert found.members["teams"].null_count() == found.members.height == 5
    assert found.unread_teams is None
    (note,) = found.notes
    assert note.startswith("The owner of the client credentials may not list teams: they stay as they were last known")


def test_a_team_that_cannot_be_read_is_told(server: FakeSigma) -> None:
    server.behaviour.forbidden.add("team-0")
    found = discover(server)
    assert found.unread_teams == ("Sales",)
    assert teams_by_email(found)["Ann.Lee@Example.com"] == ["Finance"]
    (note,) = found.notes
    assert note.startswith("Who is in 1 of the teams could not be read")
    assert "GET /v2/teams/team-0/members: HTTP 403" in note


def test_a_team_that_was_deleted_since_it_was_listed_is_none(server: FakeSigma) -> None:
    def report(_line: str) -> None:
        del server.organization.teams[:1]

    found = discover_members(credentials(server), report, backoff=HURRIED)
    assert teams_by_email(found)["Ann.Lee@Example.com"] == ["Finance"]
    assert (found.unread_teams, found.notes) == ((), ())


def test_where_deactivated_members_cannot_be_asked_for_the_others_are_read(server: FakeSigma) -> None:
    server.behaviour.refused["members?includeArchived"] = 400
    found = discover(server)
    assert found.members.height == 3
    assert found.members["is_active"].all()
    assert found.notes == ("The owner of the client credentials may not list deactivated members: they are left out.",)


def test_who_owns_a_workbook_is_told_even_of_those_who_left() -> None:
    organization = large_organization(1, 0)
    organization.workbooks[0]["ownerId"] = organization.add_member("gone@example.com", is_archived=True)
    with FakeSigma(organization) as server:
        found = discover_resources(credentials(server), lambda _line: None)
    assert found.resources["owner_email"].to_list() == ["gone@example.com"]


def test_an_outage_ends_the_discovery(server: FakeSigma) -> None:
    server.behaviour.fault_rate = 1.0
    with pytest.raises(SigmaUnavailable, match="after 2 attempts"):
        discover(server, Backoff(attempts=2, first=0.001))


def test_wrong_credentials_end_the_discovery(server: FakeSigma) -> None:
    where = credentials(server)
    server.client_secret = "changed"
    with pytest.raises(SigmaRefused, match="does not accept"):
        discover_members(where, lambda _line: None)


def test_progress_is_told(server: FakeSigma, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigma_impressions.upstream.reading._SECONDS_BETWEEN_REPORTS", 0.0)
    lines: list[str] = []
    discover_members(credentials(server), lines.append)
    assert lines[0] == f"{server.url}: 3 teams listed, reading who is in them"
    assert lines[-1] == "3 of 3 teams read"


def test_faults_and_short_tokens_change_nothing() -> None:
    with FakeSigma(large_organization(1, 0, members=3000, teams=60)) as server:
        expected = discover(server)
        server.behaviour = Behaviour(fault_rate=0.1, token_seconds=0.3, latency=0.01)
        found = discover(server)
    assert expected.members.height == 3000
    assert expected.members["teams"].list.len().max() > 1
    assert_frame_equal(found.members, expected.members)
    assert found.unread_teams == ()
    assert found.traffic.retries > 0
