"""Short cuts for tests that read a Sigma REST API, the fake one or a stub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.demo.fake_sigma import FakeSigma
from sigma_impressions.upstream.sigma_api import Credentials, SigmaApi, Traffic

HURRIED = Backoff(attempts=30, first=0.001, longest=0.005)
"""Many attempts without long pauses: a test that has to wait says so itself."""


def credentials(server: FakeSigma) -> Credentials:
    return Credentials(server.url, server.client_id, server.client_secret)


def read_list(
    where: Credentials,
    path: str,
    params: Mapping[str, str | int] | None = None,
    *,
    limit: int = 1000,
    backoff: Backoff = HURRIED,
) -> tuple[list[list[dict[str, Any]]], Traffic]:
    """The pages of a list, and what it took."""

    async def read() -> tuple[list[list[dict[str, Any]]], Traffic]:
        async with SigmaApi(where, backoff=backoff) as api:
            return [page async for page in api.entries(path, params, limit)], api.traffic

    return asyncio.run(read())
