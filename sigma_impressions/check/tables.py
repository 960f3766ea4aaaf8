"""What is wrong with what the tables hold, if there are any: another source's exports, or a time to come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from deltalake.exceptions import DeltaError

from sigma_impressions.check.step import Step
from sigma_impressions.errors import DamagedError, OtherSource, StorageError, StoreError, TablesError
from sigma_impressions.exports.source import refuse_other_source
from sigma_impressions.lake.schemas import AS_OF_DATES, RAW_EXPORT_FILES
from sigma_impressions.settings.declared import Settings
from sigma_impressions.upkeep.future import left_in_future
from sigma_impressions.wiring import listed, source, tables


def check_tables(settings: Settings) -> Iterator[Step]:
    """A step only if something is wrong."""
    stored = tables(settings)
    # A storage that cannot be read has failed the step before, and a bucket that cannot be listed fails a step after.
    with suppress(OSError, DeltaError, StorageError, StoreError, TablesError, DamagedError):
        try:
            if stored.exists(RAW_EXPORT_FILES):
                refuse_other_source(stored, source(settings))
            held = left_in_future(stored, datetime.now(UTC), listed(settings)) if stored.exists(AS_OF_DATES) else None
        except OtherSource as error:
            yield Step("tables", False, str(error))
        else:
            if held is not None and held.sentence is not None:
                yield Step("tables", False, held.sentence)
