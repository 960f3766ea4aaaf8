"""What the metrics for operators tell of runs, for the command that writes them: no run is under way that knows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sigma_impressions.destinations.prometheus import LastRun, Recorded
from sigma_impressions.instance import instance_to_read
from sigma_impressions.settings.declared import Settings


def read_for_metrics(settings: Settings, home: Path, report: Callable[[str], None]) -> Recorded:
    """What the Dagster instance in `home` has recorded; `report` is told what cannot be told."""
    with instance_to_read(home) as instance:
        if instance is None:
            return Recorded()
        # Only here: without an instance Dagster's modules need not be loaded.
        from sigma_impressions.defs.prometheus import recorded_of
        from sigma_impressions.status.recorded import read_recorded

        recorded, _ = read_recorded(instance, datetime.now(UTC))
        # One whose process is gone counts as under way until the next run notes it.
        died = next((run for run in recorded.under_way if run.outcome == "died"), None)
        last = died or recorded.last_run
        run = LastRun(last.started_at, last.ended_at, last.outcome == "succeeded") if last else None
        return recorded_of(instance, settings, run, recorded.last_success_at, report)
