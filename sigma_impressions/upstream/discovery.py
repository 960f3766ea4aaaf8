"""Discover Sigma's workbooks, data models and elements through its REST API, in the columns of `sigma_resources`.

A data model is to its elements what a workbook is; what is said of workbooks below holds for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import SigmaRefused
from sigma_impressions.upstream.answers import check_count, text, truth
from sigma_impressions.upstream.contract import ALIASES, DATA_MODEL, ELEMENT, WORKBOOK, conform
from sigma_impressions.upstream.members import list_members
from sigma_impressions.upstream.pages import Element, Pages
from sigma_impressions.upstream.reading import DISCOVERY_SECONDS, both, read_each, with_fewer_rights, within
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

_API_NAMES: Final = {WORKBOOK: ("workbooks", "workbook"), DATA_MODEL: ("dataModels", "dataModel")}
"""How the API calls the list of a resource type, and what the names of the IDs in it begin with."""

_WORKBOOK_COLUMNS = {
    "resource_type": pl.String,
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
_ELEMENT_COLUMNS = dict.fromkeys(Element._fields, pl.String)
_ELEMENT_TEXTS = ("elementId", "name", "pageId", "pageName")


@dataclass(frozen=True)
class Unread:
    """A workbook whose elements could not be read, and why."""

    workbook_url_id: str
    reason: str


@dataclass(frozen=True)
class Discovered:
    """What Sigma holds now: `resources` as `contract.conform` returns them, `aliases` with the columns of `ALIASES`.

    `unread` names the workbooks whose elements are missing, `unlisted` the resource types of which nothing could be
    listed; `notes` say what else could not be learnt.
    """

    resources: pl.DataFrame
    aliases: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ALIASES))
    unread: tuple[Unread, ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)


def discover_resources(
    credentials: Credentials,
    report: Callable[[str], None],
    *,
    concurrency: int = DEFAULT_CONCURRENCY,
    backoff: Backoff = PATIENCE,
    pages: bool = False,
) -> Discovered:
    """Read all workbooks and their elements; `report` is told of the progress every few seconds.

    With `pages` it is asked which page of its workbook an element is on: one more request for each workbook with
    elements, and one for each of its pages.

    Raises `SigmaApiError` if the workbooks cannot be listed or Sigma is down, `ResourcesRefused` if what it
    answers breaks the contract.
    """
    work = _discover(credentials, report, concurrency, backoff, pages)
    return asyncio.run(within(DISCOVERY_SECONDS, work, credentials))


def list_workbooks(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    """The workbooks alone, as resources, and the number of elements of the first one: a quick test of the rights.

    Raises as `discover_resources` does.
    """
    return asyncio.run(within(_TEST_SECONDS, _list(credentials), credentials))


async def _list(credentials: Credentials) -> tuple[pl.DataFrame, int]:
    async with SigmaApi(credentials, backoff=Backoff(3, PATIENCE.first)) as api:
        listed, data_models, _ = await _workbooks(api)
        workbooks = [*without_versions(listed, sources(listed)), *(data_models or [])]
        elements = await _elements(api, workbooks[0]) if workbooks else []
        return _resources(workbooks, {}, [], credentials.base_url), len(elements)


async def _discover(
    credentials: Credentials, report: Callable[[str], None], concurrency: int, backoff: Backoff, with_pages: bool
) -> Discovered:
    async with SigmaApi(credentials, concurrency=concurrency, backoff=backoff) as api:
        (listed, data_models, notes), (members, more_notes) = await both(
            _workbooks(api), list_members(api, "owner_email stays empty")
        )
        found = sources(listed)
        workbooks = without_versions(listed, found)
        report(f"{credentials.base_url}: {_named(workbooks, data_models or [])} listed, reading their elements")
        workbooks += data_models or []
        pages = Pages(api) if with_pages else None
        elements, unread = await _all_elements(api, workbooks, pages, report)
        owners = {member.member_id: member.email for member in members if member.email}
        resources = _resources(workbooks, owners, elements, credentials.base_url)
        of_versions = aliases(resources, found, await version_url_ids(api, listed, found))
        return Discovered(
            resources,
            of_versions,
            tuple(unread),
            (DATA_MODEL,) if data_models is None else (),
            (*notes, *more_notes, *(pages.notes if pages else ())),
            api.traffic,
        )


def _named(workbooks: Sequence[Mapping[str, Any]], data_models: Sequence[Mapping[str, Any]]) -> str:
    return f"{len(workbooks)} workbooks" + (f" and {len(data_models)} data models" if data_models else "")


async def _workbooks(api: SigmaApi) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None, list[str]]:
    """Every workbook and every data model once, None if data models cannot be listed, and notes."""
    workbooks, notes = await _listed(api, WORKBOOK)
    try:
        data_models, more_notes = await _listed(api, DATA_MODEL)
    except SigmaRefused as refused:
        if refused.status not in (403, 404):
            raise
        note = "Data models cannot be listed: they stay as they were last known, views of others stay unmatched"
        return workbooks, None, [*notes, f"{note}. {refused}"]
    named = [entry for entry in data_models if (entry["workbookUrlId"] or "").strip()]
    if left_out := len(data_models) - len(named):
        more_notes.append(
            f"{left_out} data models have no dataModelUrlId, which views would name them by: they are left out."
        )
    return workbooks, named, list(dict.fromkeys([*notes, *more_notes]))


async def _listed(api: SigmaApi, resource_type: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Everything of a type, and a note if only what is shared with the credentials' owner is listed."""

    async def read(params: Mapping[str, str]) -> list[dict[str, Any]]:
        # By ID: a list that changes while it is paged through repeats some.
        found: dict[str, dict[str, Any]] = {}
        async for page in api.entries(path_of(_API_NAMES[resource_type][0]), params):
            for entry in page:
                workbook = _workbook(resource_type, entry)
                found[str(workbook["workbookId"] or "").lower()] = workbook
            check_count(len(found))
        return list(found.values())

    return await with_fewer_rights(
        read,
        {"skipPermissionCheck": "true"},
        "The owner of the client credentials is no administrator: only what is shared with them is listed.",
    )


