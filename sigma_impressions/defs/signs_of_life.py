"""Signs of life: a run says every minute that it is there, whoever has launched it, and wherever its steps run.

Dagster's daemon asks the launchers of its own how their runs are, and not all of them know when a machine is gone.
Who looks at the signs is in `silence.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import dagster as dg

ALIVE_TAG: Final = "sigma_impressions/alive_at"
"""When a process that executes steps of the run has last said that it is there, by its own clock; and `ENDED`."""

ENDED: Final = "/ended"
"""Stands behind the last sign of a process, which has done what it had to: the run, or one step of several."""

_SECONDS_BETWEEN_SIGNS: Final = 60.0


@contextmanager
def signs_of_life(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Give signs of life of a run, the later ones from another thread, until the caller is done, or its process dies.

    The first one is there before anything else is done: Dagster keeps all tags of a run in one text, so that of two
    threads that add some at the same time one may undo what the other has added.
    """
    done = threading.Event()

    def give(end: str = "") -> None:
        try:
            instance.add_run_tags(run_id, {ALIVE_TAG: datetime.now(UTC).isoformat(timespec="milliseconds") + end})
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
        give(ENDED)
