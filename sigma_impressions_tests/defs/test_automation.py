"""The sensor and the schedule: stopped at first, and what they do over a real bucket, tables and instance."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from sigma_impressions.check.source import check_source
from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.failures import TickFailed
from sigma_impressions.defs.runs import (
    DAYS_TAG,
    PROCESS_TAG,
    REQUEST_TAG,
    SOURCE_TAG,
    TRIGGER_TAG,
    days_of_run,
    range_tags,
    requested_runs,
    scan_runs,
)
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.demo.generate import resources
from sigma_impressions.demo.object_store import EmbeddedObjectStore
from sigma_impressions.lake.schemas import ALL_TABLES, AS_OF_DATES, EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.scan import ScanOptions, scan
from sigma_impressions.settings.read import environment_values
from sigma_impressions_tests.conftest import LISTER, READER, new_bucket

TODAY = datetime.now(UTC).date()
EXPORT = b"Request Time,User Email,Workbook URL ID\n%s,a@example.com,2opi6VLEne4BaPyj00US50\n"
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


class Deployment:
    """The code location over a bucket, with tables and an instance of its own."""

    def __init__(
        self, bucket: Any, folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.bucket = bucket
        self.instance = instance
        self._monkeypatch = monkeypatch
        where = folder / "sigma_resources.parquet"
        resources().write_parquet(where)
        self.set(bucket.environment())
        self.set(
            {
                "SIGMA_IMPRESSIONS_PROJECT": str(folder),
                "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}sigma",
                "SIGMA_IMPRESSIONS_RESOURCES": str(where),
                "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
            }
        )
        self.cursor: str | None = None

    def set(self, variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def put(self, day: date, name: str = "export.csv") -> None:
        self.bucket.put(f"sigma/{day} {name}", EXPORT % f"{day} 08:00:00".encode())

    def tick(self) -> SensorExecutionData:
        repository = build_definitions().get_repository_def()
        sensor = repository.get_sensor_def("new_export_files")
        resources = {"source": SigmaSource.from_environment()}
        context = dg.build_sensor_context(self.instance, self.cursor, repository_def=repository, resources=resources)
        with context:
            result = sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return result

    def asked(self) -> Mapping[str, str] | None:
        """The tags of the run that a tick asks for."""
        requests = self.tick().run_requests or []
        assert len(requests) <= 1
        return requests[0].tags if requests else None

    def said(self) -> str:
        result = self.tick()
        assert not result.run_requests
        return str(result.skip_message)

    def run(
        self, tags: Mapping[str, str], options: ScanOptions | None = None, selection: Sequence[str] | None = None
    ) -> bool:
        job, config = build_definitions().resolve_job_def(JOB_NAME), {"ops": options.ops() if options else {}}
        done = job.execute_in_process(
            config,
            instance=self.instance,
            tags=dict(tags),
            asset_selection=[dg.AssetKey(name) for name in selection] if selection else None,
            raise_on_error=False,
        )
        return done.success


# --- As they are defined ------------------------------------------------------------------------------------


def test_they_are_stopped_until_somebody_switches_them_on() -> None:
    repository = build_definitions(environ={}).get_repository_def()
    assert {each.name for each in repository.schedule_defs} == {"daily_scan", "weekly_digest"}
    schedule = repository.get_schedule_def("daily_scan")
    assert {each.name for each in repository.sensor_defs} == {"new_export_files", "staleness"}
    assert repository.get_sensor_def("staleness").default_status == dg.DefaultSensorStatus.STOPPED
    sensor = repository.get_sensor_def("new_export_files")
    assert (sensor.name, sensor.default_status) == ("new_export_files", dg.DefaultSensorStatus.STOPPED)
    assert (schedule.name, schedule.default_status) == ("daily_scan", dg.DefaultScheduleStatus.STOPPED)
    assert schedule.execution_timezone == "UTC"
    assert sensor.job_name == schedule.job_name == JOB_NAME


@pytest.mark.parametrize(
    ("text", "cron"), [("", "0 6 * * *"), (" 30 3 * * 1-5", "30 3 * * 1-5"), ("at noon", "0 6 * * *")]
)
def test_the_time_of_the_schedule(text: str, cron: str) -> None:
    repository = build_definitions(environ={"SIGMA_IMPRESSIONS_SCHEDULE": text}).get_repository_def()
    assert repository.get_schedule_def("daily_scan").cron_schedule == cron


# --- The schedule -------------------------------------------------------------------------------------------


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    for name in [name for name in os.environ if name.startswith("SIGMA_IMPRESSIONS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://bucket/sigma")
    return build_definitions()


def evaluate(definitions: dg.Definitions, instance: dg.DagsterInstance, at: datetime) -> Any:
    repository = definitions.get_repository_def()
    resources = {"source": SigmaSource.from_environment()}
    with dg.build_schedule_context(instance, at, resources, repository_def=repository) as context:
        found = repository.get_schedule_def("daily_scan").evaluate_tick(context)
        return found.run_requests[0] if found.run_requests else found


AT = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)


def test_the_schedule_asks_for_one_run_over_the_days_back(
    scheduled: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    request = evaluate(scheduled, instance, AT)
    assert request.tags == {
        "dagster/schedule_name": "daily_scan",
        RANGE[0]: "2026-11-21",
        RANGE[1]: "2026-11-23",
        SOURCE_TAG: "s3://bucket/sigma/",
        TRIGGER_TAG: "schedule",
        DAYS_TAG: "2026-11-21 to 2026-11-23",
    }


def test_the_schedule_keeps_to_the_settings(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://bucket/sigma")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_DAYS_BACK", "6")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_START_DATE", "2026-11-20")
    assert evaluate(build_definitions(), instance, AT).tags[RANGE[0]] == "2026-11-20"
    monkeypatch.setenv("SIGMA_IMPRESSIONS_START_DATE", "2026-11-24")
    assert "lies in the future" in evaluate(build_definitions(), instance, AT).skip_message
    monkeypatch.setenv("SIGMA_IMPRESSIONS_SCHEDULE", "at noon")
    with pytest.raises(TickFailed, match="SIGMA_IMPRESSIONS_SCHEDULE: 'at noon' is not a cron expression"):
        evaluate(build_definitions(), instance, AT)


def started(
    instance: dg.DagsterInstance, tags: Mapping[str, str], status: str = "STARTED", job_name: str = JOB_NAME
) -> str:
    @dg.job(name=job_name)
    def nothing() -> None:
        pass

    return instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus(status)).run_id


def test_the_schedule_leaves_out_its_turn_while_all_its_days_are_scanned(
    scheduled: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    started(instance, range_tags([date(2026, 11, 22), date(2026, 11, 23)]))
    assert isinstance(evaluate(scheduled, instance, AT), dg.RunRequest)
    other = started(instance, {"dagster/partition": "2026-11-21"}, "STARTING")
    skipped = evaluate(scheduled, instance, AT)
    assert "2026-11-21 to 2026-11-23 are being scanned already" in skipped.skip_message
    assert other in skipped.skip_message


def test_the_schedule_scans_days_again_that_a_run_may_have_listed_too_early(
    scheduled: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    started(instance, range_tags([date(2026, 11, 21), date(2026, 11, 22)]))
    request = evaluate(scheduled, instance, AT)
    assert (request.tags[RANGE[0]], request.tags[RANGE[1]]) == ("2026-11-21", "2026-11-23")


# --- Runs of the instance -----------------------------------------------------------------------------------


def test_runs_over_days_are_found_whoever_started_them(instance: dg.DagsterInstance) -> None:
    of_days = range_tags([date(2026, 11, 22), date(2026, 11, 23)])
    by_job = started(instance, of_days)
    started(instance, of_days, job_name="somebody_elses")
    started(instance, {"dagster/partition": "not a day"})
    started(instance, {})
    started(instance, of_days, "NOT_STARTED")
    ended = started(instance, {**of_days, REQUEST_TAG: "abc"}, "FAILURE")
    keys = {dg.AssetKey("raw_export_files")}

    @dg.asset(name="raw_export_files")
    def asset() -> None:
        pass

    implicit = dg.define_asset_job("__UI", selection=[asset])
    job = dg.Definitions([asset], jobs=[implicit]).resolve_job_def("__UI")
    by_asset = instance.create_run_for_job(
        job, tags=of_days, status=dg.DagsterRunStatus.STARTING, asset_selection=frozenset(keys)
    ).run_id
    found = {run.run_id: run for run in scan_runs(instance, JOB_NAME, keys)}
    assert {run_id: run.state for run_id, run in found.items()} == {
        by_job: "under way",
        by_asset: "under way",
        ended: "failed",
    }
    assert (found[by_job].first, found[by_job].last) == (date(2026, 11, 22), date(2026, 11, 23))
    assert abs(found[by_job].created - datetime.now(UTC)) < timedelta(minutes=1)
    assert [run.run_id for run in requested_runs(instance, JOB_NAME, "abc")] == [ended]
    assert days_of_run({"dagster/partition": "2026-11-23"}) == (date(2026, 11, 23), date(2026, 11, 23))


# --- The sensor over a real store ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_sensor_sees_files_until_a_run_has_brought_them_to_the_metrics(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployment(s3_bucket, tmp_path, instance, monkeypatch)
    deployed.put(days_ago(1))
    deployed.put(days_ago(20), "old.csv")
    tags = deployed.asked()
    assert tags is not None
    assert (tags[RANGE[0]], tags[RANGE[1]], tags[TRIGGER_TAG]) == (str(days_ago(1)), str(days_ago(1)), "sensor")
    assert tags[SOURCE_TAG] == f"{s3_bucket.uri}sigma/"
    assert tags[DAYS_TAG] == str(days_ago(1))

    # While the run is under way, also one of somebody else, it waits.
    run = started(instance, tags)
    assert f"Waiting for run {run}" in deployed.said()
    instance.report_run_failed(instance.get_run_by_id(run))
    assert "The next try is at" in deployed.said()
    instance.delete_run(run)

    # A run that captures, and fails before the metrics.
    deployed.set({"SIGMA_IMPRESSIONS_RESOURCES": str(tmp_path / "gone.parquet")})
    assert not deployed.run(tags)
    assert "no run has brought them to the metrics yet" in deployed.said()
    deployed.set({"SIGMA_IMPRESSIONS_RESOURCES": str(tmp_path / "sigma_resources.parquet")})
    for record in instance.get_run_records():
        instance.delete_run(record.dagster_run.run_id)
    again = deployed.asked()
    assert again is not None
    assert deployed.run(again)
    said = deployed.said()
    assert "All of them are captured." in said
    assert f"sigma-impressions backfill --from {days_ago(20)} --to {days_ago(20)}" in said

    # A run that nobody asked the sensor for.
    deployed.put(TODAY)
    assert scan(build_definitions(), instance, [days_ago(1), TODAY], ScanOptions(), "test").failure is None
    assert "All of them are captured." in deployed.said()
    assert deployed.cursor is not None
    assert None not in json.loads(deployed.cursor)["days"].values()


@pytest.mark.slow
def test_the_sensor_does_not_wait_for_a_killed_run(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    deployed = Deployment(s3_bucket, tmp_path, instance, monkeypatch)
    deployed.put(TODAY)
    started(instance, {**range_tags([TODAY]), PROCESS_TAG: f"{socket.gethostname()}/{ended.pid}"})
    assert deployed.asked() is not None


@pytest.mark.slow
def test_the_sensor_reads_google_cloud_storage(
    gcs_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployment(gcs_bucket, tmp_path, instance, monkeypatch)
    deployed.put(days_ago(2))
    tags = deployed.asked()
    assert tags is not None
    assert deployed.run(tags)
    assert "All of them are captured." in deployed.said()
    # Now it lists from the first day of the look-back on.
    assert json.loads(deployed.cursor or "")["partial_ticks"] > 0
    deployed.put(TODAY)
    assert (deployed.asked() or {}).get(RANGE[0]) == str(TODAY)


@pytest.mark.slow
def test_a_denied_listing_fails_the_tick_with_what_to_grant(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployment(s3_bucket, tmp_path, instance, monkeypatch)
    deployed.set(s3_bucket.environment(READER))
    with pytest.raises(
        TickFailed, match=r"Access denied: listing s3://.* needs the permission s3:ListBucket"
    ) as caught:
        deployed.tick()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert READER.secret_access_key not in str(caught.value)
    # A tick needs no right to read.
    deployed.set(s3_bucket.environment(LISTER))
    deployed.put(TODAY)
    assert deployed.asked() is not None


@pytest.mark.slow
def test_a_run_that_dagster_has_launched_says_its_source_and_trigger(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployment(s3_bucket, tmp_path, instance, monkeypatch)
    of_today = {RANGE[0]: str(TODAY), RANGE[1]: str(TODAY)}
    # As of a run that is launched again, over another day.
    for given, trigger in (
        ({DAYS_TAG: "2026-01-01", "dagster/from_ui": "true"}, "ui"),
        ({"dagster/backfill": "abc"}, "backfill"),
    ):
        assert deployed.run({**of_today, **given})
        newest = instance.get_runs(limit=1)[0]
        assert (newest.tags[SOURCE_TAG], newest.tags[TRIGGER_TAG]) == (f"{s3_bucket.uri}sigma/", trigger)
        assert newest.tags[DAYS_TAG] == str(TODAY)


@pytest.mark.slow
def test_a_run_that_is_launched_without_days_scans_the_last_days_back(
    s3_bucket: Any, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = Deployment(s3_bucket, tmp_path, instance, monkeypatch)
    for age in (1, 20):
        deployed.put(days_ago(age))
    assert deployed.run({})
    (run,) = instance.get_runs()
    assert (run.tags[DAYS_TAG], run.tags[TRIGGER_TAG]) == (f"{days_ago(2)} to {TODAY}", "dagster")
    scanned = {str(days_ago(age)) for age in range(3)}
    graph = build_definitions().resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        if graph.get(key).is_partitioned:
            found = instance.fetch_materializations(key, limit=20).records
            assert {record.partition_key for record in found} == scanned, key
    # The sensor knows the run by its days, and what it did.
    assert [(found.first, found.last) for found in scan_runs(instance, JOB_NAME, ())] == [(days_ago(2), TODAY)]
    assert "All of them are captured." in deployed.said()
    stored = Tables(tmp_path / "data")
    assert stored.read(EXPORT_FILES).collect()["file_date"].to_list() == [days_ago(1)]
    assert set(stored.read(AS_OF_DATES).collect()["as_of_date"].cast(str)) == scanned

    # One step of it alone too; and where no day has come yet, it says so.
    assert deployed.run({}, selection=["daily_impressions"])
    assert instance.get_runs(limit=1)[0].tags[DAYS_TAG] == f"{days_ago(2)} to {TODAY}"
    deployed.set({"SIGMA_IMPRESSIONS_START_DATE": str(days_ago(-2))})
    assert not deployed.run({}, selection=["raw_export_files"])
    (failed,) = instance.get_records_for_run(
        instance.get_runs(limit=1)[0].run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    ).records
    failure = failed.event_log_entry.dagster_event.step_failure_data.user_failure_data  # type: ignore[union-attr]
    assert "lies in the future; there is no day to scan yet" in failure.description


@pytest.mark.slow
def test_another_source_over_the_same_storage_is_refused(
    s3_server: EmbeddedObjectStore,
    s3_client: Any,
    tmp_path: Path,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, other = new_bucket(s3_server, s3_client), new_bucket(s3_server, s3_client)
    deployed = Deployment(ours, tmp_path, instance, monkeypatch)
    deployed.put(TODAY)
    tags = deployed.asked()
    assert tags is not None
    assert deployed.run(tags)
    stored = Tables(tmp_path / "data")
    before = {table: stored.open(table).version() for table in ALL_TABLES}

    deployed.bucket = other
    deployed.set({"SIGMA_IMPRESSIONS_BUCKET_URI": f"{other.uri}sigma"})
    deployed.put(TODAY, "of-others.csv")
    resources().head(1).write_parquet(tmp_path / "sigma_resources.parquet")
    with pytest.raises(TickFailed, match=rf"holds export files of {ours.uri}sigma/, .* is {other.uri}sigma/"):
        deployed.tick()
    assert not deployed.run(tags)
    assert {table: stored.open(table).version() for table in ALL_TABLES} == before, "Its resources are none of ours"
    (found,) = [step for step in check_source(environment_values(os.environ)) if step.name == "tables"]
    assert not found.passed
    assert f"{other.uri}sigma/" in found.message

    assert deployed.run(tags, ScanOptions(source_moved=True))
    assert deployed.run(tags)
    assert stored.read(EXPORT_FILES).collect().height == 2
    assert "All of them are captured" in deployed.said()
