"""Run the Dagster job over some days in this process, recorded on the Dagster instance."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from sigma_impressions.console import Progress
from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.maintenance import MAINTENANCE_ASSET, MAINTENANCE_JOB_NAME
from sigma_impressions.defs.runs import (
    MORE_FOLLOWS_TAG,
    PROCESS_TAG,
    TRIGGER_TAG,
    end_dead_runs,
    range_tags,
    runs_under_way,
)
from sigma_impressions.defs.sqlite_engines import engines_kept
from sigma_impressions.instance import opened_instance
from sigma_impressions.terminal import say
from sigma_impressions.texts import plain, printable
from sigma_impressions.windows import MAX_DAYS_BACK


@dataclass(frozen=True)
class ScanOptions:
    """Options of one scan: see the assets' run configuration, which they become."""

    as_of: date | None = None
    renormalize: bool = False
    forget_missing_files: bool = False
    source_moved: bool = False

    def ops(self) -> dict[str, Any]:
        """The options as Dagster configuration of the steps."""
        as_of = {"config": {"as_of": self.as_of.isoformat()}} if self.as_of else {}
        return {
            "raw_export_files": {
                "config": {"forget_missing_files": self.forget_missing_files, "source_moved": self.source_moved}
            },
            "normalized_impressions": {"config": {"renormalize": self.renormalize}},
            "metrics": as_of,
            "sigma_impressions_database": as_of,
        }


@dataclass(frozen=True)
class ScanResult:
    """How a run ended: its ID, why it failed if it did, and what checks that did not pass, and block nothing, say."""

    run_id: str
    failure: str | None
    findings: tuple[str, ...]


def scan_all(
    console: Console,
    dagster_home: Path,
    chunks: Sequence[Sequence[date]],
    options: ScanOptions,
    trigger: str,
) -> str | None:
    """One run per chunk of days, with progress on the console, until one fails; its message, or None."""
    with _shown(console, dagster_home) as (definitions, instance):
        for number, days in enumerate(chunks, 1):
            if len(chunks) > 1:
                say(console, f"[{number}/{len(chunks)}] {days[0]} to {days[-1]}")
            result = scan(definitions, instance, days, options, trigger, more_follows=number < len(chunks))
            for finding in result.findings:
                say(console, f"Check: {finding}", "yellow")
            if result.failure is not None:
                return f"{result.failure}\nRun {result.run_id} failed; its log is in the Dagster UI."
    return None


def maintain_all(console: Console, dagster_home: Path, options: Mapping[str, Any]) -> str | None:
    """Run the maintenance job, with progress on the console; its message if it failed, or None.

    `options` are those of the asset's run configuration.
    """
    with _shown(console, dagster_home) as (definitions, instance):
        ops = {MAINTENANCE_ASSET: {"config": dict(options)}}
        result = _execute(definitions, instance, MAINTENANCE_JOB_NAME, {TRIGGER_TAG: "cli maintain"}, ops)
    return None if result.success else _failure(result)


def refuse_under_way(dagster_home: Path) -> str | None:
    """Why stored rows cannot be edited now: a run of the Dagster instance is under way; None if there is none."""
    with _instance(dagster_home) as instance:
        found = runs_under_way(instance)
    return (
        f"{len(found)} runs are under way, for example {found[0]}. Wait until they have ended, and let none start."
        if found
        else None
    )


@contextmanager
def _instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a folder, on which the runs of dead processes have ended."""
    with engines_kept(), opened_instance(dagster_home) as instance:
        end_dead_runs(instance)
        yield instance


@contextmanager
def _shown(console: Console, dagster_home: Path) -> Iterator[tuple[dg.Definitions, dg.DagsterInstance]]:
    """The definitions, whose runs show their progress on the console, and the Dagster instance to run them on."""
    progress = Progress(console)
    definitions = build_definitions(loggers={"console": progress.logger_definition()})
    # All that is there now stays: modules, most of all. So no collection looks at it, that at the end of the process
    # neither.
    gc.freeze()
    with _instance(dagster_home) as instance, progress.shown():
        yield definitions, instance


def scan(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    days: Sequence[date],
    options: ScanOptions,
    trigger: str,
    *,
    more_follows: bool = False,
) -> ScanResult:
    """Run the job over consecutive days (at most six), oldest first in `days`; `more_follows` if others come then."""
    tags = {**range_tags(days), TRIGGER_TAG: trigger, **({MORE_FOLLOWS_TAG: "true"} if more_follows else {})}
    result = _execute(definitions, instance, JOB_NAME, tags, options.ops())
    findings = (
        f"{check.asset_key.to_user_string()}, {check.check_name}: {plain(check.description or 'did not pass')}"
        for check in _failed_checks(result)
        if not check.blocking
    )
    return ScanResult(result.run_id, None if result.success else _failure(result), tuple(findings))


def _execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], ops: dict[str, Any]
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance,
        tags={**tags, PROCESS_TAG: f"{socket.gethostname()}/{os.getpid()}"},
        # The logger is named, so that that of the definitions is used; without, Dagster takes one of its own.
        run_config={"loggers": {"console": {}}, "ops": ops},
        raise_on_error=False,
    )


def _failed_checks(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
        and not event.asset_check_evaluation_data.passed
    ]


def _failure(result: dg.ExecuteInProcessResult) -> str:
    """What blocking checks say, or a failed step: the operator's sentence, or the innermost error, on a line."""
    # Dagster's own message of it names the check alone.
    if blocked := [check for check in _failed_checks(result) if check.blocking]:
        return "; ".join(f"{check.check_name}: {plain(check.description or 'did not pass')}" for check in blocked)
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        if data.user_failure_data is not None and data.user_failure_data.description:
            return str(data.user_failure_data.description)
        error = data.error
        while error is not None and error.cause is not None:
            error = error.cause
        reason = printable(error.message.strip()) if error is not None else "unknown error"
        return f"{event.step_key}: {reason}"
    return "The run did not finish; see its log in the Dagster UI"


def chunks(first: date, last: date, size: int = MAX_DAYS_BACK) -> Iterator[list[date]]:
    """The days from `first` to `last`, both included, in runs of consecutive days."""
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    for start in range(0, len(days), size):
        yield days[start : start + size]
