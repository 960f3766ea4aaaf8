"""What surrounds the work of every step and tick: what Dagster makes of an error (`errors.py`), whose the files are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from sigma_impressions.errors import OperatorError
from sigma_impressions.owner_only import for_owner_only


@contextmanager
def clear_failures() -> Iterator[None]:
    """Inside, an error that says what to do fails the step with just that message, without a traceback.

    A step is tried again only where that can help: not for settings, refused resources, or a sum that does not add
    up. What the step writes is for its owner only.
    """
    try:
        with for_owner_only():
            yield
    except OperatorError as error:
        raise dg.Failure(str(error), allow_retries=error.again) from None


class TickFailed(dg.DagsterError):
    """A sensor or schedule cannot do its work; the message says what to do.

    Any other class would be wrapped into an error that only names the sensor, and the sentence would come last.
    """


@contextmanager
def clear_ticks() -> Iterator[None]:
    """As `clear_failures`, for the tick of a sensor or schedule."""
    try:
        with for_owner_only():
            yield
    except OperatorError as error:
        raise TickFailed(str(error)) from None
