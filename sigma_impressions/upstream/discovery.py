"""Discover Sigma's workbooks and elements through its REST API, in the columns of `sigma_resources`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.upstream.answers import check_count, text, truth
from sigma_impressions.upstream.contract import ALIASES, ELEMENT, WORKBOOK, conform
from sigma_impressions.upstream.members import list_members
from sigma_impressions.upstream.reading import DISCOVERY_SECONDS, read_each, with_fewer_rights, within
from sigma_impressions.upstream.sigma_api import (
    DEFAULT_CONCURRENCY,
    PATIENCE,
    Credentials,
    SigmaApi,
    Traffic,
    path_of,
)
from sigma_impressions.upstream.versions import aliases, sources, version_url_ids, without_versions

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
    return asyncio.run(within(DISCOVERY_SECONDS, _discover(credentials, report, concurrency, backoff), credentials))


def list_workbooks(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    """The workbooks alone, as resources, and the number of elements of the first one: a quick test of all rights.

    Raises as `discover_resources` does.
    """
    return asyncio.run(within(_TEST_SECONDS, _list(credentials), credentials))


async def _list(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    async with SigmaApi(credentials, backoff=Backoff(3, PATIENCE.first)) as api:
        listed, _ = await _workbooks(api)
        elements = await _elements(api, listed[0]) if listed else []
        return _resources(without_versions(listed, sources(listed)), {}, [], credentials.base_url), len(elements)


async def _discover(
    credentials: Credentials, report: Callable[[str], None], concurrency: int, backoff: Backoff
) -> Discovered:
    async with SigmaApi(credentials, concurrency=concurrency, backoff=backoff) as api:
        listed, notes = await _workbooks(api)
        members, more_notes = await list_members(api, "owner_email stays empty")
        owners = {member.member_id: member.email for member in members if member.email}
        found = sources(listed)
        workbooks = without_versions(listed, found)
        report(f"{credentials.base_url}: {len(workbooks)} workbooks listed, reading their elements")
        elements, unread = await _all_elements(api, workbooks, report)
        resources = _resources(workbooks, owners, elements, credentials.base_url)
        of_versions = aliases(resources, found, await version_url_ids(api, listed, found))
        return Discovered(resources, of_versions, tuple(unread), (*notes, *more_notes), api.traffic)


async def _workbooks(api: SigmaApi) -> tuple[list[dict[str, Any]], list[str]]:
    """Every workbook once, and a note if only those are listed that the credentials' owner may open."""
    return await with_fewer_rights(
        lambda params: _listed(api, path_of("workbooks"), params),
        {"skipPermissionCheck": "true"},
        "The owner of the client credentials is no administrator: only workbooks shared with them are listed.",
    )


async def _listed(api: SigmaApi, path: str, params: Mapping[str, str | int]) -> list[dict[str, Any]]:
    """The entries of the list by workbook ID: a list that changes while it is paged through repeats some."""
    found: dict[str, dict[str, Any]] = {}
    async for page in api.entries(path, params):
        found.update((str(entry["workbookId"] or "").lower(), entry) for entry in map(_workbook, page))
        check_count(len(found))
    return list(found.values())


async def _all_elements(
    api: SigmaApi, workbooks: Sequence[Mapping[str, Any]], report: Callable[[str], None]
) -> tuple[list[_Element], list[Unread]]:
    """The elements of all workbooks, each with its workbook's URL ID, and the workbooks that could not be read."""
    elements: list[_Element] = []

    async def read(workbook: Mapping[str, Any]) -> None:
        elements.extend(await _elements(api, workbook))
        check_count(len(workbooks) + len(elements))

    def progress(done: int) -> str:
        return f"{done} of {len(workbooks)} workbooks read, {len(elements)} elements"

    failed = await read_each(api, workbooks, read, report, progress)
    return elements, [Unread(str(workbook.get("workbookUrlId")), reason) for workbook, reason in failed]


async def _elements(api: SigmaApi, workbook: Mapping[str, Any]) -> list[_Element]:
    path, url_id = path_of("workbooks", str(workbook.get("workbookId")), "elements"), str(workbook.get("workbookUrlId"))
    found: list[_Element] = []
    async for page in api.entries(path):
        found.extend((url_id, text(entry, "elementId"), text(entry, "name")) for entry in page)
        check_count(len(found))
    return found


# --- Answers ----------------------------------------------------------------------------------------------------

_WORKBOOK_TEXTS = ("workbookId", "workbookUrlId", "name", "path", "url", "ownerId", "createdAt", "updatedAt")


def _workbook(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of a workbook's entry. Raises `SigmaApiError` if it is none of Sigma's."""
    tags = entry.get("tags")
    return {
        **{name: text(entry, name) for name in _WORKBOOK_TEXTS},
        "isArchived": truth(entry, "isArchived", "a workbook"),
        "tags": [
            {name: text(tag, name) for name in ("name", "taggedWorkbookId")}
            for tag in (tags if isinstance(tags, list) else [])
            if isinstance(tag, dict)
        ],
    }


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
