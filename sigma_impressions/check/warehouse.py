"""The step of the warehouse: whether it lets us in, what it holds, and whether others have changed it."""

from __future__ import annotations

from deltalake.exceptions import DeltaError

from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.settings.declared import Settings
from sigma_impressions.wiring import tables, warehouse


def check_warehouse(settings: Settings) -> Step:
    """What an export would find there, or the sentence with which it would fail; nothing is written."""
    if settings.warehouse is None:
        return Step("warehouse", None, "no tables are sent: SIGMA_IMPRESSIONS_WAREHOUSE names no database")
    # Here, as most have none.
    from sigma_impressions.destinations.warehouse.changes import refuse_changes, storage_id
    from sigma_impressions.destinations.warehouse.held import held_tables, in_words
    from sigma_impressions.destinations.warehouse.loader import opened_loader

    try:
        stored = storage_id(tables(settings))
    except (OSError, DeltaError, OperatorError):
        return Step("warehouse", None, "not tried, as the storage cannot be read")
    target = warehouse(settings)
    try:
        with temporary_folder() as folder, opened_loader(target, folder) as loader:
            loaded = loader.loaded()
            refuse_changes(loader, str(target), loaded, stored)
    except OperatorError as error:
        return Step("warehouse", False, str(error))
    return Step("warehouse", True, f"{target}: {in_words(held_tables(loaded))}")
