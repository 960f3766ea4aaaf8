"""The sensor `alerts`: failed runs and red checks, posted once each to the webhook that is set."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

import dagster as dg

from sigma_impressions.defs.failures import tick
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import TRIGGER_TAG, days_of_run, failure_of, pipeline_runs
from sigma_impressions.texts import plain
from sigma_impressions.webhook import send_alerts

ALERTS_NAME = "alerts"

_NEWEST = 50
"""How many failed runs, and evaluations of each check, a tick looks at."""

_Describe = Callable[[], str]


def build_alerts(
    job_name: str,
    assets: Collection[dg.AssetKey],
    checks: Collection[dg.AssetCheckKey],
    names: Names = PLAIN_NAMES,
) -> dg.SensorDefinition:
    """The sensor `alerts`, running from the start."""

    @dg.sensor(
        name=names.name(ALERTS_NAME),
        required_resource_keys={names.resource},
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Posts failed runs over these assets, and their checks that are red (severity ERROR), once each to the "
            "webhook in SIGMA_IMPRESSIONS_ALERT_WEBHOOK. Begins with what happens after its first tick."
        ),
    )
    @tick
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = names.settings_of(context.resources)
        found = {"runs": _failed_runs(context.instance, job_name, assets)}
        for check in checks:
            found[check.to_user_string()] = _red_evaluations(context.instance, check)
        remembered = _remembered(context.cursor)
        new = [text() for name, texts in found.items() for text in _new(texts, remembered.get(name))]
        if new and settings.alert_webhook:
            send_alerts(settings.alert_webhook, settings.name, new)
        # Saved only after everything was taken: a webhook that fails leaves the alerts to the next tick.
        cursor = json.dumps({name: _to_remember(texts, remembered.get(name)) for name, texts in found.items()})
        said = f"{len(new)} alert{'' if len(new) == 1 else 's'} sent." if new else "Nothing new."
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    return alerts


def _failed_runs(instance: dg.DagsterInstance, job_name: str, assets: Collection[dg.AssetKey]) -> dict[int, _Describe]:
    """The newest failed runs over the assets: what to post, by an ID that grows."""
    records = pipeline_runs(instance, job_name, assets, [dg.DagsterRunStatus.FAILURE], _NEWEST)
    return {record.storage_id: partial(_failure, instance, record.dagster_run) for record in records}


def _failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    days = days_of_run(run.tags)
    period = f" over {days[0]} to {days[1]}" if days else ""
    trigger = f" (started by: {run.tags[TRIGGER_TAG]})" if TRIGGER_TAG in run.tags else ""
    failure = failure_of(instance, run.run_id)
    where = f"Step {failure.step}: " if failure.step else ""
    reason = failure.said or "its log in the Dagster UI has the reason."
    return f"Run {run.run_id}{period}{trigger} failed. {where}{reason}"


def _red_evaluations(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dict[int, _Describe]:
    """The newest evaluations of a check that are red: what to post, by an ID that grows."""
    found: dict[int, _Describe] = {}
    for record in instance.event_log_storage.get_asset_check_execution_history(check, limit=_NEWEST):
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue
        evaluation = event.asset_check_evaluation_data
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
            found[record.id] = partial(_redness, evaluation, record.run_id)
    return found


def _redness(evaluation: dg.AssetCheckEvaluation, run_id: str) -> str:
    run = f" Run {run_id}." if run_id else ""
    said = plain(evaluation.description or "Its metadata in the Dagster UI has the figures.")
    return f"Check {evaluation.check_name} of {evaluation.asset_key.to_user_string()} is red. {said}{run}"


def _remembered(cursor: str | None) -> Mapping[str, Sequence[int]]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _new(texts: Mapping[int, _Describe], remembered: Sequence[int] | None) -> Iterable[_Describe]:
    """What to post, oldest first; nothing at the first tick. What is older than all remembered was posted once."""
    if remembered is None:
        return []
    floor = remembered[0] if len(remembered) >= _NEWEST else 0
    return [texts[key] for key in sorted(texts) if key > floor and key not in remembered]


def _to_remember(texts: Iterable[int], remembered: Sequence[int] | None) -> list[int]:
    return sorted({*texts, *(remembered or ())})[-_NEWEST:]
