"""A Sigma REST API over real HTTP that behaves as its public description says, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from sigma_impressions.upstream.contract import DATA_MODEL, ELEMENT, WORKBOOK

CLIENT_ID: Final = "demo-client-id"
MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 50

_DATE = "%Y-%m-%dT%H:%M:%S%.3fZ"
_SOME_TIME = "2025-01-01T08:00:00.000Z"
_KINDS: Final = {WORKBOOK: "workbook", DATA_MODEL: "dataModel"}
"""What the names of the IDs begin with in the entries of what has elements."""


@dataclass
class Page:
    """A page of a workbook, and the IDs of the elements on it."""

    page_id: str
    name: str
    element_ids: list[str] = field(default_factory=list)


@dataclass
class Organization:
    """What the fake organization holds, in the form of the API's entries; may be changed while it is served."""

    workbooks: list[dict[str, Any]] = field(default_factory=list)
    data_models: list[dict[str, Any]] = field(default_factory=list)
    elements: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the ID of their workbook or data model."""
    pages: dict[str, list[Page]] = field(default_factory=dict)
    """By the ID of their workbook; one that is not here has a single page with all of its elements."""
    members: list[dict[str, Any]] = field(default_factory=list)
    teams: list[dict[str, Any]] = field(default_factory=list)
    team_members: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the ID of their team."""
    hidden: list[dict[str, Any]] = field(default_factory=list)
    """Workbooks that the list leaves out, and that can be asked for by ID."""
    _places: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_resources(cls, resources: pl.DataFrame) -> Self:
        """The organization whose discovery gives these resources; those that are deleted are not in it."""
        found = cls()
        found.add_resources(resources)
        return found

    def add_resources(self, resources: pl.DataFrame) -> None:
        """Add resources that are not deleted, and their owners, as creators, if they are no members yet."""
        present = resources.filter(~pl.col("is_deleted").fill_null(False)).with_columns(
            pl.col("created_at", "updated_at").dt.strftime(_DATE)
        )
        ids = {member["email"]: member["memberId"] for member in self.members}
        for email in present["owner_email"].drop_nulls().unique(maintain_order=True).to_list():
            ids[email] = ids.get(email) or self.add_member(email, account_type="Creator")
        for row in present.filter(pl.col("resource_type") != ELEMENT).iter_rows(named=True):
            owner, kind = ids.get(row["owner_email"]), _KINDS[row["resource_type"]]
            entries = self.data_models if row["resource_type"] == DATA_MODEL else self.workbooks
            entries.append(
                {
                    f"{kind}Id": row["workbook_id"],
                    f"{kind}UrlId": row["workbook_url_id"],
                    "name": row["name"],
                    "path": row["path"],
                    "url": row["url"],
                    "ownerId": owner,
                    "createdBy": owner,
                    "updatedBy": owner,
                    "createdAt": row["created_at"],
                    "updatedAt": row["updated_at"],
                    "latestVersion": 1,
                    "isArchived": bool(row["is_archived"]),
                    "tags": [],
                }
            )
        for row in present.filter(pl.col("resource_type") == ELEMENT).iter_rows(named=True):
            entry = {"elementId": row["element_id"], "name": row["name"], "type": "visualization"}
            self.elements.setdefault(row["workbook_id"], []).append(entry)
            if row.get("page_id"):
                self.put_on_page(row["workbook_id"], row["page_id"], row["page_name"], row["element_id"])

    def add_member(
        self,
        email: str,
        name: str = "",
        *,
        account_type: str = "Viewer",
        kind: str = "internal",
        created_at: str = _SOME_TIME,
        is_archived: bool = False,
        is_inactive: bool = False,
    ) -> str:
        """Add a member, and return the ID. Who is archived was deactivated in Sigma, who is inactive by SCIM."""
        member_id = f"member-{len(self.members)}"
        first, _, last = name.partition(" ")
        self.members.append(
            {
                "organizationId": "organization",
                "memberId": member_id,
                "memberType": account_type,
                "userKind": kind,
                "firstName": first,
                "lastName": last,
                "email": email,
                "profileImgUrl": None,
                "createdBy": member_id,
                "updatedBy": member_id,
                "createdAt": created_at,
                "updatedAt": created_at,
                "homeFolderId": f"home-{member_id}",
                "isArchived": is_archived,
                "isInactive": is_inactive,
            }
        )
        return member_id

    def add_team(self, name: str, member_ids: Iterable[str] = (), *, is_archived: bool = False) -> str:
        """Add a team of such members, and return its ID."""
        team_id = f"team-{len(self.teams)}"
        self.teams.append(
            {"teamId": team_id, "name": name, "description": None, "visibility": "public", "isArchived": is_archived}
        )
        self.team_members[team_id] = [
            {"userId": member, "isTeamAdmin": False, "addedBy": "member-0"} for member in member_ids
        ]
        return team_id

    def put_on_page(self, workbook_id: str, page_id: str, name: str, element_id: str) -> None:
        """Put an element on a page of its workbook, which is made if there is none of that ID."""
        pages = self.pages.setdefault(workbook_id, [])
        page = next((page for page in pages if page.page_id == page_id), None)
        if page is None:
            page = Page(page_id, name)
            pages.append(page)
        page.element_ids.append(element_id)

    def pages_of(self, workbook_id: str) -> list[Page]:
        """The pages of a workbook."""
        ids = [element["elementId"] for element in self.elements.get(workbook_id, [])]
        return self.pages.get(workbook_id) or [Page("page-1", "Page 1", ids)]

    def workbook(self, workbook_id: str) -> dict[str, Any] | None:
        """The entry of a workbook, listed or not."""
        for entries in (self.workbooks, self.hidden):
            place = self._places.get(workbook_id, 0)
            if place < len(entries) and entries[place]["workbookId"] == workbook_id:
                return entries[place]
        # The lists may have been changed since the places were noted.
        everything = [entry["workbookId"] for entries in (self.workbooks, self.hidden) for entry in entries]
        if workbook_id not in everything:
            return None
        self._places = {
            entry["workbookId"]: place
            for entries in (self.hidden, self.workbooks)
            for place, entry in enumerate(entries)
        }
        return self.workbook(workbook_id)


