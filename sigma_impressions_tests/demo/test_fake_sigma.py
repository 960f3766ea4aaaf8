"""The fake Sigma answers as the public description of the API says, also where no discovery asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions.demo.generate import resources

Get = Callable[[str], Any]


def organization() -> Organization:
    found = Organization(workbooks=[{"workbookId": "w"}], data_models=[{"dataModelId": "d"}])
    ann = found.add_member("ann@example.com", "Ann Lee", account_type="Creator")
    found.add_member("gone@example.com", is_archived=True)
    found.add_member("scim@example.com", kind="guest", is_inactive=True)
    found.add_team("Sales", [ann])
    found.elements = {"w": [{"elementId": "a"}, {"elementId": "b"}], "d": [{"elementId": "c"}]}
    return found


@pytest.fixture
def server() -> Iterator[FakeSigma]:
    with FakeSigma(organization()) as running:
        yield running


@pytest.fixture
def get(server: FakeSigma) -> Get:
    form = {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
        "client_secret": server.client_secret,
    }
    with urlopen(f"{server.url}/v2/auth/token", urlencode(form).encode()) as answer:
        token = json.load(answer)["access_token"]

    def read(path: str) -> Any:
        with urlopen(Request(f"{server.url}/v2/{path}", headers={"Authorization": f"Bearer {token}"})) as answer:
            return json.load(answer)

    return read


def test_members_and_teams_are_bare_arrays_unless_a_limit_is_given(get: Get) -> None:
    assert [member["email"] for member in get("members")] == ["ann@example.com"]
    assert [team["name"] for team in get("teams")] == ["Sales"]
    page = get("teams?limit=10")
    assert ([team["name"] for team in page["entries"]], page["nextPage"]) == (["Sales"], None)
    assert "members" not in page["entries"][0]


@pytest.mark.parametrize(
    ("asked", "emails"),
    [
        ("", ["ann@example.com"]),
        ("&includeArchived=true", ["ann@example.com", "gone@example.com"]),
        ("&includeInactive=true", ["ann@example.com", "scim@example.com"]),
    ],
)
def test_deactivated_members_come_only_if_they_are_asked_for(get: Get, asked: str, emails: list[str]) -> None:
    assert [member["email"] for member in get(f"members?limit=10{asked}")["entries"]] == emails


def test_who_is_in_a_team_is_told_by_user_ids_page_by_page(server: FakeSigma, get: Get) -> None:
    server.organization.add_team("All", ["member-0", "member-1"])
    first = get("teams/team-1/members?limit=1")
    second = get(f"teams/team-1/members?limit=1&page={first['nextPage']}")
    assert [entry["userId"] for page in (first, second) for entry in page["entries"]] == ["member-0", "member-1"]
    assert second["nextPage"] is None


def test_elements_are_on_the_pages_of_their_workbook(server: FakeSigma, get: Get) -> None:
    assert [page["name"] for page in get("workbooks/w/pages")["entries"]] == ["Page 1"]
    assert get("workbooks/w/pages/page-1/elements")["entries"] == [{"elementId": "a"}, {"elementId": "b"}]
    server.organization.put_on_page("w", "p2", "Detail", "b")
    assert get("workbooks/w/pages/p2/elements")["entries"] == [{"elementId": "b"}]
    assert get("workbooks/w/elements")["entries"] == [{"elementId": "a"}, {"elementId": "b"}]
    server.behaviour.elements_name_pages = True
    named = {"elementId": "b", "pageId": "p2", "pageName": "Detail"}
    assert get("workbooks/w/elements")["entries"] == [{"elementId": "a"}, named]


def test_data_models_have_elements(get: Get) -> None:
    assert get("dataModels?skipPermissionCheck=true")["entries"] == [{"dataModelId": "d"}]
    assert get("dataModels/d/elements")["entries"] == [{"elementId": "c"}]


def test_an_owner_who_is_a_member_is_not_added_again() -> None:
    found = Organization()
    owner = resources()["owner_email"].drop_nulls()[0]
    member = found.add_member(owner, "Ann Lee", account_type="Admin")
    found.add_resources(resources())
    (of_owner,) = [entry for entry in found.members if entry["email"] == owner]
    assert (of_owner["memberId"], of_owner["memberType"]) == (member, "Admin")
    assert {entry["ownerId"] for entry in found.workbooks} == {entry["memberId"] for entry in found.members}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("teams/team-0/members", 403),
        ("dataModels", 404),
        ("members?includeArchived=true", 400),
        ("teams/nobody", 404),
        ("workbooks/w/pages/none/elements", 404),
        ("dataModels/w/elements", 404),
        ("nothing", 404),
    ],
)
def test_what_is_refused(server: FakeSigma, get: Get, path: str, status: int) -> None:
    server.behaviour.forbidden.add("team-0")
    server.behaviour.refused = {"dataModels": 404, "members?includeArchived": 400}
    with pytest.raises(HTTPError) as refused:
        get(path)
    refused.value.close()
    assert refused.value.code == status
