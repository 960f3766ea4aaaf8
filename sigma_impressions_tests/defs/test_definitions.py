"""The code location: it loads whatever is set, its assets share their partitions, and it holds no secret."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from pydantic import ValidationError

import sigma_impressions
from sigma_impressions import wiring
from sigma_impressions.clouds.s3 import S3
from sigma_impressions.clouds.s3.client import _resource
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.partitions import BACKFILL_POLICY
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.errors import SettingsError
from sigma_impressions.scan import ScanOptions, scan
from sigma_impressions.settings.declared import SETTINGS
from sigma_impressions.settings.read import read_settings
from sigma_impressions.upstream.sigma_api import SigmaApi
from sigma_impressions.windows import MAX_DAYS_BACK
from sigma_impressions_tests.commands import environment

PARTITIONED = {
    "raw_export_files",
    "normalized_impressions",
    "daily_impressions",
    "resource_impressions",
    "user_activity",
    "unmatched_impressions",
}
UNPARTITIONED = {"sigma_resources", "sigma_impressions_database", "storage_maintenance", "usage_report"}
NOT_LOADED = {
    "boto3",
    "botocore",
    "dagster_aws",
    "dagster_gcp",
    "google.cloud",
    "pyarrow",
    "numpy",
    "duckdb",
    "aiohttp",
}
"""Libraries that take memory and time in every process, and that a part of them only needs."""

LOAD = """
import json, sys
from sigma_impressions.definitions import defs
keys = [key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()]
jobs = [job.name for job in defs.resolve_all_job_defs()]
print(json.dumps({"keys": keys, "jobs": jobs, "modules": list(sys.modules)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "SIGMA_IMPRESSIONS_BUCKET_URI": "http://no/bucket",
            "SIGMA_IMPRESSIONS_DAYS_BACK": "two",
            "SIGMA_IMPRESSIONS_START_DATE": "soon",
            "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": "(",
        },
    ],
    ids=["nothing set", "broken settings"],
)
def test_the_code_location_loads_in_a_fresh_process(settings: dict[str, str], tmp_path: Path) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env=environment(tmp_path, settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stderr == ""
    found = json.loads(loaded.stdout)
    assert set(found["keys"]) == PARTITIONED | UNPARTITIONED
    assert {"sigma_impressions", "maintenance"} <= set(found["jobs"])
    assert NOT_LOADED.isdisjoint(found["modules"])


def graph(environ: Mapping[str, str] = MappingProxyType({})) -> Any:
    return build_definitions(environ=environ).resolve_asset_graph()


def test_datahub_has_an_asset_only_if_it_is_switched_on() -> None:
    key = dg.AssetKey("datahub_usage")
    assert not graph().has(key)
    assert not graph({"SIGMA_IMPRESSIONS_DATAHUB": " "}).has(key)
    node = graph({"SIGMA_IMPRESSIONS_DATAHUB": "usage.json"}).get(key)
    assert node.parent_keys == {dg.AssetKey("sigma_impressions_database")}
    assert node.group_name == "sigma_impressions"


def test_the_report_follows_the_published_database() -> None:
    node = graph().get(dg.AssetKey("usage_report"))
    assert node.parent_keys == {dg.AssetKey("sigma_impressions_database")}
    assert node.group_name == "sigma_impressions"
    assert "If it fails" in (node.description or "")


def test_partitioned_assets_share_their_partitions_and_backfill_policy() -> None:
    nodes = {key.to_user_string(): graph().get(key) for key in graph().get_all_asset_keys()}
    assert {name for name, node in nodes.items() if node.partitions_def is not None} == PARTITIONED
    assert len({nodes[name].partitions_def for name in PARTITIONED}) == 1
    assert {nodes[name].backfill_policy for name in PARTITIONED} == {BACKFILL_POLICY}
    assert BACKFILL_POLICY.max_partitions_per_run == MAX_DAYS_BACK == 6


def test_partitions_are_days_from_the_first_one_to_today() -> None:
    environ = {"SIGMA_IMPRESSIONS_START_DATE": "2026-03-01"}
    assets = build_definitions(environ=environ).resolve_asset_graph()
    partitions = assets.get(dg.AssetKey("daily_impressions")).partitions_def
    now = datetime(2026, 11, 23, 0, 5, tzinfo=UTC)
    keys = partitions.get_partition_keys(current_time=now)
    assert (keys[0], keys[-1]) == ("2026-03-01", "2026-11-23")


def test_a_day_depends_on_the_same_day() -> None:
    assets = graph()
    day = "2026-10-05"
    for name in PARTITIONED:
        key = dg.AssetKey(name)
        for parent in assets.get(key).parent_keys:
            if parent.to_user_string() not in PARTITIONED:
                continue
            partitions = assets.get(key).partitions_def
            mapped = assets.get_partition_mapping(key, parent).get_upstream_mapped_partitions_result_for_partitions(
                partitions.subset_with_partition_keys([day]), partitions, partitions
            )
            assert set(mapped.partitions_subset.get_partition_keys()) == {day}, (name, parent)


SECRETS = {setting.variable: f"secret-of-{setting.name}-0123456789" for setting in SETTINGS if setting.secret}


def test_secrets_are_variables_in_the_definitions_never_values() -> None:
    assert len(SECRETS) == 9
    environ = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports", **SECRETS}
    source = SigmaSource.from_environment(environ)
    assert source.aws_secret_access_key == dg.EnvVar("SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY")
    assert source.aws_region is None
    repository = build_definitions(environ=environ).get_repository_def()
    shown = serialize_value(RepositorySnap.from_def(repository))
    assert "SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY" in shown
    for value in SECRETS.values():
        assert value not in shown
        assert value not in repr(source)


def test_a_secret_that_is_written_out_is_refused() -> None:
    source = SigmaSource(bucket_uri="s3://bucket/x", aws_access_key_id=dg.EnvVar("KEY_ID"), users_key="written-out")
    with pytest.raises(
        SettingsError, match=r"^SIGMA_IMPRESSIONS_USERS_KEY: is a secret.* users_key as dg\.EnvVar"
    ) as no:
        build_definitions(source, environ={})
    assert len(no.value.problems) == 1
    assert "written-out" not in str(no.value)


def test_nothing_that_is_made_of_settings_shows_a_secret() -> None:
    secrets = {
        **{setting.name: f"secret-of-{setting.name}" for setting in SETTINGS if setting.secret},
        "alert_webhook": "https://hooks.example.com/secret-of-the-webhook",
        "digest_webhook": "https://hooks.example.com/secret-of-the-digest",
    }
    urls = {"bucket_uri": "s3://bucket/x", "storage": "s3://bucket/tables", "datahub": "https://datahub.example.com"}
    settings = read_settings({**urls, **secrets, "sigma_base_url": "aws-us-west", "users": "pseudonym"})
    cloud, credentials = wiring.cloud(settings, "s3"), wiring.sigma_credentials(settings)
    assert isinstance(cloud, S3) and credentials is not None
    made = [
        *(settings, cloud, credentials, SigmaApi(credentials), wiring.object_store(settings), cloud.files("bucket")),
        *(wiring.storage(settings), wiring.tables(settings), wiring.datahub_target(settings)),
        *(wiring.reading_rules(settings), wiring.pseudonyms(settings)),
        _resource()(aws_access_key_id=cloud.aws_access_key_id, aws_secret_access_key=cloud.aws_secret_access_key),
    ]
    shown = {type(one).__name__: f"{one!r} {one}" for one in made}
    assert [name for name, text in shown.items() if "secret-of" in text] == []


def test_secrets_are_not_shown_inside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://bucket/exports")
    for variable, value in SECRETS.items():
        monkeypatch.setenv(variable, value)
    shown: list[str] = []

    @dg.op(required_resource_keys={"source"})
    def show(context) -> None:  # type: ignore[no-untyped-def]
        source = context.resources.source
        assert source.values()["users_key"] == SECRETS["SIGMA_IMPRESSIONS_USERS_KEY"]
        shown.extend([repr(source), str(source), f"{context.resources}"])
        with pytest.raises(ValidationError) as refused:
            SigmaSource(**{**source.values(), "aws_region": 5})
        shown.append(str(refused.value))

    @dg.job(resource_defs={"source": SigmaSource.from_environment()})
    def show_it() -> None:
        show()

    assert show_it.execute_in_process().success
    assert "s3://bucket/exports" in shown[0]
    assert not [value for value in SECRETS.values() if value in "".join(shown)]


def test_a_run_reads_the_variables_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://first/exports")
    source = SigmaSource.from_environment()
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://second/exports")
    with source.process_config_and_initialize_cm() as resolved:
        assert str(resolved.settings().bucket_uri) == "s3://second/exports/"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "SIGMA_IMPRESSIONS_BUCKET_URI: is not set"),
        (
            {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x", "SIGMA_IMPRESSIONS_DAYS_BACK": "two"},
            "SIGMA_IMPRESSIONS_DAYS_BACK: must be a whole number from 1 to 6",
        ),
        (
            {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x", "SIGMA_IMPRESSIONS_START_DATE": "soon"},
            "SIGMA_IMPRESSIONS_START_DATE: 'soon' is not an ISO date",
        ),
    ],
    ids=["nothing set", "days back", "first day"],
)
def test_a_run_fails_with_what_to_set(
    settings: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = build_definitions(environ=settings)
        result = scan(definitions, instance, [datetime.now(UTC).date()], ScanOptions(), "test")
        run = instance.get_run_by_id(result.run_id)
        failures = [
            record.event_log_entry.dagster_event.step_failure_data
            for record in instance.get_records_for_run(result.run_id).records
            if record.event_log_entry.dagster_event and record.event_log_entry.dagster_event.is_step_failure
        ]
    assert result.failure is not None
    assert result.failure.startswith(named)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    # No traceback of another error hides the message in the UI.
    assert len(failures) == 2
    assert all(failure.user_failure_data.description == result.failure for failure in failures)
    assert all(failure.error.cause is None for failure in failures)
    assert list(tmp_path.iterdir()) == []


def test_the_calculation_knows_nothing_of_dagster() -> None:
    package = Path(sigma_impressions.__file__).parent
    files = [package / f"{name}.py" for name in ("project", "users", "webhook", "windows")]
    folders = ("destinations", "exports", "insights", "lake", "metrics", "publish", "report", "settings", "upkeep")
    for folder in (*folders, "upstream"):
        files += sorted((package / folder).rglob("*.py"))
    importing = re.compile(r"^\s*(import|from) dagster", re.MULTILINE)
    assert [file.name for file in files if importing.search(file.read_text(encoding="utf-8"))] == []
    assert importing.search((package / "defs" / "exports.py").read_text(encoding="utf-8"))


def test_every_asset_leads_to_its_documentation() -> None:
    graph = build_definitions(environ={"SIGMA_IMPRESSIONS_DATAHUB": "usage.json"}).resolve_asset_graph()
    docs = Path(__file__).parents[2] / "docs"
    for key in graph.materializable_asset_keys:
        page = graph.get(key).metadata["documentation"].value
        assert (docs.parent / page).is_file(), f"{key.to_user_string()}: {page}"


def test_definitions_that_have_an_executor_are_merged_with_ours() -> None:
    other = dg.Definitions(executor=dg.multiprocess_executor)
    merged = dg.Definitions.merge(build_definitions(environ={}, executor=dg.multiprocess_executor), other)
    assert merged.executor is dg.multiprocess_executor
    jobs = [merged.resolve_job_def(name) for name in ("sigma_impressions", "maintenance")]
    assert {job.executor_def for job in jobs} == {dg.multiprocess_executor}
    # One step is not worth a process.
    assert merged.resolve_job_def("test_source").executor_def is dg.in_process_executor
