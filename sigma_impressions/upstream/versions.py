"""Tagged versions of workbooks: which workbook each was made from, and the IDs that lead there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sigma_impressions.errors import SigmaRefused
from sigma_impressions.upstream.answers import text
from sigma_impressions.upstream.contract import ALIASES, WORKBOOK
from sigma_impressions.upstream.reading import all_of
from sigma_impressions.upstream.sigma_api import SigmaApi, path_of


@dataclass(frozen=True)
class Source:
    """The workbook that a tagged version was made from, and the tag's name."""

    workbook_url_id: str
    tag_name: str


def sources(listed: Sequence[Mapping[str, Any]]) -> dict[str, Source]:
    """For the ID (in lower case) of every tagged version: where it comes from, in the end."""
    made_from: dict[str, tuple[str, Source]] = {}
    for entry in listed:
        own = str(entry.get("workbookId")).lower()
        for tag in entry["tags"]:
            version = str(tag["taggedWorkbookId"] or "").lower()
            if version and version != own:
                made_from.setdefault(version, (own, Source(str(entry.get("workbookUrlId")), str(tag.get("name")))))
    return {version: _root(version, made_from) for version in made_from}


def _root(version: str, made_from: Mapping[str, tuple[str, Source]]) -> Source:
    own, source = made_from[version]
    passed = {version}
    while own in made_from and own not in passed:
        passed.add(own)
        own, above = made_from[own]
        source = Source(above.workbook_url_id, source.tag_name)
    return source


def without_versions(listed: Sequence[dict[str, Any]], found: Mapping[str, Source]) -> list[dict[str, Any]]:
    """The workbooks that are no tagged version of another one."""
    return [entry for entry in listed if str(entry.get("workbookId")).lower() not in found]


async def version_url_ids(
    api: SigmaApi, listed: Sequence[Mapping[str, Any]], found: Mapping[str, Source]
) -> dict[str, str]:
    """The URL ID of every tagged version, by its ID: from the list, else asked for one by one."""
    known = {str(entry.get("workbookId")).lower(): str(entry.get("workbookUrlId")) for entry in listed}

    async def asked(version: str) -> tuple[str, str | None]:
        try:
            return version, text(await api.get(path_of("workbooks", version)), "workbookUrlId")
        except SigmaRefused as refused:
            if refused.status == 401:
                raise
            # A version whose tag was archived cannot be opened any more; its ID still leads to its source.
            return version, None

    answers = await all_of([asked(version) for version in found if version not in known])
    return {**known, **{version: url_id for version, url_id in answers if url_id}}


def aliases(resources: pl.DataFrame, found: Mapping[str, Source], url_ids: Mapping[str, str]) -> pl.DataFrame:
    """Both IDs of every tagged version as other names of its source, with the columns of `ALIASES`."""
    rows = [
        (name, source.workbook_url_id, source.tag_name)
        for version, source in found.items()
        for name in (version, url_ids.get(version))
        if name
    ]
    named = pl.DataFrame(rows, schema=ALIASES, orient="row", strict=False)
    workbooks = resources.filter(pl.col("resource_type") == WORKBOOK)
    return (
        named.join(workbooks, on="workbook_url_id", how="semi")
        .join(workbooks, left_on="alias_id", right_on="workbook_url_id", how="anti")
        .unique("alias_id", keep="first", maintain_order=True)
        .sort("alias_id")
    )
