"""Discover Sigma's workbooks and elements through its REST API, in the columns of `sigma_resources`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import polars as pl

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import SigmaApiError, SigmaRefused, SigmaUnavailable
from sigma_impressions.upstream.contract import ALIASES, ELEMENT, ROWS_LIMIT, TEXT_LIMIT, WORKBOOK, as_text, conform
from sigma_impressions.upstream.sigma_api import (
    DEFAULT_CONCURRENCY,
    NOT_SIGMA,
    PATIENCE,
    Credentials,
    SigmaApi,
    Traffic,
    path_of,
)

T = TypeVar("T")

_MOST_UNAVAILABLE: Final = 5
"""Workbooks that may fail after all attempts before the discovery ends: more of them mean that Sigma is down."""

_SECONDS_BETWEEN_REPORTS: Final = 5.0

DISCOVERY_SECONDS: Final = 4 * 3600.0
"""How long a discovery may take."""

_TEST_SECONDS: Final = 600.0
"""How long the quick test of all rights may take."""

_WORKBOOK_COLUMNS = {
    "workbook_id": pl.String,
    "workbook_url_id": pl.String,
    "name": pl.String,
    "path": pl.String,
    "url": pl.String,
    "owner_id": pl.String,
    "created_at": pl.String,
    "updated_at": pl.String,
    "is_archived": pl.Boolean,
}
_ELEMENT_COLUMNS = {"workbook_url_id": pl.String, "element_id": pl.String, "element_name": pl.String}
_Element = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class Unread:
    """A workbook whose elements could not be read, and why."""

    workbook_url_id: str
    reason: str


@dataclass(frozen=True)
class Discovered:
    """What Sigma holds now: `resources` as `contract.conform` returns them, `aliases` with the columns of `ALIASES`.

    `unread` names the workbooks whose elements are missing; `notes` say what else could not be learnt.
    """

    resources: pl.DataFrame
    aliases: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ALIASES))
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


def discover_resources(
    credentials: Credentials,
    report: Callable[[str], None],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    backoff: Backoff = PATIENCE,
) -> Discovered:
    """Read all workbooks and their elements; `report` is told of the progress every few seconds.

    Raises `SigmaApiError` if the workbooks cannot be listed or Sigma is down, `ResourcesRefused` if what it
    answers breaks the contract.
    """
    return asyncio.run(_within(DISCOVERY_SECONDS, _discover(credentials, report, concurrency, backoff), credentials))


def list_workbooks(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    """The workbooks alone, as resources, and the number of elements of the first one: a quick test of all rights.

    Raises as `discover_resources` does.
    """
    return asyncio.run(_within(_TEST_SECONDS, _list(credentials), credentials))


async def _within(seconds: float, work: Coroutine[Any, Any, T], credentials: Credentials) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise SigmaUnavailable(
            f"Reading {credentials.base_url} takes longer than {seconds / 60:.0f} minutes. Is Sigma up, and the "
            "network to it quick? Try again later."
        ) from None


async def _list(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    async with SigmaApi(credentials, backoff=Backoff(3, PATIENCE.first)) as api:
        listed, _ = await _workbooks(api)
        elements = await _elements(api, listed[0]) if listed else []
        return _resources(_without_versions(listed, _sources(listed)), {}, [], credentials.base_url), len(elements)


async def _discover(
    credentials: Credentials, report: Callable[[str], None], concurrency: int, backoff: Backoff
) -> Discovered:
    async with SigmaApi(credentials, concurrency=concurrency, backoff=backoff) as api:
        listed, notes = await _workbooks(api)
        owners, owner_notes = await _members(api)
        sources = _sources(listed)
        workbooks = _without_versions(listed, sources)
        report(f"{credentials.base_url}: {len(workbooks)} workbooks listed, reading their elements")
        elements, unread = await _all_elements(api, workbooks, report)
        resources = _resources(workbooks, owners, elements, credentials.base_url)
        aliases = _aliases(resources, sources, await _version_url_ids(api, listed, sources))
        return Discovered(resources, aliases, tuple(unread), (*notes, *owner_notes), api.traffic)


async def _workbooks(api: SigmaApi) -> tuple[list[dict[str, Any]], list[str]]:
    """Every workbook once, and a note if only those are listed that the credentials' owner may open."""
    path = path_of("workbooks")
    try:
        return await _listed(api, path, {"skipPermissionCheck": "true"}), []
    except SigmaRefused as refused:
        if refused.status not in (400, 403):
            raise
    return await _listed(api, path, {}), [
        "The owner of the client credentials is no administrator: only workbooks shared with them are listed."
    ]


