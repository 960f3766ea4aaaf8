"""What surrounds the work of every step and tick: what Dagster makes of an error (`errors.py`), whose the files are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import TypeVar

import dagster as dg
from dagster._grpc.utils import default_schedule_grpc_timeout, default_sensor_grpc_timeout

from sigma_impressions.errors import OperatorError
from sigma_impressions.owner_only import for_owner_only
from sigma_impressions.waiting import TooSlow, within

Context = TypeVar("Context", dg.SensorEvaluationContext, dg.ScheduleEvaluationContext)
T = TypeVar("T")


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


_SHARE_OF_THE_LIMIT = 0.75
"""How much of the time that Dagster gives to a tick may pass before it is ended here, where the cause is known."""


@contextmanager
def clear_ticks() -> Iterator[None]:
    """As `clear_failures`, for the tick of a sensor or schedule."""
    try:
        with for_owner_only():
            yield
    except OperatorError as error:
        raise TickFailed(str(error)) from None


def tick(evaluate: Callable[[Context], T]) -> Callable[[Context], T]:
    """The evaluation of a sensor or schedule, within `clear_ticks`, and ended before Dagster ends it.

    Dagster would only say that the code location could not be reached.
    """

    def evaluated(context: Context) -> T:
        with clear_ticks():
            return evaluate(context)

    @wraps(evaluate)
    def timely(context: Context) -> T:
        is_schedule = isinstance(context, dg.ScheduleEvaluationContext)
        limit = default_schedule_grpc_timeout() if is_schedule else default_sensor_grpc_timeout()
        seconds = limit * _SHARE_OF_THE_LIMIT
        try:
            return within(seconds, partial(evaluated, context))
        except TooSlow as slow:
            waited_for = slow.waited_for or "this machine, or Dagster's storage"
            variable = f"DAGSTER_{'SCHEDULE' if is_schedule else 'SENSOR'}_GRPC_TIMEOUT_SECONDS"
            raise TickFailed(
                f"Ended after {seconds:.0f} s, still waiting for {waited_for}. Check the network, and whether it "
                f"answers; the next tick tries again. Dagster gives a tick {limit} s: where it only needs longer, set "
                f"{variable} for all processes of Dagster"
            ) from None

    return timely
