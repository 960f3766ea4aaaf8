"""`make` installs what a target needs, says what it does, and takes nothing half done for done.

A stand-in for Python notes what it is asked for, so that nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/sh
# Asked for its version, for a virtual environment, or for what such an environment is asked for.
case "$*" in
  --version) echo "Python 3.12.1" ;;
  "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && touch "$4/bin/has-pip" ;;
  "-c import pip; "*) test -e "$(dirname "$0")/has-pip" ;;
  *"--requirement "*) echo "${*##* }" >>installed; test ! -e offline ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what make looks at, and the stand-in."""
    folder = tmp_path / "a check out"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-test.txt", "pyproject.toml"):
        shutil.copyfile(ROOT / name, folder / name)
        os.utime(folder / name, (1, 1))
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def make(checkout: Path, target: str, python: str = "./python") -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", target, f"PYTHON={python}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=60, check=False)


def installed(checkout: Path) -> list[str]:
    """The lock files that were installed since the last time this was asked."""
    notes = checkout / "installed"
    names = notes.read_text().split() if notes.exists() else []
    notes.unlink(missing_ok=True)
    return names


def test_the_demo_needs_one_lock_file_and_the_tests_the_other(checkout: Path) -> None:
    said = make(checkout, "setup").stdout.splitlines()
    assert said[0] == "Creating .venv with Python 3.12.1 ..."
    assert said[1].startswith("Installing the ") and said[1].endswith("a minute or two ...")
    assert "packages of requirements.txt into .venv" in said[1]
    assert said[-1] == ".venv is ready: .venv/bin/sigma-impressions --help"
    assert installed(checkout) == ["requirements.txt"]
    # What is there stays there.
    said = make(checkout, "test").stdout.splitlines()
    assert "packages of requirements-test.txt into .venv" in said[0]
    assert installed(checkout) == ["requirements-test.txt"]
    # And the tools of the tests are more than what runs needs.
    make(checkout, "setup")
    make(checkout, "test")
    assert installed(checkout) == []


def test_tests_alone_install_both_at_once(checkout: Path) -> None:
    make(checkout, "test")
    make(checkout, "setup")
    assert installed(checkout) == ["requirements.txt", "requirements-test.txt"]


@pytest.mark.parametrize("changed", ["requirements.txt", "pyproject.toml"])
def test_what_has_changed_is_installed_again(checkout: Path, changed: str) -> None:
    make(checkout, "setup")
    later = (checkout / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    installed(checkout)
    make(checkout, "setup")
    assert installed(checkout) == ["requirements.txt"]


def test_an_installation_that_failed_is_told_in_a_sentence_and_tried_again(checkout: Path) -> None:
    (checkout / "offline").touch()
    failed = make(checkout, "setup")
    assert failed.returncode != 0
    assert "Are the network, pip's index and the disk all right? The same command goes on" in failed.stdout
    (checkout / "offline").unlink()
    installed(checkout)
    assert make(checkout, "setup").returncode == 0
    assert installed(checkout) == ["requirements.txt"]


@pytest.mark.parametrize("lost", [("bin/python",), (".installed", "bin/has-pip")], ids=["its Python", "pip"])
def test_an_environment_that_has_lost_something_is_made_anew(checkout: Path, lost: tuple[str, ...]) -> None:
    make(checkout, "setup")
    for name in lost:
        (checkout / ".venv" / name).unlink()
    installed(checkout)
    assert make(checkout, "setup").stdout.startswith("Creating .venv with Python 3.12.1 ...")
    assert installed(checkout) == ["requirements.txt"]


@pytest.mark.parametrize("python", ["", "/nowhere/python3", "false"])
def test_without_a_new_python_a_sentence_says_so(checkout: Path, python: str) -> None:
    failed = make(checkout, "setup", python)
    assert failed.returncode != 0
    assert failed.stdout == "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python3\n"
    assert not (checkout / ".venv").exists()


def test_locking_needs_uv(checkout: Path) -> None:
    nothing = {"PATH": "/usr/bin:/bin"} if shutil.which("uv", path="/usr/bin:/bin") is None else {"PATH": "/nowhere"}
    make_program = shutil.which("make") or "make"
    failed = subprocess.run(
        [make_program, "lock", f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=nothing,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (failed.returncode, failed.stdout) == (2, "uv is needed: pip install uv\n")