async def _listed(api: SigmaApi, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
    """The entries of the list by workbook ID: a list that changes while it is paged through repeats some."""
    found: dict[str, dict[str, Any]] = {}
    async for page in api.entries(path, params):
        found.update((str(entry["workbookId"] or "").lower(), entry) for entry in map(_workbook, page))
        _check_count(len(found))
    return list(found.values())


async def _members(api: SigmaApi) -> tuple[dict[str, str], list[str]]:
    """The e-mail address of every member by ID; without the right to list members, none and a note."""
    found: dict[str, str] = {}
    try:
        async for page in api.entries(path_of("members")):
            found.update(
                (str(_text(entry, "memberId")), str(_text(entry, "email"))) for entry in page if entry.get("email")
            )
            _check_count(len(found))
    except SigmaRefused as refused:
        if refused.status != 403:
            raise
        return {}, ["The owner of the client credentials may not list members: owner_email stays empty."]
    return found, []


async def _all_elements(
    api: SigmaApi, workbooks: Sequence[Mapping[str, Any]], report: Callable[[str], None]
) -> tuple[list[_Element], list[Unread]]:
    """The elements of all workbooks, each with its workbook's URL ID, and the workbooks that could not be read."""
    elements: list[_Element] = []
    unread: list[Unread] = []
    waiting = iter(workbooks)
    done, unavailable, reported_at = 0, 0, time.monotonic()

    async def work() -> None:
        nonlocal done, unavailable, reported_at
        for workbook in waiting:
            url_id = str(workbook.get("workbookUrlId"))
            try:
                elements.extend(await _elements(api, workbook))
                _check_count(len(workbooks) + len(elements))
            except SigmaRefused as refused:
                if refused.status == 401:
                    raise
                unread.append(Unread(url_id, str(refused)))
            except SigmaUnavailable as down:
                unavailable += 1
                if unavailable > _MOST_UNAVAILABLE:
                    raise
                unread.append(Unread(url_id, str(down)))
            done += 1
            if time.monotonic() - reported_at >= _SECONDS_BETWEEN_REPORTS:
                reported_at = time.monotonic()
                report(f"{done} of {len(workbooks)} workbooks read, {len(elements)} elements")

    await _all([work() for _ in range(api.concurrency)])
    return elements, unread


async def _all(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; after the first failure the others are ended before it is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _elements(api: SigmaApi, workbook: Mapping[str, Any]) -> list[_Element]:
    path, url_id = path_of("workbooks", str(workbook.get("workbookId")), "elements"), str(workbook.get("workbookUrlId"))
    found: list[_Element] = []
    async for page in api.entries(path):
        found.extend((url_id, _text(entry, "elementId"), _text(entry, "name")) for entry in page)
        _check_count(len(found))
    return found


# --- Answers ----------------------------------------------------------------------------------------------------

_WORKBOOK_TEXTS = ("workbookId", "workbookUrlId", "name", "path", "url", "ownerId", "createdAt", "updatedAt")


def _workbook(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of a workbook's entry. Raises `SigmaApiError` if it is none of Sigma's."""
    is_archived, tags = entry.get("isArchived"), entry.get("tags")
    if not (is_archived is None or isinstance(is_archived, bool)):
        raise SigmaApiError(f"isArchived of a workbook is neither true nor false in the answer. {NOT_SIGMA}")
    return {
        **{name: _text(entry, name) for name in _WORKBOOK_TEXTS},
        "isArchived": is_archived,
        "tags": [
            {name: _text(tag, name) for name in ("name", "taggedWorkbookId")}
            for tag in (tags if isinstance(tags, list) else [])
            if isinstance(tag, dict)
        ],
    }


def _text(entry: Mapping[str, Any], name: str) -> str | None:
    """A text of an entry. Raises `SigmaApiError` if it is none, or too long; the answer is not quoted."""
    try:
        text = as_text(entry.get(name))
    except ValueError:
        raise SigmaApiError(f"{name} is not a text in the answer. {NOT_SIGMA}") from None
    if text is not None and len(text) > TEXT_LIMIT:
        raise SigmaApiError(f"{name} has more than {TEXT_LIMIT:,} characters in the answer. {NOT_SIGMA}")
    return text


def _check_count(found: int) -> None:
    if found > ROWS_LIMIT:
        raise SigmaApiError(f"Sigma lists more than {ROWS_LIMIT:,} workbooks, elements or members. {NOT_SIGMA}")


# --- Tagged versions ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The workbook that a tagged version was made from, and the tag's name."""

    workbook_url_id: str
    tag_name: str


def _sources(listed: Sequence[Mapping[str, Any]]) -> dict[str, _Source]:
    """For the ID (in lower case) of every tagged version: where it comes from, in the end."""
    made_from: dict[str, tuple[str, _Source]] = {}
    for entry in listed:
        own = str(entry.get("workbookId")).lower()
        for tag in entry["tags"]:
            version = str(tag["taggedWorkbookId"] or "").lower()
            if version and version != own:
                made_from.setdefault(version, (own, _Source(str(entry.get("workbookUrlId")), str(tag.get("name")))))
    return {version: _root(version, made_from) for version in made_from}


def _root(version: str, made_from: Mapping[str, tuple[str, _Source]]) -> _Source:
    own, source = made_from[version]
    passed = {version}
    while own in made_from and own not in passed:
        passed.add(own)
        own, above = made_from[own]
        source = _Source(above.workbook_url_id, source.tag_name)
    return source


def _without_versions(listed: Sequence[dict[str, Any]], sources: Mapping[str, _Source]) -> list[dict[str, Any]]:
    return [entry for entry in listed if str(entry.get("workbookId")).lower() not in sources]


async def _version_url_ids(
    api: SigmaApi, listed: Sequence[Mapping[str, Any]], sources: Mapping[str, _Source]
) -> dict[str, str]:
    """The URL ID of every tagged version, by its ID: from the list, else asked for one by one."""
    known = {str(entry.get("workbookId")).lower(): str(entry.get("workbookUrlId")) for entry in listed}

    async def asked(version: str) -> tuple[str, str | None]:
        try:
            return version, _text(await api.get(path_of("workbooks", version)), "workbookUrlId")
        except SigmaRefused as refused:
            if refused.status == 401:
                raise
            # A version whose tag was archived cannot be opened any more; its ID still leads to its source.
            return version, None

    answers = await _all([asked(version) for version in sources if version not in known])
    return {**known, **{version: url_id for version, url_id in answers if url_id}}


def _aliases(resources: pl.DataFrame, sources: Mapping[str, _Source], url_ids: Mapping[str, str]) -> pl.DataFrame:
    """Both IDs of every tagged version as other names of its source."""
    rows = [
        (name, source.workbook_url_id, source.tag_name)
        for version, source in sources.items()
        for name in (version, url_ids.get(version))
        if name
    ]
    aliases = pl.DataFrame(rows, schema=ALIASES, orient="row", strict=False)
    workbooks = resources.filter(pl.col("resource_type") == WORKBOOK)
    return (
        aliases.join(workbooks, on="workbook_url_id", how="semi")
        .join(workbooks, left_on="alias_id", right_on="workbook_url_id", how="anti")
        .unique("alias_id", keep="first", maintain_order=True)
        .sort("alias_id")
    )


# --- Rows -------------------------------------------------------------------------------------------------------


def _resources(
    workbooks: Sequence[Mapping[str, Any]],
    owners: Mapping[str, str],
    elements: Sequence[_Element],
    read_from: str,
) -> pl.DataFrame:
    """One row per workbook and per element. An element has the owner, times and flags of its workbook."""
    fields = ("workbookId", "workbookUrlId", "name", "path", "url", "ownerId", "createdAt", "updatedAt", "isArchived")
    frame = pl.DataFrame(
        [tuple(entry.get(name) for name in fields) for entry in workbooks],
        schema=_WORKBOOK_COLUMNS,
        orient="row",
        strict=False,
    ).with_columns(
        resource_type=pl.lit(WORKBOOK),
        element_id=pl.lit(None, pl.String),
        workbook_name=pl.col("name"),
        owner_email=pl.col("owner_id").replace_strict(owners, default=None, return_dtype=pl.String),
        is_archived=pl.col("is_archived").fill_null(False),
        is_deleted=pl.lit(False),
    )
    of_elements = (
        pl.DataFrame(elements, schema=_ELEMENT_COLUMNS, orient="row", strict=False)
        .unique(["workbook_url_id", "element_id"], keep="first")
        .join(frame.drop("resource_type", "element_id"), on="workbook_url_id")
        .with_columns(
            resource_type=pl.lit(ELEMENT),
            name=pl.col("element_name"),
            path=pl.concat_str("path", "workbook_name", separator="/"),
            url=pl.concat_str("url", pl.lit("?:displayNodeId="), "element_id"),
        )
    )
    return conform(pl.concat([frame, of_elements.select(frame.columns)]), read_from)
