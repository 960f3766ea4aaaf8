"""Where the project lies on disk: the folder that relative settings and `dagster_home` start from."""

from __future__ import annotations

import os
from pathlib import Path

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


def use_dagster_home(project: Path) -> Path:
    """The folder of the Dagster instance, `DAGSTER_HOME` or by default the project's; set for this process."""
    named = os.environ.get("DAGSTER_HOME", "").strip()
    folder = (Path(named).expanduser() if named else project / "dagster_home").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder
