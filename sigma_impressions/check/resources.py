"""The step of the resources, and how many of the sample rows they match."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError
from sigma_impressions.settings.declared import Settings
from sigma_impressions.texts import VALUE
from sigma_impressions.upstream.contract import ELEMENT, counted
from sigma_impressions.upstream.discovery import list_workbooks
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions.users import without_address
from sigma_impressions.wiring import resources_bucket, resources_location, sigma_credentials


def check_resources(settings: Settings, viewed: pl.Series | None) -> Iterator[Step]:
    """Whether the resources can be read, and whether the workbooks that were `viewed` are among them."""
    try:
        workbooks, found = _workbooks(settings)
    except OperatorError as error:
        yield Step("resources", False, str(error))
        return
    yield Step("resources", True, found)
    if viewed is None or viewed.is_empty():
        yield Step("match", None, "no sample rows to match with the resources")
        return
    known = viewed.is_in(workbooks["workbook_url_id"].implode()) | viewed.str.to_lowercase().is_in(
        workbooks["workbook_id"].drop_nulls().str.to_lowercase().implode()
    )
    share = float(known.mean() or 0)  # type: ignore[arg-type]
    said = f"{share:.0%} of the sample rows are views of a known workbook"
    if share < 1:
        other = without_address(viewed.filter(~known)[0])
        known_id = without_address(str(workbooks["workbook_url_id"][0]))[:VALUE] if workbooks.height else None
        said += f". Not known is for example {other[:VALUE]!r}, while a known ID is {known_id!r}"
    advice = "" if share else ". Are these the resources of the same Sigma organization?"
    yield Step("match", share > 0, f"{said}{advice}")


def _workbooks(settings: Settings) -> tuple[pl.DataFrame, str]:
    """The workbooks and data models, and what was found. Of the API only the first workbook's elements are read."""
    credentials = sigma_credentials(settings)
    if credentials is not None:
        workbooks, elements = list_workbooks(credentials)
        return workbooks, f"{workbooks.height} workbooks at {credentials.base_url}, {elements} elements in the first"
    where = resources_location(settings)
    resources = read_snapshot(where, resources_bucket(settings))
    return resources.filter(pl.col("resource_type") != ELEMENT), counted(resources)
