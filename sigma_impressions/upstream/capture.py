"""Keep snapshots of `sigma_resources`: a new one only when something changed, the registry last."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from sigma_impressions.tables import (
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
    Tables,
    append_rows,
    scan,
)
from sigma_impressions.upstream.contract import WORKBOOK, ResourcesRefused


@dataclass(frozen=True)
class CapturedSnapshot:
    """The newest snapshot; `is_new` if it differs from the one before and was stored now."""

    snapshot_id: str
    is_new: bool
    workbooks: int
    elements: int


def capture_snapshot(tables: Tables, resources: pl.DataFrame, read_from: str, now: datetime) -> CapturedSnapshot:
    """Store the resources as the newest snapshot, unless they equal it.

    `resources` are as `contract.conform` returns them. Raises `ResourcesRefused` for an empty snapshot after a
    non-empty one: a broken upstream must not turn every impression into an unmatched one.
    """
    registry = tables.open(RESOURCE_SNAPSHOTS)
    known = scan(registry).sort("taken_at").collect()
    newest = known.row(-1, named=True) if known.height else None
    workbooks = resources.filter(pl.col("resource_type") == WORKBOOK).height
    elements = resources.height - workbooks
    if newest is not None and resources.is_empty() and newest["workbooks"]:
        raise ResourcesRefused(
            f"{read_from} holds no resources, and the snapshot before held {newest['workbooks']} workbooks. "
            "The last snapshot stays in use; check the upstream Sigma integration."
        )
    digest = hashlib.sha256(resources.write_ndjson().encode()).hexdigest()
    if newest is not None and newest["content_digest"] == digest:
        return CapturedSnapshot(newest["snapshot_id"], False, workbooks, elements)
    snapshot_id = uuid.uuid4().hex
    rows = resources.with_columns(snapshot_id=pl.lit(snapshot_id))
    append_rows(tables.open(SIGMA_RESOURCES), SIGMA_RESOURCES, rows)
    registered = pl.DataFrame(
        [
            {
                "snapshot_id": snapshot_id,
                "taken_at": now,
                "content_digest": digest,
                "workbooks": workbooks,
                "elements": elements,
                "read_from": read_from,
            }
        ]
    )
    # Two processes may store the same snapshot at once; either is as good as the other.
    append_rows(registry, RESOURCE_SNAPSHOTS, registered)
    return CapturedSnapshot(snapshot_id, True, workbooks, elements)
