"""The wheel has all that runs and nothing else, and works where there is no checkout."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from sigma_impressions_tests.install.outside import ROOT, VERSION, build, clean_environment, run, try_the_demo

pytestmark = pytest.mark.slow

PACKAGE = "sigma_impressions"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed into; what it needs is the environment's of the tests."""
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, "--target", folder, wheel, cwd=folder)
    return folder


@pytest.fixture
def env(site: Path, tmp_path: Path) -> dict[str, str]:
    """Variables with which Python takes what is installed there, not the checkout."""
    env = {**clean_environment(), "PYTHONPATH": str(site)}
    found = run(sys.executable, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=tmp_path, env=env)
    assert Path(found.strip()) == site / PACKAGE / "__init__.py"
    return env


def contents(wheel: Path) -> dict[str, str]:
    """The files of a wheel and what is in them, as hashes."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def test_it_has_the_package_and_nothing_else(wheel: Path) -> None:
    files = [path for path in (ROOT / PACKAGE).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    about = ("METADATA", "WHEEL", "entry_points.txt", "RECORD", "licenses/LICENSE")
    assert set(contents(wheel)) == {
        *(path.relative_to(ROOT).as_posix() for path in files),
        *(f"{PACKAGE}-{VERSION}.dist-info/{name}" for name in about),
    }


def test_its_sources_make_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path, filter="data")
    sources = tmp_path / archive.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=sources)
    assert contents(tmp_path / wheel.name) == contents(wheel)


def test_the_demo_runs_where_no_checkout_is(site: Path, env: dict[str, str], tmp_path: Path) -> None:
    before = sorted(site.iterdir())
    try_the_demo(site / "bin" / "sigma-impressions", tmp_path, env)
    assert sorted(site.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_told(site: Path, env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = subprocess.run(
        [site / "bin" / "sigma-impressions", "demo", "--no-ui"],
        env={**env, "SIGMA_IMPRESSIONS_PROJECT": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert said.startswith(
        f"The demo's S3 server keeps its objects in {file}/data/demo/object_store, which lies behind"
    )
    assert said.endswith("Work in another folder, or name one with SIGMA_IMPRESSIONS_PROJECT")


def test_the_version_has_one_home(site: Path, env: dict[str, str], tmp_path: Path) -> None:
    told = run(site / "bin" / "sigma-impressions", "--version", cwd=tmp_path, env=env)
    assert told == f"sigma-impressions, version {VERSION}\n"
    assert f"\n## [{VERSION}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    wheels = [name for page in pages for name in re.findall(r"sigma_impressions-[\w.-]+\.whl", page.read_text("utf-8"))]
    assert set(wheels) == {f"sigma_impressions-{VERSION}-py3-none-any.whl"}
