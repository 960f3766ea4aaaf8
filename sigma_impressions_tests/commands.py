"""Run the command line as a user does: a process of its own, with just the settings of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A clean environment: instance, storage and project folder lie in `folder`."""
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "DAGSTER_HOME": str(home),
        "SIGMA_IMPRESSIONS_PROJECT": str(folder),
        **settings,
    }


def sigma_impressions(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from sigma_impressions.cli import main; main()", *arguments]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=300, check=False)
