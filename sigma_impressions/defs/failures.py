"""Turn the errors that an operator can mend into clear Dagster failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from sigma_impressions.exports.objects import StoreError
from sigma_impressions.metrics.as_of import ConservationError
from sigma_impressions.source import SettingsError
from sigma_impressions.storage import StorageError
from sigma_impressions.tables import TablesError
from sigma_impressions.upstream.contract import ResourcesRefused
from sigma_impressions.upstream.snapshot_file import ResourcesUnreadable


@contextmanager
def clear_failures() -> Iterator[None]:
    """Inside, an error that says what to do fails the step with just that message, without a traceback.

    A step is retried only where another try can help: not for settings, refused resources, or a sum that does
    not add up.
    """
    try:
        yield
    except (StoreError, StorageError) as error:
        raise dg.Failure(str(error)) from None
    except (SettingsError, TablesError, ResourcesRefused, ResourcesUnreadable, ConservationError) as error:
        raise dg.Failure(str(error), allow_retries=False) from None
