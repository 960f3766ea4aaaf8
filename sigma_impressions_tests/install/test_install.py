"""The wheel, installed from the lock into a new environment of each Python that is there, runs the demo.

Each downloads and installs more than a gigabyte.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigma_impressions_tests.install.outside import ROOT, VERSION, build, environment_of_pip, run, try_the_demo

PYTHONS = ("3.11", "3.12", "3.13")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


def interpreter(version: str) -> str | None:
    """The path of a Python of this version; a command of this name need not be one that works."""
    told = "import sys; print(sys.version_info[:2] == tuple(map(int, sys.argv[1].split('.'))))"
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    done = subprocess.run([found, "-c", told, version], capture_output=True, text=True, check=False)
    return found if done.stdout == "True\n" else None


@pytest.fixture
def env() -> dict[str, str]:
    return environment_of_pip()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on the disk: what is installed is too much for memory, where the other tests have theirs."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.mark.parametrize("version", PYTHONS)
def test_the_locked_wheel_runs_the_demo(version: str, wheel: Path, env: dict[str, str], folder: Path) -> None:
    found = interpreter(version)
    if found is None:
        pytest.skip(f"there is no Python {version} on the PATH")
    run(found, "-m", "venv", "venv", cwd=folder)
    python, command = (folder / "venv" / "bin" / name for name in ("python", "sigma-impressions"))
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
    run(*pip, "--require-hashes", "--requirement", ROOT / "requirements.txt", cwd=folder, env=env, timeout=600)
    run(*pip, "--no-index", wheel, cwd=folder, env=env)
    run(python, "-m", "pip", "check", cwd=folder)
    assert run(command, "--version", cwd=folder).split()[-1] == VERSION
    try_the_demo(command, folder, env)
    run(python, "-m", "dagster", "definitions", "validate", "-m", "sigma_impressions.definitions", cwd=folder, env=env)
