"""Keep snapshots of `sigma_resources`: a new one only when something changed, the registry last."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from sigma_impressions.errors import ResourcesRefused
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.schemas import (
    RESOURCE_HISTORY,
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
    WORKBOOK_ALIASES,
)
from sigma_impressions.lake.snapshots import keep_snapshot, newest_snapshot, snapshot_rows
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.carry_over import State, carry_over
from sigma_impressions.upstream.contract import ALIASES, ELEMENT, KEY


@dataclass(frozen=True)
class CapturedSnapshot:
    """The newest snapshot; `is_new` if it differs from the one before and was stored now.

    `workbooks`, data models among them, and `elements` were found now; `vanished` resources are kept beside them
    because they are gone from Sigma for less than 60 days.
    """

    snapshot_id: str
    is_new: bool
    workbooks: int
    elements: int
    vanished: int


def capture_snapshot(
    tables: Tables,
    resources: pl.DataFrame,
    read_from: str,
    now: datetime,
    *,
    aliases: pl.DataFrame | None = None,
    unread: Collection[str] = (),
    unlisted: Collection[str] = (),
) -> CapturedSnapshot:
    """Store the resources as the newest snapshot, unless they equal it.

    `resources` are as `contract.conform` returns them, `aliases` have the columns of `contract.ALIASES`, `unread`
    holds the URL IDs of workbooks whose elements are missing, `unlisted` the types of which nothing could be listed.
    What is gone from Sigma is kept as `history` says.
    Raises `ResourcesRefused` for an empty snapshot after a non-empty one: a broken upstream must not turn every
    impression into an unmatched one.
    """
    registry = tables.open(RESOURCE_SNAPSHOTS)
    newest = newest_snapshot(registry, now)
    elements = resources.filter(pl.col("resource_type") == ELEMENT).height
    workbooks = resources.height - elements
    if newest is not None and resources.is_empty() and newest["workbooks"]:
        raise ResourcesRefused(
            f"{read_from} holds no resources, and the snapshot before held {newest['workbooks']} workbooks. "
            "The last snapshot stays in use; check the upstream Sigma integration."
        )
    named = pl.DataFrame(schema=ALIASES) if aliases is None else aliases
    before = _state(tables, newest["snapshot_id"] if newest else "", newest["taken_at"] if newest else now)
    state = carry_over(resources, named, before, unread, now, unlisted=unlisted)
    vanished = state.history["vanished_at"].count()
    content_digest = _content_digest(state)
    if newest is not None and newest["content_digest"] == content_digest:
        return CapturedSnapshot(newest["snapshot_id"], False, workbooks, elements, vanished)
    rows = {SIGMA_RESOURCES: state.resources, RESOURCE_HISTORY: state.history, WORKBOOK_ALIASES: state.aliases}
    registered = {
        "taken_at": now,
        "content_digest": content_digest,
        "workbooks": workbooks,
        "elements": elements,
        "read_from": read_from,
    }
    snapshot_id = keep_snapshot(tables, registry, rows, registered)
    return CapturedSnapshot(snapshot_id, True, workbooks, elements, vanished)


def _state(tables: Tables, snapshot_id: str, taken_at: datetime) -> State:
    """What a stored snapshot holds; empty for one that does not exist.

    A snapshot of a version that kept no history counts as the first that has seen its resources.
    """
    resources = snapshot_rows(tables, SIGMA_RESOURCES, snapshot_id)
    history = snapshot_rows(tables, RESOURCE_HISTORY, snapshot_id)
    if history.is_empty():
        history = resources.select(
            *KEY, first_seen_at=pl.lit(taken_at), vanished_at=pl.when("is_deleted").then(pl.lit(taken_at))
        ).cast(dict(history.schema))  # type: ignore[arg-type]
    return State(resources, history, snapshot_rows(tables, WORKBOOK_ALIASES, snapshot_id))


def _content_digest(state: State) -> str:
    """A digest of what the metrics depend on."""
    content = state.resources.write_ndjson() + state.aliases.select(*ALIASES).write_ndjson()
    return digest([content], 64)
