"""The example with two code locations: one emits `sigma_resources`, and our metrics follow its materializations."""

from __future__ import annotations

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions_tests.commands import environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_code_locations"
NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
EXPORT = f"""request_time,user_email,workbook_url_id,element_id
{NOW},ann@example.com,2opi6VLEne4BaPyj00US50,_MuHPbskp0
{NOW},ann@example.com,notYetKnown00000000001,
"""


def test_metrics_follow_the_other_code_location(
    s3_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put("exports/today.csv", EXPORT.encode())
    catalog = tmp_path / "workbooks.csv"
    catalog.write_bytes((EXAMPLE / "workbooks.csv").read_bytes())
    env = environment(
        tmp_path,
        {
            **s3_bucket.environment(),
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"{s3_bucket.uri}exports",
            "SIGMA_IMPRESSIONS_RESOURCES": str(tmp_path / "sigma_resources.parquet"),
            "SIGMA_IMPRESSIONS_RESOURCES_ASSET": "external",
            "SIGMA_CATALOG": str(catalog),
        },
    )
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    ours = build_definitions()
    catalog_assets = runpy.run_path(str(EXAMPLE / "sigma_catalog.py"))["defs"].assets
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        workspace = WorkspaceFileTarget([str(EXAMPLE / "workspace.yaml")])
        with WorkspaceProcessContext(instance, workspace) as loaded:
            context = loaded.create_request_context()
            assert set(context.code_location_names) == {"sigma_catalog", "sigma_impressions"}
            node = context.asset_graph.get(dg.AssetKey("sigma_resources"))
            # The stub beside the real one is no conflict: whoever can materialize it wins.
            assert node.is_materializable
            assert dg.AssetKey("resource_snapshots") in node.child_keys

        sensor = ours.resolve_sensor_def("new_sigma_resources")
        cursor, results = None, []
        for unmatched in (1, 0):
            if unmatched == 0:
                with catalog.open("a", encoding="utf-8") as file:
                    file.write("sigma_workbook,,notYetKnown00000000001,,Now known,Now known,Acme\n")
            assert dg.materialize(list(catalog_assets), instance=instance).success
            with dg.build_sensor_context(instance, cursor=cursor, definitions=ours) as tick:
                (request,) = sensor.evaluate_tick(tick).run_requests or []
                cursor = tick.cursor
            job = ours.resolve_job_def(JOB_NAME)
            assert job.execute_in_process(instance=instance, tags=request.tags).success
            with duckdb.connect(str(tmp_path / "data" / "sigma_impressions.duckdb"), read_only=True) as connection:
                results += connection.execute(
                    "SELECT coalesce(sum(total_impressions_60d), 0)::INT FROM unmatched_impressions"
                ).fetchall()
            assert results[-1] == (unmatched,)
        with dg.build_sensor_context(instance, cursor=cursor, definitions=ours) as tick:
            assert not sensor.evaluate_tick(tick).run_requests
