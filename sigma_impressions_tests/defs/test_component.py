"""The component: several pipelines in one code location, and a `dg` project that has two of them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
import yaml
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox
from pydantic import ValidationError

from sigma_impressions import SigmaImpressionsComponent
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.runs import range_tags
from sigma_impressions.demo.generate import PREFIX
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import S3Bucket
from sigma_impressions_tests.servers.results import DATABASE, TODAY, fill, settings

REPOSITORY = Path(__file__).parents[2]
TYPE = "sigma_impressions.SigmaImpressionsComponent"
SECRET = "secret-of-emea-0123456789"
PAGE = (REPOSITORY / "docs" / "dg-component.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


@contextmanager
def project(
    after: Mapping[str, Any] | None = None, **folders: Mapping[str, Any]
) -> Iterator[tuple[dg.Definitions, Path]]:
    """The definitions and the folder of a `dg` project that has the component with these attributes.

    `after` is the post-processing of each.
    """
    with create_defs_folder_sandbox() as sandbox:
        for folder, attributes in folders.items():
            written = {"type": TYPE, "attributes": dict(attributes), **({"post_processing": after} if after else {})}
            sandbox.scaffold_component(
                component_cls=SigmaImpressionsComponent, defs_path=folder, defs_yaml_contents=written
            )
        with sandbox.build_all_defs() as definitions:
            yield definitions, sandbox.project_root


def names_of(definitions: dg.Definitions) -> set[str]:
    """The asset keys and the names of jobs, sensors, schedules and resources, as one-part names."""
    repository = definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    started = {one.name for one in [*repository.sensor_defs, *repository.schedule_defs]}
    keys = {key.to_python_identifier() for key in repository.asset_graph.get_all_asset_keys()}
    return keys | jobs | started | set(repository.get_top_level_resources())


def test_pipelines_with_different_prefixes_share_no_name() -> None:
    plain = names_of(build_definitions(environ={}))
    with project(own={}, emea={"asset_key_prefix": ["emea"]}, apac={"asset_key_prefix": ["asia", "apac"]}) as (both, _):
        assert names_of(both) == {f"{prefix}{name}" for prefix in ("", "emea__", "asia__apac__") for name in plain}


def test_the_page_names_all_that_a_prefix_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMEA_WEBHOOK", "https://hooks.example.com/emea")
    table = PAGE[PAGE.index("Under the prefix `emea`") :].partition("\n\n**")[0]
    everything = {"alert_webhook": {"env": "EMEA_WEBHOOK"}, "resources_asset": "external"}
    with project(emea={"asset_key_prefix": ["emea"], **everything}) as (made, _):
        graph = made.resolve_asset_graph()
        assets = {key.to_python_identifier() for key in graph.get_all_asset_keys()}
        groups = {graph.get(key).group_name for key in graph.materializable_asset_keys}
        assert set(re.findall(r"`(emea__\w+)`", table)) == names_of(made) - assets | groups


@pytest.mark.parametrize("attributes", [found["attributes"] for found in EXAMPLES if "attributes" in found])
def test_the_examples_of_the_page_are_accepted(attributes: dict[str, Any]) -> None:
    with project(emea=attributes) as (made, _):
        assert "emea__sigma_impressions" in names_of(made)


def test_an_asset_has_the_owner_that_the_project_gives_it_and_no_other() -> None:
    graph = build_definitions(environ={}).resolve_asset_graph()
    assert not any(graph.get(key).owners for key in graph.get_all_asset_keys())
    (written,) = [found["post_processing"] for found in EXAMPLES if "post_processing" in found]
    with project(after=written, emea={"asset_key_prefix": ["emea"]}) as (made, _):
        graph = made.resolve_asset_graph()
        assert {tuple(graph.get(key).owners) for key in graph.get_all_asset_keys()} == {("team:analytics",)}


def test_attributes_are_the_settings_and_secrets_stay_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMEA_SECRET", SECRET)
    attributes = {
        "asset_key_prefix": ["emea"],
        "bucket_uri": "{{ env.EMEA_BUCKET }}",
        "days_back": 2,
        "schedule": "30 3 * * *",
        "start_date": "2026-03-01",
        "workbook_observations": True,
        "resources": "exports/resources.parquet",
        "aws_access_key_id": {"env": "EMEA_SECRET"},
        "aws_secret_access_key": {"env": "EMEA_SECRET"},
        "alert_webhook": {"env": "EMEA_SECRET"},
    }
    monkeypatch.setenv("EMEA_BUCKET", "s3://acme/emea")
    with project(emea=attributes) as (definitions, folder):
        repository = definitions.get_repository_def()
        assert SECRET not in serialize_value(RepositorySnap.from_def(repository))
        source = definitions.resources["emea__source"]
        assert source.aws_secret_access_key == dg.EnvVar("EMEA_SECRET")
        assert (source.days_back, source.workbook_observations) == ("2", "on")
        assert source.bucket_uri == "s3://acme/emea"
        assert source.storage == str(folder / "data" / "emea")
        assert source.resources == str(folder / "exports" / "resources.parquet")
        assert repository.get_schedule_def("emea__daily_scan").cron_schedule == "30 3 * * *"
        assert repository.has_sensor_def("emea__alerts")
        partitions = repository.asset_graph.get(dg.AssetKey(["emea", "daily_impressions"])).partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys()[0] == "2026-03-01"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"aws_secret_access_key": SECRET}, "is a secret. Write env:"),
        ({"asset_key_prefix": ["a__b"]}, "cannot be part of an asset key prefix"),
        ({"bucket": "s3://acme"}, "attributes.bucket"),
        ({"bucket_uri": "acme-audit/emea"}, "attributes.bucket_uri: "),
        ({"days_back": 7}, "attributes.days_back: must be a whole number from 1 to 6"),
        ({"start_date": "01/03/2026"}, "attributes.start_date: "),
        ({"storage": "https://acme/tables"}, "attributes.storage: "),
        ({"power_user_days": 2, "regular_user_days": 4}, "attributes.power_user_days: must be more days"),
        ({"aws_access_key_id": {"env": "UNSET"}}, "attributes.aws_secret_access_key: is not set"),
        ({"users": "pseudonym"}, "attributes.users_key: is not set"),
        ({"days_back": 9, "schedule": "daily"}, "attributes.schedule: "),
    ],
)
def test_a_mistake_is_refused_without_repeating_a_secret(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentTreeException) as raised, project(emea=attributes):
        pass
    # As Dagster prints it, with the errors that led to it.
    shown = "".join(traceback.format_exception(raised.value))
    assert message in shown
    assert SECRET not in shown


def test_what_is_read_later_is_refused_later() -> None:
    later = {"aws_access_key_id": {"env": "UNSET"}, "aws_secret_access_key": {"env": "UNSET"}}
    users = {"users": "pseudonym", "users_key": {"env": "UNSET"}, "power_user_days": {"env": "UNSET"}}
    with project(emea={"bucket_uri": {"env": "UNSET"}, "days_back": {"env": "UNSET"}, **later, **users}) as (made, _):
        assert made.resources["source"].days_back == dg.EnvVar("UNSET")


def test_the_jobs_take_the_executor_that_is_named() -> None:
    with project(own={}, emea={"asset_key_prefix": ["emea"], "executor": "dagster:multiprocess_executor"}) as (made, _):
        executors = {
            name: made.resolve_job_def(name).executor_def for name in ("sigma_impressions", "emea__sigma_impressions")
        }
    assert executors == {
        "sigma_impressions": dg.in_process_executor,
        "emea__sigma_impressions": dg.multiprocess_executor,
    }
    for named in ("dagster", "dagster:nothing", "no.such:thing", "", "os:path"):
        with pytest.raises(ValidationError, match="names no executor of Dagster"):
            SigmaImpressionsComponent(executor=named)


def test_a_day_needs_no_quotes() -> None:
    with project(emea={"start_date": date(2026, 3, 1)}) as (made, folder):
        (written,) = folder.rglob("defs.yaml")
        assert "start_date: 2026-03-01\n" in written.read_text(encoding="utf-8")
        assert made.resources["source"].start_date == "2026-03-01"


def test_a_run_keeps_to_its_prefix_and_its_storage_location(
    s3_bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 2)
    s3_bucket.put(f"{PREFIX}{TODAY}T00-30-00 no.csv", b"a,b\n1,2\n")
    variables = settings(s3_bucket, tmp_path / "resources")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    named = {
        name.removeprefix("SIGMA_IMPRESSIONS_").lower(): {"env": name}
        for name in variables
        if name.startswith("SIGMA_IMPRESSIONS_")
    }
    tags = range_tags([TODAY - timedelta(days=1), TODAY])
    other = {"asset_key_prefix": ["apac"], "bucket_uri": "s3://acme/apac"}
    with (
        project(emea={"asset_key_prefix": ["emea"], **named}, apac=other) as (definitions, folder),
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
    ):
        job = definitions.resolve_job_def("emea__sigma_impressions")
        result = job.execute_in_process(instance=instance, tags=tags)
        assert result.success
        keys = {event.asset_key for event in result.get_asset_materialization_events()}
        assert keys == {key for key in job.asset_layer.executable_asset_keys if key.path[0] == "emea"}
        checked = [event.asset_key.path[0] for event in result.get_asset_check_evaluations()]
        assert set(checked) == {"emea"}
        # What the level filter of the UI finds.
        warned = [entry.user_message for entry in instance.all_logs(result.run_id) if entry.level == logging.WARNING]
        assert [line for line in warned if "no.csv: refused: missing required column. " in line]
        assert [path.name for path in (folder / "data").iterdir()] == ["emea"]
        database = folder / "data" / "emea" / DATABASE
        # The preview ranks resources by the figures that the insights and the report have.
        of_day = [
            event.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey(["emea", "resource_impressions"]) and event.partition == str(TODAY)
        ]
        shown = of_day[0].metadata["preview"].value.records[0].data
        with duckdb.connect(str(database), read_only=True) as connection:
            ranked = connection.sql("SELECT name, total_impressions_60d FROM popular_resources").fetchall()
        assert (shown["name"], shown["total_impressions_with_elements_60d"]) == max(ranked, key=lambda row: row[1])


@pytest.mark.soak
def test_a_new_project_has_it_twice(tmp_path: Path) -> None:
    # The wheel itself, not this checkout: its entry point and all its files.
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", site, REPOSITORY], check=True, timeout=120)
    folder = tmp_path / "acme"

    def run(*command: str, where: Path = folder) -> str:
        program = str(Path(sys.executable).parent / command[0])
        env = {**environment(tmp_path, {}), "PYTHONPATH": f"{site}:{folder / 'src'}"}
        done = subprocess.run(
            [program, *command[1:]], cwd=where, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run("create-dagster", "project", "acme", "--no-uv-sync", where=tmp_path)
    for prefix in ("emea", "apac"):
        run(
            "dg",
            "scaffold",
            "defs",
            TYPE,
            f"usage_{prefix}",
            "--asset-key-prefix",
            prefix,
            "--bucket-uri",
            "s3://acme/b",
        )
    assert "All definitions loaded successfully" in run("dg", "check", "defs")
