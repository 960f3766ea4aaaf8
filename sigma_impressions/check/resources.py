"""The step of the resources, and how many of the sample rows they match."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError
from sigma_impressions.exports.reading.references import ID
from sigma_impressions.settings.declared import Settings
from sigma_impressions.texts import VALUE, percent
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
    yield from matched(viewed, workbooks)


def matched(viewed: pl.Series | None, workbooks: pl.DataFrame) -> Iterator[Step]:
    """How many of the views are of one of the workbooks and data models; where none is, why not."""
    if viewed is None or viewed.is_empty():
        yield Step("match", None, "no sample rows to match with the resources")
        return
    known = viewed.is_in(workbooks["workbook_url_id"].implode()) | viewed.str.to_lowercase().is_in(
        workbooks["workbook_id"].drop_nulls().str.to_lowercase().implode()
    )
    share = float(known.mean() or 0)  # type: ignore[arg-type]
    said = f"{percent(share, 1)} of the sample rows are views of a known workbook"
    if share < 1:
        said += f". Not known is for example {_shown(viewed.filter(~known)[0])}"
        if workbooks.height:
            said += f", while a known ID is {_shown(workbooks['workbook_url_id'][0])}"
    advice = "" if share else f". {_why_none(viewed.str.to_lowercase(), workbooks)}"
    yield Step("match", share > 0, f"{said}{advice}")


def _shown(text: str) -> str:
    return repr(without_address(text)[:VALUE])


def _why_none(viewed: pl.Series, workbooks: pl.DataFrame) -> str:
    """Why none of the views, in lower case, is of a workbook that is known, and what to do."""
    if workbooks.is_empty():
        return (
            "The resources hold no workbook. Look whether the upstream Sigma integration sees any: its rights, its "
            "filters, its errors"
        )
    known_ids, names = (workbooks[name].drop_nulls().str.to_lowercase() for name in ("workbook_url_id", "name"))
    column = "export the workbook's URL ID or its ID beside it, or in its place (docs/sigma-export.md)"
    if viewed.is_in(names.implode()).any():
        return f"The exports name workbooks by their names, which several may have: {column}"
    if viewed.is_in(known_ids.implode()).any():
        return "They differ in case, and IDs are compared to the letter: let both be written as Sigma has them"
    has_ids, knows_ids = (bool(ids.str.contains(ID).any()) for ids in (viewed, known_ids))
    if knows_ids and not has_ids:
        return f"The exports hold no IDs of workbooks: {column}"
    if has_ids and not knows_ids:
        return "The resources hold no IDs of workbooks: workbook_url_id is what stands last in a workbook's URL"
    return "Are these the resources of the same Sigma organization?"


def _workbooks(settings: Settings) -> tuple[pl.DataFrame, str]:
    """The workbooks and data models, and what was found. Of the API only the first workbook's elements are read."""
    credentials = sigma_credentials(settings)
    if credentials is not None:
        workbooks, elements = list_workbooks(credentials)
        listed = counted(workbooks, elements=False)
        return workbooks, f"{listed} at {credentials.base_url}, {elements} elements in the first"
    where = resources_location(settings)
    resources = read_snapshot(where, resources_bucket(settings))
    return resources.filter(pl.col("resource_type") != ELEMENT), counted(resources)
