"""The hooks that write metrics for operators: after each publication, and where a run fails."""

from __future__ import annotations

import os
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.runs import range_tags
from sigma_impressions_tests.commands import without_settings
from sigma_impressions_tests.conftest import S3Bucket
from sigma_impressions_tests.destinations.exposition import Values, read
from sigma_impressions_tests.servers.results import TODAY, fill, settings


@pytest.mark.slow
def test_runs_tell_how_they_ended(
    s3_bucket: S3Bucket, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 2)
    without_settings(monkeypatch)
    target = tmp_path / "sigma_impressions.prom"
    environment = {
        **settings(s3_bucket, tmp_path / "resources"),
        "SIGMA_IMPRESSIONS_STORAGE": str(tmp_path / "data"),
        "SIGMA_IMPRESSIONS_PROMETHEUS": str(target),
        "SIGMA_IMPRESSIONS_NAME": "Acme",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    resources = Path(environment["SIGMA_IMPRESSIONS_RESOURCES"])

    def run() -> tuple[dg.ExecuteInProcessResult, Values]:
        job = build_definitions(environ=os.environ).resolve_job_def(JOB_NAME)
        days = [TODAY - timedelta(days=1), TODAY]
        ended = job.execute_in_process(instance=instance, tags=range_tags(days), raise_on_error=False)
        return ended, read(target, "Acme") if target.is_file() else {}

    began = datetime.now(UTC).timestamp()
    ended, found = run()
    assert ended.success
    assert found["as_of_timestamp_seconds"] == datetime.combine(TODAY, time.min, UTC).timestamp()
    assert found["rows_60d", "accepted"] > 0
    assert found["last_run_succeeded"] == 1
    assert found["resources_timestamp_seconds"] == pytest.approx(resources.stat().st_mtime)
    over = datetime.now(UTC).timestamp()
    assert began < found["last_success_timestamp_seconds"] == found["last_run_timestamp_seconds"] < over
    assert 0 < found["last_run_duration_seconds"] < over - began
    # A run that fails tells that it has, and when one last succeeded.
    content = resources.read_bytes()
    resources.write_text("nothing")
    ended, failed = run()
    assert not ended.success
    assert failed["last_run_succeeded"] == 0
    assert failed["last_run_timestamp_seconds"] > found["last_run_timestamp_seconds"]
    assert failed["last_success_timestamp_seconds"] == pytest.approx(found["last_success_timestamp_seconds"], abs=5)
    assert failed["impressions_60d"] == found["impressions_60d"]
    # No run fails because nobody is told of it.
    resources.write_bytes(content)
    target.unlink()
    target.mkdir()
    ended, _ = run()
    assert ended.success
    said = [event.user_message for event in instance.all_logs(ended.run_id)]
    assert any(f"cannot be written to {target}: Is a directory" in line for line in said)
