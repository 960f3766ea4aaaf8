"""Turn the errors that an operator can mend into clear Dagster failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from sigma_impressions.clouds.objects import StoreError
from sigma_impressions.destinations.datahub import DataHubError
from sigma_impressions.lake.storage import StorageError
from sigma_impressions.lake.tables import InputsChanged, TablesError
from sigma_impressions.metrics.conservation import ConservationError
from sigma_impressions.report.read import ReportError
from sigma_impressions.settings.read import SettingsError
from sigma_impressions.upkeep.edit_users import AddressesStored
from sigma_impressions.upstream.contract import ResourcesRefused
from sigma_impressions.upstream.sigma_api import SigmaApiError, SigmaRefused
from sigma_impressions.upstream.snapshot_file import ResourcesUnreadable
from sigma_impressions.webhook import AlertsNotSent

_FOR_GOOD = (SettingsError, TablesError, AddressesStored, ResourcesRefused, ResourcesUnreadable, ConservationError)
"""Errors that another try does not mend."""


@contextmanager
def clear_failures() -> Iterator[None]:
    """Inside, an error that says what to do fails the step with just that message, without a traceback.

    A step is retried only where another try can help: not for settings, refused resources, or a sum that does
    not add up.
    """
    try:
        yield
    except SigmaRefused as error:
        raise dg.Failure(str(error), allow_retries=False) from None
    except (StoreError, StorageError, SigmaApiError, DataHubError, ReportError, InputsChanged) as error:
        raise dg.Failure(str(error)) from None
    except _FOR_GOOD as error:
        raise dg.Failure(str(error), allow_retries=False) from None


class TickFailed(dg.DagsterError):
    """A sensor or schedule cannot do its work; the message says what to do.

    Any other class would be wrapped into an error that only names the sensor, and the sentence would come last.
    """


@contextmanager
def clear_ticks() -> Iterator[None]:
    """As `clear_failures`, for the tick of a sensor or schedule."""
    try:
        yield
    except (StoreError, StorageError, AlertsNotSent, *_FOR_GOOD) as error:
        raise TickFailed(str(error)) from None
