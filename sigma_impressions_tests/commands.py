"""Run the command line as a user does: a process of its own, with just the settings of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@cache
def _empty_instance() -> tempfile.TemporaryDirectory[str]:
    """The folder of a Dagster instance that nothing has run on, until this process ends."""
    import dagster as dg

    folder = tempfile.TemporaryDirectory()
    with dg.DagsterInstance.local_temp(folder.name):
        return folder


def add_instance(home: Path) -> None:
    """Put the databases of an empty Dagster instance into a folder, as Dagster itself does in ten times the time."""
    shutil.copytree(_empty_instance().name, home, dirs_exist_ok=True)


COMMAND = (sys.executable, "-m", "sigma_impressions")
"""`sigma-impressions`, of the code under test."""


def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take all settings and credentials out of the environment of this process, until the test ends."""
    for name in list(os.environ):
        if name.startswith(("SIGMA_", "AWS_", "GOOGLE_", "STORAGE_EMULATOR", "DAGSTER_")):
            monkeypatch.delenv(name)


def environment(folder: Path, settings: Mapping[str, str], *, new_instance: bool = False) -> dict[str, str]:
    """A clean environment: instance, storage and project folder lie in `folder`.

    With `new_instance` the folder of the instance is empty, and whoever opens it first creates its databases.
    """
    home = folder / "dagster_home"
    if not home.exists():
        home.mkdir(parents=True)
        if not new_instance:
            add_instance(home)
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "DAGSTER_HOME": str(home),
        "SIGMA_IMPRESSIONS_PROJECT": str(folder),
        **settings,
    }


def sigma_impressions(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=dict(env), capture_output=True, text=True, timeout=300, check=False
    )
