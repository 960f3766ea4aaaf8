"""Where the project lies on disk: the folder that relative settings and `dagster_home` start from."""

from __future__ import annotations

import os
from pathlib import Path

from sigma_impressions.errors import Problem, SettingsError
from sigma_impressions.paths import fault_of_dagster_home

PROJECT_VARIABLE = "SIGMA_IMPRESSIONS_PROJECT"


def project_folder() -> Path:
    """The folder with `dagster_home/` and `workspace.yaml` in or above the working directory.

    Outside of one: the checkout that this package is installed from, if it is one, else the working directory.
    `SIGMA_IMPRESSIONS_PROJECT` names another folder, for example in a scheduled job.
    """
    named = os.environ.get(PROJECT_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[1]
    for folder in (here, *here.parents, checkout):
        if (folder / "workspace.yaml").is_file() and (folder / "dagster_home").is_dir():
            return folder
    return here


def local_path(text: str) -> Path:
    """The path of a setting; a relative one starts at the project's folder."""
    return project_folder() / Path(text).expanduser()


def dagster_home(project: Path) -> Path:
    """The folder of the Dagster instance, `DAGSTER_HOME` or by default the project's.

    Raises `SettingsError` if Dagster cannot use it.
    """
    named = os.environ.get("DAGSTER_HOME", "").strip()
    folder = (Path(named).expanduser() if named else project / "dagster_home").resolve()
    if fault := fault_of_dagster_home(folder):
        raise SettingsError(Problem("DAGSTER_HOME", f"leads to a path that {fault}"))
    return folder


def use_dagster_home(project: Path) -> Path:
    """The folder of the Dagster instance, made if need be and set for this process. Raises `SettingsError`."""
    folder = dagster_home(project)
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
