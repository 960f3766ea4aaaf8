"""What a snapshot keeps of the one before: what is gone from Sigma, while impressions of it may be in a window."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, time

import polars as pl

from sigma_impressions.lake.schemas import UTC_TIME
from sigma_impressions.upstream.contract import ALIASES, ELEMENT, KEY
from sigma_impressions.windows import window

_IDS = ("workbook_url_id", "element_id")
"""What impressions are attached by; a workbook that is a data model now has not vanished."""

_IS_WORKBOOK = pl.col("resource_type") != ELEMENT  # or a data model


@dataclass(frozen=True)
class State:
    """The content of a snapshot.

    `resources` has the columns of the contract; `history` those of `KEY`, `first_seen_at` and `vanished_at`, one
    row per resource; `aliases` those of `contract.ALIASES` and `vanished_at`. `vanished_at` is when a run first
    missed the resource or alias; null while Sigma has it.
    """

    resources: pl.DataFrame
    history: pl.DataFrame
    aliases: pl.DataFrame


def carry_over(
    resources: pl.DataFrame,
    aliases: pl.DataFrame,
    before: State,
    unread: Collection[str],
    now: datetime,
    *,
    unlisted: Collection[str] = (),
) -> State:
    """What was found now, and of the state before what is needed as long as impressions of it may be in a window.

    A vanished resource stays, with `is_deleted` true, until its last day has left the longest window; an alias
    likewise. The elements of the workbooks in `unread` (URL IDs) stay as they were, and so do the resources of the
    types in `unlisted` with their elements.
    """
    still_there = before.resources.filter(
        pl.col("resource_type").is_in(list(unlisted)) & ~pl.col("is_deleted").fill_null(False)
    ).join(resources, on="workbook_url_id", how="anti")
    resources = pl.concat([resources, still_there])
    unread = {*unread, *still_there["workbook_url_id"]}
    unchanged = before.resources.filter(
        (pl.col("resource_type") == ELEMENT)
        & pl.col("workbook_url_id").is_in(list(unread))
        & ~pl.col("is_deleted").fill_null(False)
    ).join(resources.filter(_IS_WORKBOOK), on="workbook_url_id", how="semi")
    present = pl.concat([resources, unchanged.join(resources, on=KEY, how="anti", nulls_equal=True)])
    vanished = _needed(before.resources.join(present, on=_IDS, how="anti", nulls_equal=True), before, now)
    vanished = _without_successors(vanished, present, aliases)
    kept = pl.concat([present, vanished.with_columns(is_deleted=pl.lit(True))]).sort(KEY, nulls_last=False)
    return State(kept, _history(kept, before, now), _aliases(kept, aliases, before, now))


def _needed(gone: pl.DataFrame, before: State, now: datetime) -> pl.DataFrame:
    """Those of the gone resources that vanished within the longest window."""
    columns = gone.columns
    dated = gone.join(before.history, on=KEY, how="left", nulls_equal=True)
    return dated.filter(pl.col("vanished_at").fill_null(now) >= oldest_needed(now)).select(columns)


def oldest_needed(now: datetime) -> datetime:
    """The begin of the first day of the longest window that ends today."""
    return datetime.combine(window(now.astimezone(UTC).date())[0], time.min, UTC)


def _without_successors(vanished: pl.DataFrame, present: pl.DataFrame, aliases: pl.DataFrame) -> pl.DataFrame:
    """Without the workbooks, and their elements, whose ID now leads to another workbook, or that have lost theirs."""
    workbooks = vanished.filter(_IS_WORKBOOK)
    in_use = pl.concat(
        [
            present.filter(_IS_WORKBOOK).select(pl.col("workbook_id").str.to_lowercase()),
            aliases.select(workbook_id="alias_id"),
        ]
    ).drop_nulls()
    replaced = pl.concat(
        [
            workbooks.with_columns(pl.col("workbook_id").str.to_lowercase()).join(in_use, on="workbook_id", how="semi"),
            workbooks.join(aliases, left_on="workbook_url_id", right_on="alias_id", how="semi"),
        ]
    ).select("workbook_url_id")
    kept = vanished.join(replaced, on="workbook_url_id", how="anti")
    parents = pl.concat([present, kept]).filter(_IS_WORKBOOK)
    return kept.join(parents, on="workbook_url_id", how="semi")


def _history(kept: pl.DataFrame, before: State, now: datetime) -> pl.DataFrame:
    known = before.history.select(*KEY, "first_seen_at", was_gone_at="vanished_at")
    return kept.join(known, on=KEY, how="left", nulls_equal=True).select(
        *KEY,
        pl.col("first_seen_at").fill_null(now),
        vanished_at=pl.when(pl.col("is_deleted")).then(pl.col("was_gone_at").fill_null(now)),
    )


def _aliases(kept: pl.DataFrame, found: pl.DataFrame, before: State, now: datetime) -> pl.DataFrame:
    gone = before.aliases.join(found, on="alias_id", how="anti").with_columns(pl.col("vanished_at").fill_null(now))
    workbooks = kept.filter(_IS_WORKBOOK)
    own_ids = pl.concat(
        [
            workbooks.select(alias_id="workbook_url_id"),
            workbooks.select(alias_id=pl.col("workbook_id").str.to_lowercase()),
        ]
    )
    return (
        pl.concat(
            [
                found.select(*ALIASES, vanished_at=pl.lit(None, UTC_TIME)),
                gone.filter(pl.col("vanished_at") >= oldest_needed(now)).select(*ALIASES, "vanished_at"),
            ]
        )
        .join(workbooks, on="workbook_url_id", how="semi")
        .join(own_ids, on="alias_id", how="anti")
        .sort("alias_id")
    )