@dataclass
class Behaviour:
    """How the server answers; may be changed while it runs. Times are in seconds.

    A token ends after `token_seconds`, or earlier after `token_uses` requests, as if it had been revoked.
    `fault_rate` is the share of requests that end in 429, 500 or a reset connection, by turns at random.
    `requests_per_second` is the rate limit; more are answered by 429 with `Retry-After: 1`. With
    `is_administrator` unset the account may neither skip the permission check nor list members or teams.
    `forbidden` holds what is answered by 403: IDs of workbooks, data models and teams, or one list of theirs
    (`ID/pages`). `refused` holds the statuses that whole lists are answered by, such as `{"dataModels": 404}`, or
    only if they are asked for with a parameter, such as `{"members?includeArchived": 400}`. With
    `elements_name_pages` the elements of a workbook say which page they are on.
    """

    latency: float = 0.0
    token_seconds: float = 3600.0
    token_uses: int | None = None
    fault_rate: float = 0.0
    requests_per_second: int | None = None
    is_administrator: bool = True
    has_more: bool = True
    elements_name_pages: bool = False
    forbidden: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    status: int
    content: Mapping[str, Any] | Sequence[Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def _error(status: int, code: str, **headers: str) -> _Answer:
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return _Answer(status, {"code": code, "message": HTTPStatus(status).phrase}, shown)


class _Connection(asyncio.Protocol):
    """A connection, whose requests are answered one after the other.

    Not a coroutine over streams: that takes most of the time of a request, which would be measured as the client's.
    """

    def __init__(self, sigma: FakeSigma, loop: asyncio.AbstractEventLoop) -> None:
        self._sigma = sigma
        self._loop = loop
        self._received = bytearray()
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sigma.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sigma.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._take()

    def abort(self) -> None:
        """Reset the connection."""
        self._transport.abort()

    def _take(self) -> None:
        """Begin with the next request, if it is here as a whole."""
        if self._is_busy or (end := self._received.find(b"\r\n\r\n")) < 0:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = end + 4 + int(headers.get("content-length", "0"))
        if len(self._received) < length:
            return
        body = bytes(self._received[end + 4 : length])
        del self._received[:length]
        method, target, _ = first.split(" ")
        self._is_busy = True
        self._sigma.begin()
        self._loop.call_later(self._sigma.behaviour.latency, self._answer, method, target, headers, body)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        encoded = self._sigma.end(method, target, headers, body)
        self._is_busy = False
        if encoded is None:
            self.abort()
        elif not self._transport.is_closing():
            self._transport.write(encoded)
            self._take()


class FakeSigma:
    """The server, in a thread of its own on a free port of the loopback interface; a context manager.

    `answers` counts the answers by status (0: a reset connection), `most_at_once` the requests under way.
    """

    def __init__(self, organization: Organization, behaviour: Behaviour | None = None, seed: int = 7) -> None:
        self.organization = organization
        self.behaviour = behaviour or Behaviour()
        self.client_id = CLIENT_ID
        self.client_secret = f"demo-{secrets.token_urlsafe(24)}"
        self.answers: Counter[int] = Counter()
        self.paths: list[str] = []
        self.most_at_once = 0
        self.connections: set[_Connection] = set()
        self._at_once = 0
        self._random = random.Random(seed)
        self._tokens: dict[str, float] = {}
        self._uses: Counter[str] = Counter()
        self._second: tuple[int, int] = (0, 0)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-sigma", daemon=True)

    def environment(self) -> dict[str, str]:
        """The settings that lead a source here."""
        return {
            "SIGMA_CLIENT_ID": self.client_id,
            "SIGMA_CLIENT_SECRET": self.client_secret,
            "SIGMA_BASE_URL": self.url,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self, self._loop), sock=self._socket)
        )
        self._loop.run_forever()
        server.close()
        for connection in tuple(self.connections):
            connection.abort()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def begin(self) -> None:
        """A request has come; `end` follows when it is answered."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)

    def end(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        """The answer to a request that has waited for its latency; None means that the connection is reset."""
        self._at_once -= 1
        answer = self._answer(method, target, headers, body)
        self.answers[answer.status if answer else 0] += 1
        return None if answer is None else _encoded(answer)

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer | None:
        """The answer to one request; None means that the connection is reset."""
        self.paths.append(target)
        if self._random.random() < self.behaviour.fault_rate:
            fault = self._random.choice((429, 500, 0))
            return None if fault == 0 else _error(fault, "fault")
        if self._is_over_the_limit():
            return _error(429, "too_many_requests", Retry_After="1")
        parts = urlsplit(target)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if path == ["v2", "auth", "token"]:
            return self._give_token(body) if method == "POST" else _error(405, "method_not_allowed")
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if not self._is_valid(token):
            return _error(401, "unauthorized")
        if method != "GET" or path[0] != "v2":
            return _error(404, "not_found")
        return self._read(path[1:], {name: values[0] for name, values in parse_qs(parts.query).items()})

    def _is_over_the_limit(self) -> bool:
        if self.behaviour.requests_per_second is None:
            return False
        second, count = self._second
        now = int(time.monotonic())
        self._second = (now, count + 1 if now == second else 1)
        return self._second[1] > self.behaviour.requests_per_second

    def _is_valid(self, token: str) -> bool:
        self._uses[token] += 1
        used_up = self.behaviour.token_uses is not None and self._uses[token] > self.behaviour.token_uses
        return not used_up and self._tokens.get(token, 0.0) > time.monotonic()

    def _give_token(self, body: bytes) -> _Answer:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return _error(400, "unsupported_grant_type")
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return _error(401, "invalid_client")
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + self.behaviour.token_seconds
        content = {"access_token": token, "token_type": "bearer", "expires_in": self.behaviour.token_seconds}
        return _Answer(200, content)

    def _read(self, path: Sequence[str], query: Mapping[str, str]) -> _Answer:
        skips = query.get("skipPermissionCheck") == "true"
        refused = self.behaviour.refused
        for asked in (path[0], *(f"{path[0]}?{name}" for name in query)):
            if status := refused.get(asked):
                return _error(status, HTTPStatus(status).name.lower())
        if not self.behaviour.is_administrator and (path[0] in ("members", "teams") or skips):
            return _error(403, "forbidden")
        if len(path) > 1:
            return self._thing(path[0], path[1], "/".join(path[2:]), query)
        lists: dict[str, Sequence[Mapping[str, Any]]] = {
            "workbooks": self.organization.workbooks,
            "dataModels": self.organization.data_models,
            "members": self._members(query),
            "teams": self.organization.teams,
            "datasets": [],
            "files": [],
        }
        found = lists.get(path[0])
        if found is None:
            return _error(404, "not_found")
        if path[0] in ("members", "teams") and "limit" not in query:
            return _Answer(200, found)
        return self._page(found, query)

    def _members(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """The members that are asked for: those that were deactivated only if they are."""
        left_out = [
            flag
            for flag, parameter in (("isArchived", "includeArchived"), ("isInactive", "includeInactive"))
            if query.get(parameter) != "true"
        ]
        return [member for member in self.organization.members if not any(member.get(flag) for flag in left_out)]

    def _thing(self, kind: str, thing_id: str, path: str, query: Mapping[str, str]) -> _Answer:
        """What is asked of one workbook, data model or team."""
        organization, key = self.organization, thing_id.lower()
        if kind == "workbooks":
            entry = organization.workbook(key)
            lists = self._lists_of_workbook(key, path) if entry else {}
        elif kind == "dataModels":
            entry = next((entry for entry in organization.data_models if entry["dataModelId"] == key), None)
            lists = {"elements": organization.elements.get(key, [])}
        else:
            entries = organization.teams if kind == "teams" else []
            entry = next((entry for entry in entries if entry["teamId"] == thing_id), None)
            lists = {"members": organization.team_members.get(thing_id, [])}
        if entry is None:
            return _error(404, "not_found")
        if {thing_id, key, f"{key}/{path}"} & self.behaviour.forbidden:
            return _error(403, "forbidden")
        if not path:
            return _Answer(200, entry)
        if path.startswith("lineage/elements/"):
            return _Answer(200, {"dependencies": {}, "edges": []})
        found = lists.get(path)
        return _error(404, "not_found") if found is None else self._page(found, query)

    def _lists_of_workbook(self, workbook_id: str, path: str) -> dict[str, Sequence[Mapping[str, Any]]]:
        elements = self.organization.elements.get(workbook_id, [])
        if path == "elements" and not self.behaviour.elements_name_pages:
            return {path: elements}
        pages = self.organization.pages_of(workbook_id)
        on_page = {element_id: page for page in pages for element_id in page.element_ids}
        return {
            "elements": [
                entry | ({"pageId": page.page_id, "pageName": page.name} if page else {})
                for entry in elements
                for page in [on_page.get(entry["elementId"])]
            ],
            "pages": [{"pageId": page.page_id, "name": page.name} for page in pages],
            **{
                f"pages/{page.page_id}/elements": [
                    entry for entry in elements if entry["elementId"] in page.element_ids
                ]
                for page in pages
            },
            "materialization-schedules": [],
            "queries": [],
        }

    def _page(self, entries: Sequence[Mapping[str, Any]], query: Mapping[str, str]) -> _Answer:
        limit = int(query.get("limit", DEFAULT_LIMIT))
        if not 1 <= limit <= MAX_LIMIT:
            return _error(400, "invalid_request")
        start = int(base64.urlsafe_b64decode(query["page"])) if "page" in query else 0
        following = start + limit if start + limit < len(entries) else None
        content: dict[str, Any] = {
            "entries": entries[start : start + limit],
            "total": len(entries),
            "nextPage": None if following is None else base64.urlsafe_b64encode(str(following).encode()).decode(),
        }
        if self.behaviour.has_more:
            content["hasMore"] = following is not None
        return _Answer(200, content)


def _encoded(answer: _Answer) -> bytes:
    body = json.dumps(answer.content).encode()
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
