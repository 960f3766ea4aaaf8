"""What one step of a run has grouped and the next would group again, kept in memory in between.

The newest as-of date is computed and then published, by the same process as a rule: both need who viewed what in 60
days, which is most of the work of each. In another process it is grouped again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sigma_impressions.lake.schemas import DAILY_IMPRESSIONS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.grouping import Grouped


@dataclass(frozen=True)
class Inputs:
    """What something is grouped from: a storage at an edition, and an as-of date with the fingerprint of its inputs."""

    storage: str
    edition: str
    as_of: date
    fingerprint: str

    @staticmethod
    def of(tables: Tables, edition: str, as_of: date, fingerprint: str) -> Inputs:
        """Those of a storage whose `edition` was read before anything else."""
        return Inputs(tables.location(DAILY_IMPRESSIONS), edition, as_of, fingerprint)


_kept: dict[str, tuple[Inputs, Grouped]] = {}
"""By storage, of one as-of date each."""


def keep(inputs: Inputs, grouped: Grouped) -> None:
    """Keep what is grouped, in the place of what is kept of the same storage."""
    _kept[inputs.storage] = inputs, grouped


def taken(inputs: Inputs) -> Grouped | None:
    """What is kept of a storage, if it is of these inputs; it is not kept any longer."""
    of, grouped = _kept.pop(inputs.storage, (None, None))
    return grouped if of == inputs else None
