"""Wheels, and what is done with them where there is no checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from sigma_impressions_tests.commands import KEPT

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: int = 120) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> Path:
    """Build the wheel, and beside it the archive of its sources."""
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def clean_environment() -> dict[str, str]:
    """Nothing that leads to a project: only the working directory does."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def environment_of_pip() -> dict[str, str]:
    """A clean environment, but for what pip has been told of registries and proxies."""
    told = {
        name: value for name, value in os.environ.items() if re.match("pip_|https?_proxy|no_proxy|ssl_", name, re.I)
    }
    return clean_environment() | told


def try_the_demo(command: str | Path, folder: Path, env: Mapping[str, str]) -> None:
    """Run the demo in a new folder with a space in its name, which is the project's folder then."""
    project = folder / "just looking"
    project.mkdir()
    said = run(command, "demo", "--no-ui", "--days", "6", cwd=project, env=env)
    demo = project / "data" / "demo"
    assert str(demo / "storage" / "sigma_impressions.duckdb") in " ".join(said.split())
    with duckdb.connect(demo / "storage" / "sigma_impressions.duckdb", read_only=True) as connection:
        assert connection.sql("SELECT count(*) > 100 FROM popular_resources").fetchall() == [(True,)]
    assert (demo / "storage" / "usage_report.html").stat().st_size > 100_000
    assert (demo / "dagster_home" / "dagster.yaml").is_file()
    assert [path.name for path in project.iterdir()] == ["data"]
