"""A client of Sigma's REST API: the access token, paging, retries and bounded concurrency; nothing of what it reads.

aiohttp is loaded by the first client: most processes that import this never make one.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import SigmaApiError, SigmaRefused, SigmaUnavailable
from sigma_impressions.waiting import waiting_for

if TYPE_CHECKING:
    import aiohttp

DEFAULT_CONCURRENCY: Final = 8
"""Requests under way at once: enough to hide the latency, few enough for an account that others use too."""

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOKEN_PATH = "/v2/auth/token"
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "sigma-impressions"}
PATIENCE = Backoff(attempts=7, first=0.25)
"""How often a request is tried again; a pause is never shorter than what a `Retry-After` asks for."""

_LONGEST_RETRY_AFTER = 120.0
"""Seconds; one that asks for more ends the request at once: a discovery is better repeated later than kept hanging."""

_UNTOLD_TOKEN_SECONDS = 600.0
"""How long a token is used whose answer does not say when it expires; Sigma's live for an hour."""

_LONGEST_TOKEN_SECONDS = 86_400
"""How long a token is used at most, whatever its answer says."""

ANSWER_LIMIT: Final = 32 * 2**20
"""Bytes that an answer may have, decompressed; a page of 1,000 entries has some hundred thousand."""

ANSWER_SECONDS: Final = 300.0
"""How long one answer may take to its end; the pause between two pieces of it alone would not end a drip."""

PAGES_LIMIT: Final = 10_000
"""Pages that a list may have, of 1,000 entries each."""

_PAGE_NAME_LIMIT = 4096
"""Characters that the name of a page may have."""


@dataclass(frozen=True)
class Credentials:
    """Where the API is and how to sign in; the secret is left out of `repr()`."""

    base_url: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)


@dataclass(frozen=True)
class _Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Traffic:
    """What the client has sent: requests in all (tokens and retries included), of those repeated, and tokens."""

    requests: int = 0
    retries: int = 0
    tokens: int = 0


