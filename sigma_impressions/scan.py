"""Run the Dagster job over some days in this process, recorded on the Dagster instance."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._utils.interrupts import capture_interrupts

from sigma_impressions.console import Progress
from sigma_impressions.dagster_ui import LOCATION
from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.compute_logs import compute_logs_apart
from sigma_impressions.defs.export_checks import NORMALIZED_CHECKS
from sigma_impressions.defs.interrupted import CancelsInterrupted
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
from sigma_impressions.findings import Days, Evaluation, Finding, findings
from sigma_impressions.instance import opened_instance
from sigma_impressions.interrupts import end_if_interrupted, hangup_as_ctrl_c
from sigma_impressions.texts import plain, printable
from sigma_impressions.windows import MAX_DAYS_BACK

_IN_THE_UI = {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{LOCATION}"}
"""By it the UI lists a run with its job. Its timeline shows what it has launched itself only."""

_OF_DAYS = frozenset(check.name for check in NORMALIZED_CHECKS if check.of_days)


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
    """How a run over some days ended: why it failed if it did, and what the checks that block nothing said."""

    run_id: str
    days: Days
    failure: str | None
    evaluations: tuple[Evaluation, ...]


@dataclass
class Scanned:
    """What has come of the runs of a command until now."""

    runs: list[ScanResult] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why the last run failed, in the last lines what to do; None if it did not."""
        if not self.runs or self.runs[-1].failure is None:
            return None
        return f"Run {self.runs[-1].run_id} failed; its log is in the Dagster UI.\n{self.runs[-1].failure}"

    @property
    def findings(self) -> list[Finding]:
        """What checks that did not pass say, each once."""
        return findings([evaluation for run in self.runs for evaluation in run.evaluations])

    def as_json(self) -> dict[str, Any]:
        """The runs and the findings as part of a JSON object."""
        runs = [
            {"run_id": run.run_id, "days": list(map(str, run.days)), "succeeded": run.failure is None}
            for run in self.runs
        ]
        return {"runs": runs, "findings": [finding.as_json() for finding in self.findings]}


def scan_all(
    progress: Progress,
    dagster_home: Path,
    chunks: Sequence[Sequence[date]],
    options: ScanOptions,
    trigger: str,
    *,
    scanned: Scanned | None = None,
) -> Scanned:
    """One run per chunk of days, oldest first, until one fails.

    What comes of them is put into `scanned`, where it also is if the command is interrupted.
    """
    scanned = scanned or Scanned()
    with _shown(progress, dagster_home) as (definitions, instance):
        for number, days in enumerate(chunks, 1):
            progress.run_begins(days, number, len(chunks))
            scanned.runs.append(scan(definitions, instance, days, options, trigger, more_follows=number < len(chunks)))
            if scanned.failure is not None:
                break
    return scanned


@dataclass(frozen=True)
class Maintained:
    """How a run of the maintenance ended: why it failed if it did, else how much it did of what."""

    run_id: str
    failure: str | None
    figures: Mapping[str, int]


def maintain_all(progress: Progress, dagster_home: Path, options: Mapping[str, Any]) -> Maintained:
    """Run the maintenance job; `options` are those of the asset's run configuration."""
    with _shown(progress, dagster_home) as (definitions, instance):
        ops = {MAINTENANCE_ASSET: {"config": dict(options)}}
        progress.run_begins()
        result = _execute(definitions, instance, MAINTENANCE_JOB_NAME, {TRIGGER_TAG: "cli maintain"}, ops)
    said = [event.materialization.metadata for event in result.get_asset_materialization_events()]
    figures = {name: it.value for of_asset in said for name, it in of_asset.items() if isinstance(it.value, int)}
    return Maintained(result.run_id, None if result.success else _failure(result), figures)


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
def _shown(progress: Progress, dagster_home: Path) -> Iterator[tuple[dg.Definitions, dg.DagsterInstance]]:
    """The definitions, whose runs show their progress, and the Dagster instance to run them on."""
    with _instance(dagster_home) as instance:
        logger = progress.logger_definition(CancelsInterrupted(instance))
        definitions = build_definitions(loggers={"console": logger})
        # All that is there now stays: modules, most of all. So no collection looks at it, that at the end of the
        # process neither.
        gc.freeze()
        with compute_logs_apart(), progress.shown():
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
    evaluations = tuple(
        Evaluation(
            asset=check.asset_key.to_user_string(),
            check=check.check_name,
            severity=check.severity.value,
            passed=check.passed,
            text=plain(check.description or "did not pass"),
            days=(days[0], days[-1]),
            of_days=check.check_name in _OF_DAYS,
        )
        for check in _checks(result)
        if not check.blocking
    )
    return ScanResult(result.run_id, (days[0], days[-1]), None if result.success else _failure(result), evaluations)


def _execute(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, tags: Mapping[str, str], ops: dict[str, Any]
) -> dg.ExecuteInProcessResult:
    end_if_interrupted()
    # What comes between two steps ends the next one; a run that was interrupted ends as any that failed.
    with capture_interrupts(), hangup_as_ctrl_c():
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            tags={**tags, **_IN_THE_UI, PROCESS_TAG: f"{socket.gethostname()}/{os.getpid()}"},
            # The logger is named, so that that of the definitions is used; without, Dagster takes one of its own.
            run_config={"loggers": {"console": {}}, "ops": ops},
            raise_on_error=False,
        )
    end_if_interrupted()
    return result


def _checks(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == dg.DagsterEventType.ASSET_CHECK_EVALUATION.value
    ]


def _failure(result: dg.ExecuteInProcessResult) -> str:
    """What blocking checks say, or a failed step: the operator's sentence, or the innermost error, on a line."""
    # Dagster's own message of it names the check alone.
    if blocked := [check for check in _checks(result) if check.blocking and not check.passed]:
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
