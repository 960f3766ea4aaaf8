"""The facts as bytes: columns of fixed width, cut into planes of bytes, which compress well and are read at once.

All lowest bytes of a column come first, then all second ones, and so on. A pair of a workbook and a person has the
place of the person, in three planes, and its number of days, in one; a fact has its day, in one plane, and its
impressions, in four. Pairs are in the order of their workbooks, then people: of a person it is the distance from the
one before that is written, of the first person of a workbook the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

_PERSON_BYTES, _COUNT_BYTES, _DAY_BYTES, _IMPRESSION_BYTES = 3, 1, 1, 4


@dataclass(frozen=True)
class PackedFacts:
    """The `bytes` of the facts, how many `pairs` and `facts` they are, and the pairs of each workbook that has any."""

    bytes: bytes
    pairs: int
    facts: int
    pairs_of_workbooks: pl.DataFrame


def pack_facts(rows: pl.DataFrame) -> PackedFacts:
    """The rows of `Facts`, packed."""
    pairs = rows.group_by("workbook_no", "person_no", maintain_order=True).agg(days=pl.len())
    before = pl.col("person_no").shift(fill_value=0).over("workbook_no")
    distances = pairs.select(pl.col("person_no") - before).to_series()
    return PackedFacts(
        b"".join(
            [
                _planes(distances, _PERSON_BYTES),
                _planes(pairs["days"], _COUNT_BYTES),
                _planes(rows["day"], _DAY_BYTES),
                _planes(rows["impressions"], _IMPRESSION_BYTES),
            ]
        ),
        pairs.height,
        rows.height,
        pairs.group_by("workbook_no").agg(pairs=pl.len()),
    )


def _planes(numbers: pl.Series, count: int) -> bytes:
    """The `count` lower bytes of numbers, the lowest ones of all numbers first."""
    whole = numbers.to_numpy().astype("<u4").view(np.uint8).reshape(-1, 4)
    return whole[:, :count].T.tobytes()
