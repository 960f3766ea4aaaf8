"""Which runs have given no sign of life for so long that nobody has to wait for them any more."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import dagster as dg
from dagster._core.execution.stats import StepEventStatus
from dagster._core.snap import JobSnap

from sigma_impressions.clock import minute
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.defs.signs_of_life import ALIVE_TAG, ENDED

SILENCE: Final = timedelta(minutes=5)
"""How long a run may give no sign once a process of it has given one, until that has done what it had to."""

SILENCE_BETWEEN_STEPS: Final = timedelta(minutes=30)
"""The same while there is none: where steps are executed by workers, the next one may wait for one of them."""

_CERTAIN_SILENCE: Final = timedelta(hours=6)
"""The same by the clock, for who looks for the first time; more than clocks differ."""

_LONGEST_BETWEEN_LOOKS: Final = 120.0
"""How many seconds count that have passed since the last look: who could not look before, because Dagster's storage
was away or this machine asleep, does not know that there was no sign, and the run could give none either."""

_BEFORE_THE_FIRST_SIGN: Final = {dg.DagsterEventType.RUN_START, dg.DagsterEventType.RESOURCE_INIT_STARTED}
"""Events of a process that is there; where steps are handed to workers, another event tells of that."""


class _Seen(NamedTuple):
    sign: str
    silent: float
    """For how many seconds this process has seen no other one."""
    looked: float
    """When it looked last, by `time.monotonic`."""


_seen: dict[str, _Seen] = {}
"""The last sign of each run, as this process has seen it: clocks of two machines need not agree."""


def silence_of(instance: dg.DagsterInstance, run: dg.DagsterRun, began: datetime) -> str | None:
    """What to say of a run that counts as started, since `began`, and has given no sign for too long; else None.

    Only steps that use a `SigmaSource` give signs. A run that has others too is left alone while none of these runs.
    """
    # A run that is tried again begins with the sign of the one before.
    sign, now, before = run.tags.get(ALIVE_TAG, ""), time.monotonic(), _seen.get(run.run_id)
    since = max(datetime.fromisoformat(sign.removesuffix(ENDED)), began) if sign else began
    silent = 0.0
    if before is not None and before.sign == sign:
        silent = before.silent + min(now - before.looked, _LONGEST_BETWEEN_LOOKS)
    _seen[run.run_id] = _Seen(sign, silent, now)
    watched = timedelta(seconds=silent)
    is_certain = before is None and datetime.now(UTC) - since >= _CERTAIN_SILENCE
    if not is_certain and watched < SILENCE:
        return None
    longest = _longest_silence(instance, run)
    if longest is None or not (is_certain or watched >= longest):
        return None
    return (
        f"It has given no sign of life since {minute(since)}: its process or its machine is gone, or no worker has "
        "taken its next step."
    )


def forget_others(runs: Iterable[dg.DagsterRun]) -> None:
    """Forget the signs of all runs but these, which are under way."""
    for run_id in _seen.keys() - {run.run_id for run in runs}:
        _seen.pop(run_id, None)


_known: dict[str, dict[str, bool]] = {}
"""What `_steps_by_signs` has found, by the snapshot of the job: of an instance with many others it reads each once."""


def _longest_silence(instance: dg.DagsterInstance, run: dg.DagsterRun) -> timedelta | None:
    """How long a run may give no sign, as it stands; None if it need not give any."""
    if (job := run.job_snapshot_id) is None:
        return None
    if (gives := _known.get(job)) is None:
        gives = _known[job] = _steps_by_signs(instance.get_job_snapshot(job))
    if not any(gives.values()):
        return None
    # One of several processes at once may have ended just before another one died.
    steps = instance.get_run_step_stats(run.run_id)
    if any(gives.get(step.step_key) for step in steps if step.status == StepEventStatus.IN_PROGRESS):
        return SILENCE
    if not all(gives.values()):
        # The process of a step of ours may have died, and its step failed, while those of others go on.
        return None
    has_a_process = _gives_signs(instance, run) or _is_about_to(instance, run)
    return SILENCE if has_a_process else SILENCE_BETWEEN_STEPS


def _gives_signs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the last sign of a run is its own, and was not the last word of the process that gave it."""
    sign = run.tags.get(ALIVE_TAG, ENDED)
    before = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    return not sign.endswith(ENDED) and (before is None or before.tags.get(ALIVE_TAG) != sign)


def _is_about_to(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the last that is known of a run is what comes just before a process gives its first sign."""
    newest = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    event = newest[0].event_log_entry.dagster_event if newest else None
    return event is not None and event.event_type in _BEFORE_THE_FIRST_SIGN


def _steps_by_signs(job: JobSnap) -> dict[str, bool]:
    """Of each step of a job, whether it gives signs of life."""
    resources = [resource for mode in job.mode_def_snaps for resource in mode.resource_def_snaps]
    sources = {resource.name for resource in resources if resource.description == SigmaSource.__doc__}
    ops = {op.name: not sources.isdisjoint(op.required_resource_keys) for op in job.node_defs_snapshot.op_def_snaps}
    nodes = job.dep_structure_snapshot.node_invocation_snaps
    return {node.node_name: ops.get(node.node_def_name, False) for node in nodes}
