"""Runs after the clocks of machine and store have been ahead together, and are right again."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.maintenance import MAINTENANCE_ASSET, MAINTENANCE_JOB_NAME
from sigma_impressions.defs.runs import range_tags
from sigma_impressions.exports.listing import sort_out
from sigma_impressions.exports.manifest import record_listing
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.upkeep.future import left_in_future
from sigma_impressions.wiring import file_date_pattern, object_store, source, tables
from sigma_impressions_tests.conftest import S3Bucket
from sigma_impressions_tests.servers.results import TODAY, fill, settings

YEAR = timedelta(days=365)


@pytest.mark.slow
def test_a_run_goes_on_where_only_what_was_captured_is_of_the_future(
    s3_bucket: S3Bucket, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 2)
    for name, value in settings(s3_bucket, tmp_path / "resources").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_STORAGE", str(tmp_path / "data"))
    used, days = read_settings(environment_values(os.environ)), [TODAY - timedelta(days=1), TODAY]
    listed = object_store(used).list(used.bucket_uri.prefix)
    ahead = [replace(item, last_modified=item.last_modified + YEAR) for item in listed]
    listing = sort_out(ahead, set(days), file_date_pattern(used))
    record_listing(tables(used), listing, datetime.now(UTC) + YEAR, source(used))
    definitions = build_definitions(environ=os.environ)
    steps = [dg.AssetKey("raw_export_files"), dg.AssetKey("sigma_resources")]
    run = definitions.resolve_job_def(JOB_NAME)
    assert run.execute_in_process(instance=instance, tags=range_tags(days), asset_selection=steps).success
    assert left_in_future(tables(used), datetime.now(UTC)).files == len(listing.files) > 0
    maintenance = definitions.resolve_job_def(MAINTENANCE_JOB_NAME)
    config = {"ops": {MAINTENANCE_ASSET: {"config": {"drop_future": True}}}}
    assert maintenance.execute_in_process(instance=instance, run_config=config).success
    assert left_in_future(tables(used), datetime.now(UTC)).sentence is None
