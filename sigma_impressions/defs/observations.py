"""Usage on the pages of dagster-sigma's workbook assets: an observation for each whose figures have changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.names import clean_name

from sigma_impressions.destinations.workbook_usage import workbook_usage
from sigma_impressions.texts import HTTP_URL, printable
from sigma_impressions.users import without_address
from sigma_impressions.windows import WINDOW_DAYS

WorkbookKey = Callable[[Mapping[str, Any]], dg.AssetKey | None]
"""The asset key of a workbook, given its row of `workbook_usage`; None if it has no asset."""

_FIGURES = (
    *(f"total_impressions_with_elements_{days}d" for days in WINDOW_DAYS),
    *(f"distinct_impressions_users_with_elements_{days}d" for days in WINDOW_DAYS),
    "rank",
)


def dagster_sigma_key(workbook: Mapping[str, Any]) -> dg.AssetKey | None:
    """The key that dagster-sigma gives a workbook unless its translator was replaced: the cleaned name."""
    return dg.AssetKey(clean_name(workbook["name"])) if workbook["name"] else None


def usage_observations(
    instance: dg.DagsterInstance, database: Path, key_of: WorkbookKey
) -> Iterator[dg.AssetObservation]:
    """An observation for every workbook asset whose figures differ from those of its last observation.

    Of several workbooks with one key, which dagster-sigma cannot tell apart either, the most viewed one counts.
    """
    seen: set[dg.AssetKey] = set()
    for workbook in workbook_usage(database).iter_rows(named=True):
        key = key_of(workbook)
        if key is None or key in seen:
            continue
        seen.add(key)
        metadata = _metadata(workbook)
        if _last(instance, key) != metadata:
            yield dg.AssetObservation(asset_key=key, metadata=metadata)


def _metadata(workbook: Mapping[str, Any]) -> dict[str, dg.MetadataValue[Any]]:
    found: dict[str, dg.MetadataValue[Any]] = {name: dg.MetadataValue.int(workbook[name]) for name in _FIGURES}
    if workbook["last_impression_at"] is not None:
        found["last_impression_at"] = dg.MetadataValue.timestamp(workbook["last_impression_at"].timestamp())
    if workbook["url"] and re.match(HTTP_URL, workbook["url"]):
        found["workbook"] = dg.MetadataValue.url(printable(without_address(workbook["url"])))
    return found


def _last(instance: dg.DagsterInstance, key: dg.AssetKey) -> Mapping[str, dg.MetadataValue[Any]] | None:
    """The figures of the newest observation that this code location has made."""
    for record in instance.fetch_observations(key, limit=10).records:
        observation = record.asset_observation
        if observation is not None and _FIGURES[0] in observation.metadata:
            return {name: value for name, value in observation.metadata.items() if not name.startswith("dagster/")}
    return None
