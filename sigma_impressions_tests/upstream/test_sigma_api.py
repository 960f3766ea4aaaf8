"""The client of Sigma's REST API: tokens, paging, retries, concurrency, and what its failures say."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.demo.fake_sigma import Behaviour, FakeSigma, Organization
from sigma_impressions.errors import SigmaApiError, SigmaRefused, SigmaUnavailable
from sigma_impressions.upstream.sigma_api import Credentials, SigmaApi, path_of
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub
from sigma_impressions_tests.upstream.sigma import credentials, read_list

SECRET = "the-secret-of-the-client-0123456789"
TOKEN = Answer(200, json.dumps({"access_token": "token-0123456789", "expires_in": 3600}).encode())
EMPTY = Answer(200, b'{"entries": [], "nextPage": null}')


@pytest.fixture(scope="module")
def server() -> Iterator[FakeSigma]:
    with FakeSigma(Organization()) as running:
        yield running


@pytest.mark.slow
@settings(max_examples=40)
@given(
    entries=st.integers(0, 45),
    limit=st.integers(1, 12),
    fault_rate=st.sampled_from([0.0, 0.1, 0.4]),
    has_more=st.booleans(),
    token_uses=st.sampled_from([1, 3, None]),
)
def test_paging_gives_every_entry_once_whatever_fails(
    server: FakeSigma, *, entries: int, limit: int, fault_rate: float, has_more: bool, token_uses: int | None
) -> None:
    server.organization.members = [{"memberId": str(number)} for number in range(entries)]
    server.behaviour = Behaviour(fault_rate=fault_rate, has_more=has_more, token_uses=token_uses)
    pages, traffic = read_list(credentials(server), "/v2/members", limit=limit)
    assert [entry["memberId"] for page in pages for entry in page] == [str(number) for number in range(entries)]
    assert all(len(page) == limit for page in pages[:-1])
    if fault_rate == 0:
        assert traffic.retries == 0
        assert traffic.tokens == (1 if token_uses is None else -(-len(pages) // token_uses))


def stub_of(*answers: Answer | Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """One answer after the other to what is not a request for a token; the last one for good."""
    waiting = list(answers)

    def answer(request: Request) -> Answer:
        if request.path == "/v2/auth/token":
            return TOKEN
        following = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return following if isinstance(following, Answer) else following(request)

    return answer


def at(stub: HttpStub) -> Credentials:
    return Credentials(stub.url, "client", SECRET)


@pytest.mark.parametrize(
    "retry_after",
    [lambda: "1", lambda: formatdate(time.time() + 2, usegmt=True)],
    ids=["seconds", "date"],
)
def test_retry_after_is_honoured(retry_after: Callable[[], str]) -> None:
    def limited(_request: Request) -> Answer:
        return Answer(429, headers={"Retry-After": retry_after()})

    with http_stub(stub_of(limited, EMPTY)) as stub:
        started = time.monotonic()
        _, traffic = read_list(at(stub), "/v2/members")
        assert time.monotonic() - started >= 1.0
    assert (traffic.requests, traffic.retries) == (3, 1)


def test_a_rate_limit_stops_every_task_and_nothing_is_lost(server: FakeSigma) -> None:
    server.organization.members = [{"memberId": str(number)} for number in range(40)]
    server.behaviour = Behaviour(requests_per_second=25)
    server.answers.clear()
    pages, _ = read_list(credentials(server), "/v2/members", limit=1, backoff=Backoff(first=0.01))
    assert len(pages) == 40
    # Once told, the client waits: it does not use up its attempts against the limit.
    assert server.answers[429] <= 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_attempts_are_bounded_and_the_failure_names_endpoint_and_status(status: int) -> None:
    with http_stub(stub_of(Answer(status))) as stub, pytest.raises(SigmaUnavailable) as failed:
        read_list(at(stub), "/v2/workbooks", backoff=Backoff(attempts=4, first=0.001))
    assert f"GET /v2/workbooks: HTTP {status} after 4 attempts" in str(failed.value)
    assert len(stub.requests) == 1 + 4


def test_a_pause_that_is_too_long_is_not_waited_for() -> None:
    with http_stub(stub_of(Answer(429, headers={"Retry-After": "3600"}))) as stub:
        started = time.monotonic()
        with pytest.raises(SigmaUnavailable, match=r"GET /v2/workbooks: HTTP 429, and Sigma asks to wait 3600 s"):
            read_list(at(stub), "/v2/workbooks")
        assert time.monotonic() - started < 5
    assert len(stub.requests) == 2


def test_a_server_that_is_not_there_is_named() -> None:
    with http_stub(stub_of(EMPTY)) as stub:
        gone = at(stub)
    with pytest.raises(
        SigmaUnavailable, match=r"POST /v2/auth/token: ClientConnectorError after 3 attempts. Is http://127"
    ):
        read_list(gone, "/v2/workbooks", backoff=Backoff(attempts=3, first=0.001))


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http_stub(lambda request: TOKEN if request.path.endswith("/token") else EMPTY) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        pages, _ = read_list(Credentials("http://sigma.invalid", "client", SECRET), "/v2/members")
        assert [request.path.partition("?")[0] for request in proxy.requests] == [
            "http://sigma.invalid/v2/auth/token",
            "http://sigma.invalid/v2/members",
        ]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with http_stub(stub_of(EMPTY)) as stub:
            read_list(at(stub), "/v2/members")
            assert len(stub.requests) == len(proxy.requests) == 2
    assert pages == [[]]


def test_a_revoked_token_is_renewed_once() -> None:
    refused = Answer(401, b'{"code": "unauthorized"}')
    with http_stub(stub_of(refused, EMPTY)) as stub:
        pages, traffic = read_list(at(stub), "/v2/workbooks")
    assert pages == [[]]
    assert traffic.tokens == 2
    with http_stub(stub_of(refused)) as stub, pytest.raises(SigmaRefused, match=r"HTTP 401 \(unauthorized\)"):
        read_list(at(stub), "/v2/workbooks")
    assert len(stub.requests) == 4


def test_tasks_share_a_token_and_the_concurrency(server: FakeSigma) -> None:
    server.organization.members = [{"memberId": "m"}]
    server.behaviour = Behaviour(latency=0.01)
    server.most_at_once = 0

    async def read() -> int:
        async with SigmaApi(credentials(server), concurrency=5) as api:
            await asyncio.gather(*(api.get("/v2/members", {"limit": 1}) for _ in range(60)))
            return api.traffic.tokens

    assert asyncio.run(read()) == 1
    assert server.most_at_once == 5


def test_wrong_credentials_say_what_to_check(server: FakeSigma) -> None:
    server.behaviour = Behaviour()
    wrong = Credentials(server.url, server.client_id, SECRET)
    with pytest.raises(SigmaRefused, match="Check SIGMA_CLIENT_ID and SIGMA_CLIENT_SECRET") as refused:
        read_list(wrong, "/v2/workbooks")
    assert SECRET not in f"{refused.value!r} {wrong!r} {refused.getrepr(showlocals=False)}"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(200, b"<html>"), "the answer is not JSON. Is SIGMA_BASE_URL"),
        (Answer(200, b"[]"), "the answer is not a JSON object"),
        (Answer(200, b'{"rows": []}'), "the answer holds no list of entries"),
        (Answer(200, b'{"entries": [], "nextPage": "again"}'), "names the page after this one a second time"),
        (Answer(302, headers={"Location": "https://elsewhere.example.com"}), "HTTP 302. Is SIGMA_BASE_URL"),
        (Answer(403, b'{"code": "forbidden", "message": "a secret"}'), r"HTTP 403 \(forbidden\). .* administrator"),
        (Answer(404, b'{"code": "no such <b>"}'), r"HTTP 404\. There is no such thing"),
    ],
    ids=["not JSON", "no object", "no entries", "endless", "redirect", "forbidden", "missing"],
)
def test_what_is_not_an_answer_of_sigma_ends_at_once(answer: Answer, message: str) -> None:
    with http_stub(stub_of(answer)) as stub, pytest.raises(SigmaApiError, match=message) as failed:
        read_list(at(stub), "/v2/workbooks")
    assert "a secret" not in str(failed.value)
    assert len(stub.requests) <= 3


def test_a_body_that_is_cut_off_is_read_again() -> None:
    whole = b'{"entries": [{"memberId": "m"}], "nextPage": ""}'
    with http_stub(stub_of(Answer(200, whole, cut=9), Answer(200, whole))) as stub:
        pages, traffic = read_list(at(stub), "/v2/members")
    assert (pages, traffic.retries) == ([[{"memberId": "m"}]], 1)


@given(attempt=st.integers(1, 200), retry_after=st.none() | st.floats(0, 100))
def test_pauses_grow_to_a_limit_and_never_undercut_sigma(attempt: int, retry_after: float | None) -> None:
    backoff = Backoff()
    pause = backoff.seconds(attempt, retry_after)
    ideal = min(backoff.longest, backoff.first * 2.0 ** (attempt - 1))
    assert pause >= max(ideal / 2, retry_after or 0)
    assert pause <= max(ideal, retry_after or 0)


def test_an_id_never_leads_to_another_endpoint() -> None:
    assert path_of("workbooks", "../members?x=1#y", "elements") == "/v2/workbooks/..%2Fmembers%3Fx%3D1%23y/elements"
