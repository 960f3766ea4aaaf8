"""Dagster's chart, Kubernetes and the program take what deploy/kubernetes has, as far as can be told without a cluster.

The pod of a run is made by Dagster's own launcher, from the values as the chart hands them on.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes.client
import pytest
import yaml
from dagster._config import process_config
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import construct_dagster_k8s_job
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

from sigma_impressions.settings.declared import SETTINGS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "values.yaml").read_text(encoding="utf-8"))
KNOWN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("chart_values.yaml").read_text(encoding="utf-8"))
DEPLOYMENT = VALUES["dagster-user-deployments"]["deployments"][0]
RUNS = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
PODS = {"code server": DEPLOYMENT, "webserver": VALUES["dagsterWebserver"], "daemon": VALUES["dagsterDaemon"]}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

TYPES = {"text": str, "number": int, "switch": bool, "anything": object}


def faults(value: Any, known: Any, where: str = "") -> list[str]:
    """What of a value the chart does not take; `known` as chart_values.yaml has it."""
    if isinstance(known, list):
        items = value if isinstance(value, list) else [value]
        return [fault for number, item in enumerate(items) for fault in faults(item, known[0], f"{where}[{number}]")]
    if isinstance(known, dict):
        unknown = [f"{where}.{name}" for name in value if name not in known]
        return unknown + [
            fault for name in value if name in known for fault in faults(value[name], known[name], f"{where}.{name}")
        ]
    if known in TYPES:
        return [] if type(value) is TYPES[known] or known == "anything" else [f"{where}: no {known}"]
    try:
        of_kubernetes(known, value)
    except Exception as error:
        return [f"{where}: {error}"]
    return []


def of_kubernetes(name: str, value: dict[str, Any]) -> Any:
    """The object of Kubernetes' API; raises an exception that names a field which it does not have."""
    kind = getattr(kubernetes.client, name)
    return k8s_model_from_dict(kind, k8s_snake_case_dict(kind, value))


def variables(name: str) -> dict[str, str]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def locked(name: str) -> str:
    """The version of a package in the image."""
    lock = (ROOT / "deploy" / "requirements.txt").read_text(encoding="utf-8")
    found = re.search(rf"(?m)^{name}==(\S+)", lock)
    assert found, name
    return found[1]


def launched() -> kubernetes.client.V1Job:
    """The job of Kubernetes for a run: the launcher's own, configured as the chart's template does it."""
    names = {"envConfigMaps", "envSecrets"}
    config = {
        re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", key): (
            [item["name"] for item in value] if key in names else value
        )
        for key, value in RUNS.items()
        if key != "runK8sConfig"
    }
    config["run_k8s_config"] = {
        "pod_spec_config": RUNS["runK8sConfig"]["podSpecConfig"],
        "job_spec_config": RUNS["runK8sConfig"]["jobSpecConfig"],
    }
    config |= {
        "service_account_name": VALUES["global"]["serviceAccountName"],
        "dagster_home": VALUES["global"]["dagsterHome"],
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
        "instance_config_map": VALUES["global"]["dagsterInstanceConfigMap"],
        "job_namespace": "sigma-impressions",
        "load_incluster_config": False,
        "kubeconfig_file": str(Path(__file__).with_name("kubeconfig.yaml")),
    }
    processed = process_config(K8sRunLauncher.config_type(), config)
    assert processed.success, processed.errors
    launcher = K8sRunLauncher.from_config_value(None, processed.value)  # type: ignore[arg-type]
    context = launcher.get_container_context_for_run(dg.DagsterRun(job_name="sigma_impressions"))
    return construct_dagster_k8s_job(
        context.get_k8s_job_config(job_image=image(DEPLOYMENT), run_launcher=launcher),
        args=["dagster", "api", "execute_run"],
        job_name="dagster-run-1",
        user_defined_k8s_config=context.run_k8s_config,
    )


def image(part: dict[str, Any]) -> str:
    return f"{part['image']['repository']}:{part['image']['tag']}"


def test_the_chart_and_kubernetes_take_the_values() -> None:
    assert faults(VALUES, KNOWN) == []


def test_values_that_the_chart_does_not_take_are_found() -> None:
    wrong = {
        "telemetry": {"enabeld": False},
        "dagsterDaemon": {
            "runRetries": {"maxRetries": "2"},
            "securityContext": {"readOnlyRootFileSystem": True},
            "volumes": [{"name": "scratch", "emptyDir": {"size": "1Gi"}}],
        },
    }
    assert [fault.split(":")[0] for fault in faults(wrong, KNOWN)] == [
        ".telemetry.enabeld",
        ".dagsterDaemon.runRetries.maxRetries",
        ".dagsterDaemon.securityContext",
        ".dagsterDaemon.volumes[0]",
    ]


def test_a_run_is_a_pod_of_its_own_without_rights() -> None:
    job = launched()
    pod, container = job.spec.template.spec, job.spec.template.spec.containers[0]
    assert container.image == "registry.example.com/sigma-impressions:0.1.0"
    assert job.spec.backoff_limit == 0  # Dagster tries again, not Kubernetes
    assert (pod.restart_policy, job.spec.ttl_seconds_after_finished) == ("Never", 86400)
    assert pod.service_account_name == "sigma-impressions"
    assert (pod.security_context.run_as_non_root, pod.security_context.run_as_user) == (True, 10001)
    assert container.security_context.read_only_root_filesystem
    assert container.security_context.allow_privilege_escalation is False
    assert container.security_context.capabilities.drop == ["ALL"]
    assert container.resources.limits["memory"] == "4Gi"
    sources = [(it.config_map_ref or it.secret_ref).name for it in container.env_from]
    assert sources == ["sigma-impressions-settings", "sigma-impressions-secrets"]
    mounts = {mount.mount_path: mount.name for mount in container.volume_mounts}
    assert {mounts["/srv/sigma-impressions"], mounts["/opt/dagster/dagster_home"]} == {"scratch"}
    scratch = next(volume for volume in pod.volumes if volume.name == "scratch")
    assert scratch.empty_dir.size_limit == "14Gi"


