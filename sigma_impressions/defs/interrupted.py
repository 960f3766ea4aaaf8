"""What Dagster makes of a run whose command was interrupted: one that was cancelled, not one that failed."""

from __future__ import annotations

import logging

import dagster as dg

from sigma_impressions.interrupts import interrupted_by


class CancelsInterrupted(logging.Handler):
    """Cancels the run of whose log it is part, at its next event after the command was interrupted.

    Dagster looks for that before it states how the run has ended; otherwise it would be one that failed, with an alert.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        super().__init__()
        self._instance = instance

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of Dagster's log."""
        details = getattr(record, "dagster_meta", {})
        event = details.get("dagster_event")
        if event is None or interrupted_by() is None:
            return
        run = self._instance.get_run_by_id(details["run_id"])
        if run is not None and run.status == dg.DagsterRunStatus.STARTED:
            self._instance.report_run_canceling(run)
