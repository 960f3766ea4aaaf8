"""Signs of life: a run says every minute that it is there, whoever has launched it, and wherever its steps run.

Dagster's daemon asks the launchers of its own how their runs are, and not all of them know when a machine is gone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import dagster as dg
from dagster._core.execution.stats import StepEventStatus

ALIVE_TAG: Final = "sigma_impressions/alive_at"
"""When a process that executes steps of the run has last said that it is there, by its own clock."""

_SECONDS_BETWEEN_SIGNS: Final = 60.0

SILENCE: Final = timedelta(minutes=5)
"""How long a run may give no sign while a step of it runs."""

SILENCE_BETWEEN_STEPS: Final = timedelta(minutes=30)
"""The same while none runs: where steps are executed by workers, the next one may wait for one of them."""

_CERTAIN_SILENCE: Final = timedelta(hours=6)
"""The same by the clock, for who looks too seldom to see that nothing changes; more than clocks differ."""


@contextmanager
def signs_of_life(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Give signs of life of a run, the later ones from another thread, until the caller is done, or its process dies.

    The first one is there before anything else is done: Dagster keeps all tags of a run in one text, so that of two
    threads that add some at the same time one may undo what the other has added.
    """
    done = threading.Event()

    def give() -> None:
        try:
            instance.add_run_tags(run_id, {ALIVE_TAG: datetime.now(UTC).isoformat(timespec="milliseconds")})
        except Exception as error:
            # What is wrong with Dagster's storage the steps say; the next sign may be taken again.
            logging.getLogger(__name__).warning("No sign of life could be given: %s", type(error).__name__)

    def go_on() -> None:
        while not done.wait(_SECONDS_BETWEEN_SIGNS):
            give()

    give()
    thread = threading.Thread(target=go_on, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class _Seen(NamedTuple):
    sign: str
    since: float
    """When this process saw it first, by `time.monotonic`."""


_seen: dict[str, _Seen] = {}
"""The last sign of each run, as this process has seen it: clocks of two machines need not agree."""


def silence_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """What to say of a run that counts as started and has given no sign for too long; None of one that lives.

    One that never gave any sign is not known, and may be another pipeline's.
    """
    sign = run.tags.get(ALIVE_TAG)
    if sign is None or run.status != dg.DagsterRunStatus.STARTED:
        _seen.pop(run.run_id, None)
        return None
    now = time.monotonic()
    seen = _seen.get(run.run_id)
    if seen is None or seen.sign != sign:
        seen = _seen[run.run_id] = _Seen(sign, now)
    unchanged = timedelta(seconds=now - seen.since)
    is_dead = (
        datetime.now(UTC) - datetime.fromisoformat(sign) >= _CERTAIN_SILENCE
        or unchanged >= SILENCE_BETWEEN_STEPS
        or (unchanged >= SILENCE and _is_in_a_step(instance, run))
    )
    return f"It has given no sign of life since {sign}: its process or its machine is gone." if is_dead else None


def _is_in_a_step(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    return any(step.status == StepEventStatus.IN_PROGRESS for step in instance.get_run_step_stats(run.run_id))