class SigmaApi:
    """Some connections and one access token; used as an asynchronous context manager.

    Any number of tasks may read at once; at most `concurrency` requests are under way.
    """

    def __init__(
        self, credentials: Credentials, *, concurrency: int = DEFAULT_CONCURRENCY, backoff: Backoff = PATIENCE
    ) -> None:
        self.credentials = credentials
        self.concurrency = concurrency
        self.traffic = Traffic()
        self._backoff = backoff
        self._slots = asyncio.Semaphore(concurrency)
        self._token = ""
        self._token_ends = 0.0
        self._renewing = asyncio.Lock()
        self._resume_at = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        import aiohttp

        # One connection more than there are requests, for tokens.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.concurrency + 1),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=15, sock_read=60),
            proxy=_proxy(self.credentials.base_url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """The JSON object that `GET path` answers with; `path` begins with `/v2/`.

        Passing failures are tried again, an expired token is renewed. Raises `SigmaUnavailable` when the attempts
        are used up, `SigmaRefused` for any other error of Sigma.
        """
        async with self._slots:
            with waiting_for(f"{self.credentials.base_url}: GET {path}"):
                return await self._persist("GET", path, params)

    async def entries(
        self, path: str, params: Mapping[str, str | int] | None = None, limit: int = 1000
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """The entries of a list, page by page, until an answer names no next page.

        Only `nextPage` is followed: `hasMore` is deprecated, and an answer may lack it.
        """
        page: str | None = None
        followed: set[str] = set()
        while True:
            asked = {**(params or {}), "limit": limit, **({"page": page} if page else {})}
            answer = await self.get(path, asked)
            entries = answer.get("entries")
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise SigmaApiError(f"GET {path}: the answer holds no list of entries. {NOT_SIGMA}")
            yield entries
            page = _next_page(answer, path)
            if page is None:
                return
            if page in followed:
                raise SigmaApiError(f"GET {path}: Sigma names the page after this one a second time; try again later.")
            followed.add(page)
            if len(followed) >= PAGES_LIMIT:
                raise SigmaApiError(
                    f"GET {path}: the list has more than {PAGES_LIMIT:,} pages, and does not seem to end. {NOT_SIGMA}"
                )

    async def _persist(self, method: str, path: str, params: Mapping[str, str | int] | None) -> dict[str, Any]:
        """Send a request until it is answered for good."""
        attempt, refused_before = 0, False
        while True:
            token = await self._current_token()
            await self._pause_of_others()
            query = f"?{urlencode(params)}" if params else ""
            answer = await self._send(method, f"{path}{query}", headers={"Authorization": f"Bearer {token}"})
            status = answer.status if isinstance(answer, _Answer) else None
            if isinstance(answer, _Answer) and answer.is_success:
                return _json_object(answer, method, path)
            # A token may expire on its way, or be revoked; a new one that is refused at once stays refused.
            if status == 401 and not refused_before:
                refused_before = True
                self._forget(token)
                continue
            refused_before = False
            attempt += 1
            await self._wait_or_give_up(method, path, answer, attempt)

    async def _wait_or_give_up(self, method: str, path: str, answer: _Answer | str, attempt: int) -> None:
        """After a failed attempt: wait for the next one, or raise what ends the request."""
        if isinstance(answer, _Answer):
            if answer.status not in _TRANSIENT:
                raise _refusal(answer, method, path)
            failure, retry_after = f"HTTP {answer.status}{_code(answer)}", _retry_after(answer)
        else:
            failure, retry_after = answer, None
        if retry_after is not None and retry_after > _LONGEST_RETRY_AFTER:
            raise SigmaUnavailable(
                f"{method} {path}: {failure}, and Sigma asks to wait {retry_after:.0f} s. Try again later."
            )
        if attempt >= self._backoff.attempts:
            raise SigmaUnavailable(
                f"{method} {path}: {failure} after {attempt} attempts. Is {self.credentials.base_url} reachable from "
                "here, and Sigma up? Try again later."
            )
        self.traffic.retries += 1
        if retry_after is not None:
            # The limit is the account's: whoever sends meanwhile only makes it worse.
            self._resume_at = max(self._resume_at, time.monotonic() + retry_after)
        await asyncio.sleep(self._backoff.seconds(attempt, retry_after))

    async def _pause_of_others(self) -> None:
        while (wait := self._resume_at - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def _send(self, method: str, path: str, **content: Any) -> _Answer | str:
        """The answer, or what the connection failed with."""
        import aiohttp
        from yarl import URL

        assert self._session is not None, "used outside of `async with`"
        self.traffic.requests += 1
        url = URL(f"{self.credentials.base_url}{path}", encoded=True)
        try:
            async with self._session.request(method, url, allow_redirects=False, **content) as response:
                body = bytearray()
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > ANSWER_LIMIT:
                        raise SigmaApiError(
                            f"{method} {path.partition('?')[0]}: the answer is longer than {ANSWER_LIMIT // 2**20} "
                            f"MiB. {NOT_SIGMA}"
                        )
                return _Answer(response.status, response.headers, bytes(body))
        except (aiohttp.ClientError, TimeoutError) as error:
            # Only the kind: the text may repeat a proxy's address with its password.
            return type(error).__name__

    async def _current_token(self) -> str:
        """A token that is not about to expire; one task renews it while the others wait."""
        if time.monotonic() < self._token_ends:
            return self._token
        async with self._renewing:
            if time.monotonic() >= self._token_ends:
                await self._renew()
            return self._token

    def _forget(self, token: str) -> None:
        # Unless another task has renewed it meanwhile.
        if token == self._token:
            self._token_ends = 0.0

    async def _renew(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
        }
        attempt = 0
        while True:
            asked_at = time.monotonic()
            answer = await self._send("POST", _TOKEN_PATH, data=form)
            if isinstance(answer, _Answer) and answer.is_success:
                break
            if isinstance(answer, _Answer) and answer.status in (400, 401, 403):
                raise SigmaRefused(
                    f"POST {_TOKEN_PATH}: HTTP {answer.status}. Sigma at {self.credentials.base_url} does not "
                    "accept the client ID and secret. Check SIGMA_CLIENT_ID and SIGMA_CLIENT_SECRET, and whether "
                    "SIGMA_BASE_URL is the region of your organization.",
                    # Whatever it was: to those who read on after a 400 or 403 of one thing, this is not one.
                    401,
                )
            attempt += 1
            await self._wait_or_give_up("POST", _TOKEN_PATH, answer, attempt)
        given = _json_object(answer, "POST", _TOKEN_PATH)
        token, seconds = given.get("access_token"), given.get("expires_in")
        if not isinstance(token, str) or re.fullmatch(r"[\x21-\x7e]{1,16384}", token) is None:
            raise SigmaApiError(f"POST {_TOKEN_PATH}: the answer holds no access token. {NOT_SIGMA}")
        lifetime = _UNTOLD_TOKEN_SECONDS
        if isinstance(seconds, int | float) and seconds > 0:
            lifetime = float(min(seconds, _LONGEST_TOKEN_SECONDS))
        self.traffic.tokens += 1
        self._token = token
        # Early enough for a request that waits in a queue on its way.
        self._token_ends = asked_at + lifetime - min(60.0, lifetime / 10)


def _proxy(base_url: str) -> str | None:
    """The proxy of the environment for the API, looked up once: aiohttp does so at every request, in a thread."""
    parts = urlsplit(base_url)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


NOT_SIGMA: Final = "Is SIGMA_BASE_URL the address of Sigma's API?"


def path_of(*parts: str) -> str:
    """`/v2/…` with each part escaped: an ID never leads to another endpoint."""
    return "/v2/" + "/".join(quote(part, safe="") for part in parts)


def _next_page(answer: Mapping[str, Any], path: str) -> str | None:
    """The name of the page after this one; None if it is the last."""
    following = answer.get("nextPage")
    if following is None or following == "":
        return None
    page = str(following) if isinstance(following, str | int) else ""
    if not page.isprintable() or not 0 < len(page) <= _PAGE_NAME_LIMIT:
        raise SigmaApiError(f"GET {path}: the answer does not name the page after this one. {NOT_SIGMA}")
    return page


def _json_object(answer: _Answer, method: str, path: str) -> dict[str, Any]:
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise SigmaApiError(f"{method} {path}: the answer is not JSON. {NOT_SIGMA}") from None
    if not isinstance(content, dict):
        raise SigmaApiError(f"{method} {path}: the answer is not a JSON object. {NOT_SIGMA}")
    return content


def _refusal(answer: _Answer, method: str, path: str) -> SigmaRefused:
    status = answer.status
    advice = {
        401: "Sigma refuses a token it has just given. Try again; if it stays so, make new client credentials.",
        403: "The owner of the client credentials may not read this. Use those of an administrator.",
        404: f"There is no such thing in Sigma (any more), or {NOT_SIGMA[0].lower()}{NOT_SIGMA[1:]}",
    }.get(status, NOT_SIGMA if status < 400 else "This is not a passing error.")
    return SigmaRefused(f"{method} {path}: HTTP {status}{_code(answer)}. {advice}", status)


def _code(answer: _Answer) -> str:
    """Sigma's own short code of an error, if there is one; never its message, which may repeat what was sent."""
    try:
        code = json.loads(answer.body).get("code")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return f" ({code})" if isinstance(code, str) and re.fullmatch(r"[A-Za-z_.-]{1,60}", code) else ""


def _retry_after(answer: _Answer) -> float | None:
    """Seconds that a `Retry-After` header asks to wait, given as seconds or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