async def _all_elements(
    api: SigmaApi, workbooks: Sequence[Mapping[str, Any]], pages: Pages | None, report: Callable[[str], None]
) -> tuple[list[Element], list[Unread]]:
    """The elements of all workbooks, each with its workbook's URL ID, and the workbooks that could not be read."""
    elements: list[Element] = []

    async def read(workbook: Mapping[str, Any]) -> None:
        found: Sequence[Element] = await _elements(api, workbook)
        if pages is not None and workbook["resource_type"] == WORKBOOK:
            found = await pages.placed(str(workbook["workbookId"]), found)
        elements.extend(found)
        check_count(len(workbooks) + len(elements))

    def progress(done: int) -> str:
        cost = f", {pages.requests} requests for their pages" if pages else ""
        return f"{done} of {len(workbooks)} workbooks read, {len(elements)} elements{cost}"

    failed = await read_each(api, workbooks, read, report, progress)
    if pages:
        report(progress(len(workbooks)))
    return elements, [Unread(str(workbook.get("workbookUrlId")), reason) for workbook, reason in failed]


async def _elements(api: SigmaApi, workbook: Mapping[str, Any]) -> list[Element]:
    path = path_of(_API_NAMES[workbook["resource_type"]][0], str(workbook["workbookId"]), "elements")
    url_id = str(workbook["workbookUrlId"])
    found: list[Element] = []
    async for page in api.entries(path):
        found.extend(Element(url_id, *(text(entry, name) for name in _ELEMENT_TEXTS)) for entry in page)
        check_count(len(found))
    return found


# --- Answers ----------------------------------------------------------------------------------------------------


def _workbook(resource_type: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of an entry, by the names of a workbook. Raises `SigmaApiError` if it is none of Sigma's."""
    prefix = _API_NAMES[resource_type][1]
    tags = entry.get("tags")
    return {
        "resource_type": resource_type,
        "workbookId": text(entry, f"{prefix}Id"),
        "workbookUrlId": text(entry, f"{prefix}UrlId"),
        **{name: text(entry, name) for name in ("name", "path", "url", "ownerId", "createdAt", "updatedAt")},
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
    elements: Sequence[Element],
    read_from: str,
) -> pl.DataFrame:
    """One row per workbook and per element. An element has the owner, times and flags of its workbook."""
    fields = (
        *("resource_type", "workbookId", "workbookUrlId", "name", "path", "url", "ownerId"),
        *("createdAt", "updatedAt", "isArchived"),
    )
    frame = pl.DataFrame(
        [tuple(entry[name] for name in fields) for entry in workbooks],
        schema=_WORKBOOK_COLUMNS,
        orient="row",
        strict=False,
    ).with_columns(
        element_id=pl.lit(None, pl.String),
        page_id=pl.lit(None, pl.String),
        page_name=pl.lit(None, pl.String),
        workbook_name=pl.col("name"),
        owner_email=pl.col("owner_id").replace_strict(owners, default=None, return_dtype=pl.String),
        is_archived=pl.col("is_archived").fill_null(False),
        is_deleted=pl.lit(False),
    )
    of_elements = (
        pl.DataFrame(elements, schema=_ELEMENT_COLUMNS, orient="row", strict=False)
        .unique(["workbook_url_id", "element_id"], keep="first")
        .join(frame.drop("resource_type", "element_id", "page_id", "page_name"), on="workbook_url_id")
        .with_columns(
            resource_type=pl.lit(ELEMENT),
            name=pl.col("element_name"),
            path=pl.concat_str("path", "workbook_name", separator="/"),
            url=pl.concat_str("url", pl.lit("?:displayNodeId="), "element_id"),
        )
    )
    return conform(pl.concat([frame, of_elements.select(frame.columns)]), read_from)
