"""Backfills: the runs that Dagster makes of many days, any selection of assets, and going on after a cancellation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests_with_backfill_policies
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import BACKFILL_ID_TAG

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.runs import MORE_FOLLOWS_TAG, days_of_run, more_follows, range_tags
from sigma_impressions.demo.generate import FILE_DATE_PATTERN, PREFIX, export_period, resources
from sigma_impressions.lake.schemas import AS_OF_DATES, EXPORT_FILES
from sigma_impressions.lake.tables import Tables

LAST = datetime.now(UTC).date() - timedelta(days=1)
EXPORTS = ("raw_export_files", "normalized_impressions", "daily_impressions")
METRICS = ("resource_impressions", "user_activity", "unmatched_impressions")


def days(length: int) -> list[date]:
    return [LAST - timedelta(days=age) for age in reversed(range(length))]


@pytest.mark.parametrize("names", [EXPORTS, METRICS, ("raw_export_files",), (*EXPORTS, *METRICS)])
def test_a_year_is_a_bounded_number_of_runs(names: Sequence[str], instance: dg.DagsterInstance) -> None:
    graph = build_definitions(environ={"SIGMA_IMPRESSIONS_START_DATE": "2025-01-01"}).resolve_asset_graph()
    wanted = {AssetKeyPartitionKey(dg.AssetKey(name), str(day)) for name in names for day in days(365)}
    requests = build_run_requests_with_backfill_policies(wanted, graph, instance)
    assert len(requests) == 61
    covered = [days_of_run(request.tags) for request in requests]
    assert all(found is not None and (found[1] - found[0]).days < 6 for found in covered)
    assert {found[0] for found in covered if found} == set(days(365)[::6])
    assert all(set(request.asset_selection or ()) == {dg.AssetKey(name) for name in names} for request in requests)


def run(instance: dg.DagsterInstance, of_days: Sequence[date], names: Sequence[str] | None = None) -> bool:
    """One run as a backfill launches it: a range of days, over all assets or a selection."""
    selection = None if names is None else [dg.AssetKey(name) for name in names]
    job = build_definitions().resolve_job_def(JOB_NAME)
    return job.execute_in_process(
        instance=instance, tags=range_tags(of_days), asset_selection=selection, raise_on_error=False
    ).success


def test_what_a_later_run_of_a_backfill_will_do_is_left_to_it(instance: dg.DagsterInstance) -> None:
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "repository"), JOB_NAME)

    def added(status: dg.DagsterRunStatus, parent: str | None = None, **tags: str) -> dg.DagsterRun:
        run = dg.DagsterRun(
            JOB_NAME, status=status, tags=tags, parent_run_id=parent, root_run_id=parent, remote_job_origin=origin
        )
        return instance.add_run(run)

    backfill = {BACKFILL_ID_TAG: "one"}
    of_nobody = added(dg.DagsterRunStatus.STARTED)
    first, second = (added(dg.DagsterRunStatus.STARTED, **backfill) for _ in range(2))
    added(dg.DagsterRunStatus.QUEUED, **{BACKFILL_ID_TAG: "another"})
    assert not any(more_follows(instance, run) for run in (of_nobody, first, second))
    waiting = added(dg.DagsterRunStatus.QUEUED, **backfill)
    assert not more_follows(instance, of_nobody)
    assert more_follows(instance, first) and more_follows(instance, second)
    instance.report_run_canceled(waiting)
    assert not more_follows(instance, first)
    # The command starts its runs one after the other; one that somebody runs again is alone.
    of_command = added(dg.DagsterRunStatus.STARTED, **{MORE_FOLLOWS_TAG: "true"})
    assert more_follows(instance, of_command)
    again = added(dg.DagsterRunStatus.STARTED, parent=of_command.run_id, **{MORE_FOLLOWS_TAG: "true"})
    assert not more_follows(instance, again)


@pytest.mark.slow
def test_a_cancelled_backfill_goes_on_and_old_days_keep_their_files(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, data in export_period(LAST, 10):
        s3_bucket.put(key, data)
    where = tmp_path / "sigma_resources.parquet"
    resources().write_parquet(where)
    environment = {
        **s3_bucket.environment(),
        "SIGMA_IMPRESSIONS_PROJECT": str(tmp_path),
        "SIGMA_IMPRESSIONS_BUCKET_URI": f"{s3_bucket.uri}{PREFIX}",
        "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
        "SIGMA_IMPRESSIONS_RESOURCES": str(where),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stored = Tables(tmp_path / "data")
    first, second = days(10)[:6], days(10)[6:]

    def captured() -> dict[str, str]:
        files = stored.read(EXPORT_FILES).collect()
        return dict(zip(files["file_id"], files["capture_id"], strict=True))

    # The newer chunk comes first, as it may; then the backfill is cancelled before the older one.
    assert run(instance, second, EXPORTS)
    of_second = captured()
    assert of_second
    # Going on: all of it again, in the order in which Dagster splits it. What was captured is not read again.
    assert run(instance, first, EXPORTS)
    assert run(instance, second, EXPORTS)
    both = captured()
    assert of_second.items() < both.items()
    assert run(instance, days(10)[:1], ["sigma_resources"])
    assert run(instance, first, METRICS)
    assert run(instance, second, METRICS)
    assert set(stored.read(AS_OF_DATES).collect()["as_of_date"]) == set(days(10))

    # Old days again, after their objects have expired.
    before = stored.read(AS_OF_DATES).sort("as_of_date").collect()
    for entry in s3_bucket.client.list_objects_v2(Bucket=s3_bucket.name)["Contents"]:
        s3_bucket.client.delete_object(Bucket=s3_bucket.name, Key=entry["Key"])
    assert run(instance, first)
    assert captured() == both
    assert stored.read(AS_OF_DATES).sort("as_of_date").collect().equals(before)