@pytest.mark.parametrize("pod", PODS, ids=lambda name: name.replace(" ", "_"))
def test_every_pod_has_the_image_and_no_rights(pod: str) -> None:
    part = PODS[pod]
    assert part["image"] == DEPLOYMENT["image"]
    assert part["podSecurityContext"] == RUNS["runK8sConfig"]["podSpecConfig"]["securityContext"]
    assert part["securityContext"] == RUNS["securityContext"]
    assert part["volumeMounts"] == RUNS["volumeMounts"]
    assert {"requests", "limits"} == set(part["resources"])
    assert {mount["name"] for mount in part["volumeMounts"]} == {volume["name"] for volume in part["volumes"]}


def test_the_image_is_that_of_the_dockerfile() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert DEPLOYMENT["image"]["tag"] == project["version"]
    assert DEPLOYMENT["podSecurityContext"]["runAsUser"] == int(re.findall(r"(?m)^USER (\d+)$", DOCKERFILE)[0])
    assert f"DAGSTER_HOME={VALUES['global']['dagsterHome']}" in DOCKERFILE
    project_folder = re.findall(r"(?m)^WORKDIR (/srv/\S+)$", DOCKERFILE)[0]
    assert f"SIGMA_IMPRESSIONS_PROJECT={project_folder}" in DOCKERFILE
    written = {mount["mountPath"] for mount in DEPLOYMENT["volumeMounts"]}
    assert written == {project_folder, VALUES["global"]["dagsterHome"], "/tmp"}


def test_the_chart_is_that_of_the_locked_dagster() -> None:
    named = re.findall(r"--version (\S+)", (FOLDER / "values.yaml").read_text(encoding="utf-8"))
    on_the_page = re.findall(r"--version (\S+)", (ROOT / "docs" / "deploy-kubernetes.md").read_text(encoding="utf-8"))
    assert {*named, *on_the_page} == {locked("dagster")}


def test_the_instance_is_that_of_dagster_yaml() -> None:
    ours = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text(encoding="utf-8"))
    assert VALUES["telemetry"]["enabled"] is ours["telemetry"]["enabled"] is False
    assert VALUES["additionalInstanceConfig"]["nux"] == ours["nux"]
    assert VALUES["dagsterDaemon"]["runMonitoring"]["enabled"] == ours["run_monitoring"]["enabled"]
    assert VALUES["dagsterDaemon"]["runRetries"] == {
        "enabled": ours["run_retries"]["enabled"],
        "maxRetries": ours["run_retries"]["max_retries"],
        "retryOnAssetOrOpFailure": ours["run_retries"]["retry_on_asset_or_op_failure"],
    }
    kept, days = VALUES["retention"], ours["retention"]
    assert kept["schedule"]["purgeAfterDays"] == days["schedule"]["purge_after_days"]
    assert days["sensor"]["purge_after_days"].items() <= kept["sensor"]["purgeAfterDays"].items()


def test_variables_are_settings_and_secrets_have_no_value() -> None:
    secret = {setting.variable: setting.secret for setting in SETTINGS}
    settings, secrets = variables("settings.env"), variables("secrets.template.env")
    assert [name for name in settings if secret[name]] == []
    assert [name for name in secrets if not secret[name]] == []
    assert set(secrets.values()) == set(variables("postgresql.template.env").values()) == {""}
    required = {setting.variable for setting in SETTINGS if setting.required}
    assert required <= set(settings)


def test_what_the_values_name_the_kustomization_makes() -> None:
    made = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    assert made["generatorOptions"] == {"disableNameSuffixHash": True}
    maps = {entry["name"]: entry["envs"] for entry in made["configMapGenerator"]}
    secrets = {entry["name"]: entry["envs"] for entry in made["secretGenerator"]}
    assert [it["name"] for it in DEPLOYMENT["envConfigMaps"]] == [*maps] == [it["name"] for it in RUNS["envConfigMaps"]]
    assert [it["name"] for it in DEPLOYMENT["envSecrets"]] == [it["name"] for it in RUNS["envSecrets"]]
    assert [*secrets] == [DEPLOYMENT["envSecrets"][0]["name"], VALUES["global"]["postgresqlSecretName"]]
    assert [*variables("postgresql.template.env")] == ["postgresql-password"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    for (name,) in secrets.values():
        assert f"/deploy/kubernetes/{name}" in ignored
        assert (FOLDER / name.replace(".env", ".template.env")).is_file()


def test_the_cache_of_a_run_fits_into_its_volume() -> None:
    gigabytes = int(variables("settings.env")["SIGMA_IMPRESSIONS_CACHE_GIGABYTES"])
    room = sum(int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) for volume in RUNS["volumes"])
    assert gigabytes < room <= int(RUNS["resources"]["limits"]["ephemeral-storage"].removesuffix("Gi"))
