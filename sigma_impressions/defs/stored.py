"""The tables that the steps of a run share."""

from __future__ import annotations

from typing import Protocol

from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.lake.tables import Tables
from sigma_impressions.settings.declared import Settings
from sigma_impressions.wiring import tables


class _OfRun(Protocol):
    @property
    def run_id(self) -> str: ...


_shared: dict[tuple[str, str], Tables] = {}
"""Those of the run that this process executes, by its ID and their storage location."""


def tables_of(context: _OfRun, settings: Settings) -> Tables:
    """The tables under the storage location, each of which is opened once for all steps of a run in one process.

    Each step looks anew at their data files, so that what is lost between two of them is built again.

    Not those in a bucket: what is opened keeps the credentials that were valid then, and a run may take longer.
    """
    key = (context.run_id, settings.storage)
    if (shared := _shared.get(key)) is not None:
        shared.look_again()
        return shared
    opened = tables(settings)
    if isinstance(opened.storage, LocalStorage):
        _shared.clear()
        _shared[key] = opened
    return opened
