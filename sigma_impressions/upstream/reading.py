"""Readings of Sigma side by side: what is refused of one thing is told, what fails of many ends them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from sigma_impressions.errors import SigmaRefused, SigmaUnavailable
from sigma_impressions.upstream.sigma_api import Credentials, SigmaApi

S = TypeVar("S")
T = TypeVar("T")

DISCOVERY_SECONDS: Final = 4 * 3600.0
"""How long a discovery may take."""

_MOST_UNAVAILABLE: Final = 5
"""Things that may fail after all attempts before the reading ends: more of them mean that Sigma is down."""

_SECONDS_BETWEEN_REPORTS: Final = 5.0


async def within(seconds: float, work: Coroutine[Any, Any, T], credentials: Credentials) -> T:
    """What the work gives, if it ends in time; else `SigmaUnavailable` is raised."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise SigmaUnavailable(
            f"Reading {credentials.base_url} takes longer than {seconds / 60:.0f} minutes. Is Sigma up, and the "
            "network to it quick? Try again later."
        ) from None


async def all_of(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; after the first failure the others are ended before it is raised."""
    async with _ended_together(works) as tasks:
        return await asyncio.gather(*tasks)


async def both(one: Coroutine[Any, Any, S], other: Coroutine[Any, Any, T]) -> tuple[S, T]:
    """The results of two that differ, as `all_of` gives those that do not."""
    async with _ended_together([one]) as (first,), _ended_together([other]) as (second,):
        return await asyncio.gather(first, second)


@asynccontextmanager
async def _ended_together(works: Sequence[Coroutine[Any, Any, T]]) -> AsyncIterator[list[asyncio.Task[T]]]:
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_each(
    api: SigmaApi,
    things: Sequence[T],
    read: Callable[[T], Awaitable[None]],
    report: Callable[[str], None],
    progress: Callable[[int], str],
) -> list[tuple[T, str]]:
    """Read many things, as many at once as the API may; return those that could not be read, and why.

    `report` is told every few seconds what `progress` says of so many. Raises `SigmaRefused` if Sigma accepts the
    credentials no longer, and `SigmaUnavailable` if it is down.
    """
    failed: list[tuple[T, str]] = []
    waiting = iter(things)
    done, unavailable, reported_at = 0, 0, time.monotonic()

    async def work() -> None:
        nonlocal done, unavailable, reported_at
        for thing in waiting:
            try:
                await read(thing)
            except SigmaRefused as refused:
                if refused.status == 401:
                    raise
                failed.append((thing, str(refused)))
            except SigmaUnavailable as down:
                unavailable += 1
                if unavailable > _MOST_UNAVAILABLE:
                    raise
                failed.append((thing, str(down)))
            done += 1
            if time.monotonic() - reported_at >= _SECONDS_BETWEEN_REPORTS:
                reported_at = time.monotonic()
                report(progress(done))

    await all_of([work() for _ in range(api.concurrency)])
    return failed


async def with_fewer_rights(
    read: Callable[[Mapping[str, str]], Awaitable[T]], privileges: Mapping[str, str], note: str
) -> tuple[T, list[str]]:
    """What `read` gives with parameters that not everybody may use; if they are refused, without, and the note."""
    try:
        return await read(privileges), []
    except SigmaRefused as refused:
        if refused.status not in (400, 403):
            raise
    return await read({}), [note]
