"""The files of `deploy/celery` agree with each other, with the settings and with Dagster."""

from __future__ import annotations

import re
import runpy
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import process_config
from dagster._core.instance.config import dagster_instance_config_schema
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sigma_impressions.defs.build import JOB_NAME
from sigma_impressions.settings.declared import SETTINGS

FOLDER = Path(__file__).parents[2] / "deploy" / "celery"
START = (FOLDER / "start").read_text(encoding="utf-8")
EXAMPLE = dict(re.findall(r"^([A-Z_]+)=(.*)$", (FOLDER / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))


def instance(task: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / task / "dagster.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("task", ["run", "step"])
def test_dagster_understands_the_instance(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in EXAMPLE.items():
        monkeypatch.setenv(name, value)
    result = process_config(dagster_instance_config_schema(), instance(task))
    assert result.success, result.errors


def test_the_two_ways_differ_in_the_launcher_alone() -> None:
    run, step = instance("run"), instance("step")
    assert run.pop("run_launcher")["class"] == "CeleryRunLauncher"
    assert run == step


def test_the_example_has_what_is_needed_and_nothing_unknown() -> None:
    needed = set(re.findall(r"\{(\w+):\?", START))
    assert needed <= EXAMPLE.keys()
    own = {name for name in EXAMPLE if not name.startswith("SIGMA_")}
    assert own <= set(re.findall(r"\$\{?(\w+)", START))
    assert EXAMPLE.keys() - own <= {setting.variable for setting in SETTINGS}


def test_a_variable_that_is_missing_is_named(tmp_path: Path) -> None:
    """And nothing is started or written."""
    given = {**EXAMPLE, "DAGSTER_HOME": str(tmp_path / "home"), "CELERY_BROKER_URL": ""}
    done = subprocess.run(
        [str(FOLDER / "start"), "worker"],
        env={"PATH": "/usr/bin:/bin", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "CELERY_BROKER_URL: is not set" in done.stderr
    assert not (tmp_path / "home").exists()


def test_a_unit_gets_the_settings_as_they_are_written(tmp_path: Path) -> None:
    """Also what systemd or a shell would read otherwise; and a variable of the unit's own wins."""
    unit = (FOLDER / "sigma-impressions@.service").read_text(encoding="utf-8")
    command = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0].replace("%i", "worker"))
    deploy = tmp_path / "deploy" / "celery"
    deploy.mkdir(parents=True)
    pattern = r"^(?P<day>\d{2})T[^/]* \.csv$"
    (deploy / ".env").write_text(f"NAME=Acme Analytics\nPATTERN={pattern}\nCELERY_QUEUES=dagster\n", encoding="utf-8")
    start = deploy / "start"
    start.write_text('#!/bin/sh\nprintf "%s\\n" "$1" "$NAME" "$PATTERN" "$CELERY_QUEUES"\n', encoding="utf-8")
    start.chmod(0o755)
    assert command[0] == "/srv/sigma-impressions/.venv/bin/dotenv"
    done = subprocess.run(
        [Path(sys.executable).with_name("dotenv"), *command[1:]],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "CELERY_QUEUES": "large"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["worker", "Acme Analytics", pattern, "large"]


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process of the deployment whose program says where it was started and with what, and ends."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("dagster", "dagster-webserver", "dagster-daemon", "celery"):
        (programs / name).write_text('#!/bin/sh\npwd\nprintf "%s\\n" "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    own = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
        "CELERY_TASK": "step",
        "DAGSTER_HOME": str(tmp_path / "home"),
    }

    def start(program: str, port: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(FOLDER / "start"), program],
            env={**EXAMPLE, **own, "DAGSTER_CODE_PORT": str(port)},
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.parametrize("program", ["code", "webserver", "daemon", "worker"])
def test_nothing_is_started_beside_the_settings_of_another_deployment(
    program: str, started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Dagster reads the `.env` of the folder that it is started in, and lets it win: a try would reach what is real."""
    with socket.create_server(("127.0.0.1", 0)) as code_server:
        said, _ = started(program, code_server.getsockname()[1]).communicate(timeout=30)
    folder, *arguments = said.splitlines()
    assert folder == str(tmp_path / "home")
    files = [it for it in arguments if it.endswith((".py", ".yaml"))]
    assert all(it.startswith(f"{FOLDER}/") and Path(it).is_file() for it in files)
    assert len(files) == (program != "worker")


def test_the_daemon_begins_when_the_code_server_answers(started: Callable[..., subprocess.Popen[str]]) -> None:
    """For a code location that is not there a backfill fails for good, and no dead run is tried again."""
    with socket.socket() as code_server:
        code_server.bind(("127.0.0.1", 0))
        process = started("daemon", code_server.getsockname()[1])
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
        code_server.listen()
        said, _ = process.communicate(timeout=30)
    assert "--workspace" in said


def test_where_a_task_is_a_step_all_runs_have_the_executor() -> None:
    definitions: dg.Definitions = runpy.run_path(str(FOLDER / "step" / "definitions.py"))["defs"]
    job = definitions.resolve_job_def(JOB_NAME)
    assert job.executor_def is definitions.executor
    assert job.executor_def.name == "celery"


def test_the_try_needs_nothing_that_only_tests_need() -> None:
    """`make setup` is enough."""
    project = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    of_tests = {canonicalize_name(Requirement(text).name) for text in project["dependency-groups"]["dev"]}
    imported = f"import runpy, sys; runpy.run_path({str(FOLDER / 'try.py')!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", imported], cwd=FOLDER.parents[1], capture_output=True, text=True, check=True
    )
    distributions = metadata.packages_distributions()
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    needed = {canonicalize_name(name) for module in modules for name in distributions.get(module, ())}
    assert "redis" in needed
    assert needed & of_tests == set()
