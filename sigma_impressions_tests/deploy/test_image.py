"""The image of the Dockerfile, built from a base of the system's packages, counts the demo's exports.

Where the base image of the Dockerfile can be pulled, its users build on that; a test has to do without a registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
BASE = "localhost/base"

# How pip reaches its index on this machine.
CONFIGURATION = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]

MISSING = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(MISSING), reason=f"no builder of images here: {' and '.join(MISSING)} not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap makes the base image as root only"),
]


class Builder:
    """buildah with a store of its own, without a daemon and without namespaces."""

    def __init__(self, folder: Path) -> None:
        self._command = ["buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *arguments: str | Path) -> str:
        command = [*self._command, *map(str, arguments)]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=1100, check=False)
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> Iterator[tuple[Builder, str]]:
    """A container of the image with the demo's server, as the Dockerfile builds it."""
    # Gigabytes, so not where the other tests write: that may be memory.
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    buildah = Builder(folder)
    try:
        root = folder / "base"
        packages = "ca-certificates,python3,python3-venv"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, root],
            check=True,
            capture_output=True,
            timeout=600,
        )
        empty = buildah("from", "scratch")
        buildah("add", empty, root, "/")
        buildah("commit", "--rm", empty, BASE)
        volumes = [f"--volume={path}:{path}:ro" for path in CONFIGURATION]
        buildah("bud", "--pull-never", f"--build-arg=BASE={BASE}", "--target=demo", "--tag=demo", *volumes, ROOT)
        yield buildah, buildah("from", "--pull-never", "localhost/demo")
    finally:
        subprocess.run([*buildah._command, "rm", "--all"], capture_output=True, check=False)
        subprocess.run([*buildah._command, "rmi", "--all", "--force"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def test_the_image_runs_as_nobody_in_particular(image: tuple[Builder, str]) -> None:
    buildah, container = image
    config = json.loads(buildah("inspect", "--type=image", "localhost/demo"))["OCIv1"]["config"]
    assert (config["User"], config["Cmd"]) == ("10001", ["sigma-impressions", "--help"])
    assert "Entrypoint" not in config
    assert buildah("run", container, "id", "-u") == "10001"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    said = buildah("run", container, "sigma-impressions", "--version")
    assert said == f"sigma-impressions, version {version}"


def test_the_image_has_what_the_deployment_starts(image: tuple[Builder, str]) -> None:
    buildah, container = image
    for program in ("dagster", "dagster-webserver", "dagster-daemon"):
        assert "1." in buildah("run", container, program, "--version")
    buildah("run", container, "python", "-c", "import dagster_k8s, dagster_postgres, dlt")
    # The chart starts the servers by it.
    buildah("run", container, "/bin/bash", "-c", "true")
    assert "Validation successful" in buildah(
        "run", container, "sh", "-c", "dagster definitions validate -w workspace.yaml 2>&1"
    )


def test_the_image_counts_the_demo(image: tuple[Builder, str]) -> None:
    buildah, container = image
    said = buildah("run", container, "sigma-impressions", "demo", "--no-ui")
    assert "usage_report.html" in said
    found = buildah("run", container, "find", ".", "-name", "sigma_impressions.duckdb", "-size", "+100k")
    assert found.endswith("sigma_impressions.duckdb")
