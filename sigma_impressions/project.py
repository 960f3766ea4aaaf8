"""Where the project lies on disk: the folder that relative settings and `dagster_home` start from, and whose it is."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from sigma_impressions.errors import Problem, RefusedValue, SettingsError
from sigma_impressions.folders import fault_of_folder
from sigma_impressions.paths import fault_of_dagster_home

PROJECT_VARIABLE = "SIGMA_IMPRESSIONS_PROJECT"

ENV_FILE = ".env"

WORKSPACE = "workspace.yaml"
_DAGSTER_HOME = "dagster_home"
INSTANCE_SETTINGS = "dagster.yaml"
"""What the settings of a Dagster instance are called in its folder."""

_OUR_INSTANCE_SETTINGS = Path(__file__).with_name(INSTANCE_SETTINGS)
_WRITABLE = "Make room or give this user the right to write there, or name another folder"
_FOLLOWED = (WORKSPACE, _DAGSTER_HOME, ENV_FILE, ".dlt")
"""What is followed if it lies in the project's folder, by us or by Dagster and dlt."""


def project_folder() -> Path:
    """The folder with `dagster_home/` and `workspace.yaml` in or above the working directory.

    Outside of one: the checkout that this package is installed from, if it is one, else the working directory.
    `SIGMA_IMPRESSIONS_PROJECT` names another folder, for example in a scheduled job.

    Raises `SettingsError` if what was found, and not named, is somebody else's: whoever writes `.env` says where the
    secrets go, and Dagster runs code that `dagster.yaml` names.
    """
    if named := _named(PROJECT_VARIABLE):
        return named
    here = Path.cwd()
    checkout = Path(__file__).resolve().parents[1]
    for folder in (here, *here.parents, checkout):
        if (folder / WORKSPACE).is_file() and (folder / _DAGSTER_HOME).is_dir():
            # Whoever could change the checkout could change this code.
            if folder != checkout:
                _refuse_foreign([folder, *(folder / name for name in _FOLLOWED)])
            return folder
    _refuse_foreign(here / name for name in _FOLLOWED)
    return here


def local_path(text: str) -> Path:
    """The path of a setting; a relative one starts at the project's folder. Raises `RefusedValue`."""
    return project_folder() / _expanded(text)


def _expanded(text: str) -> Path:
    """A path in which `~` stands for a home. Raises `RefusedValue` for that of a user who has none."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        home = text.partition("/")[0]
        raise RefusedValue(f"begins with {home!r}, and no such home is known. Write the whole path") from None


def _named(variable: str) -> Path | None:
    """The folder that a variable names, without links in it; None if it is not set. Raises `SettingsError`."""
    text = os.environ.get(variable, "").strip()
    try:
        return _expanded(text).resolve() if text else None
    except RefusedValue as refused:
        raise SettingsError(Problem(variable, str(refused))) from None


def dagster_home(project: Path) -> Path:
    """The folder of the Dagster instance, `DAGSTER_HOME` or by default the project's.

    Raises `SettingsError` if Dagster cannot use it.
    """
    folder = _named("DAGSTER_HOME") or (project / _DAGSTER_HOME).resolve()
    if fault := fault_of_dagster_home(folder):
        raise SettingsError(Problem("DAGSTER_HOME", f"leads to a path that {fault}"))
    return folder


def use_dagster_home(project: Path) -> Path:
    """The folder of the Dagster instance, made if need be and set for this process. Raises `SettingsError`.

    Where it has no `dagster.yaml` it gets ours: by Dagster's own defaults the instance would send telemetry, watch no
    runs and keep all ticks.
    """
    folder = dagster_home(project)
    if fault := fault_of_folder(folder):
        raise SettingsError(Problem("DAGSTER_HOME", f"leads to {folder}, which {fault}. {_WRITABLE}"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _add_instance_settings(folder / INSTANCE_SETTINGS)
    except OSError as error:
        fault = f"cannot be written: {error.strerror}"
        raise SettingsError(Problem("DAGSTER_HOME", f"leads to {folder}, which {fault}. {_WRITABLE}")) from None
    os.environ["DAGSTER_HOME"] = str(folder)
    return folder


def _add_instance_settings(path: Path) -> None:
    """Put the settings of the Dagster instance to a path, unless something is there."""
    if os.path.lexists(path):
        return
    # In one piece: Dagster takes an empty file for one that changes nothing.
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.copyfile(_OUR_INSTANCE_SETTINGS, partial)
    partial.replace(path)


def _refuse_foreign(paths: Iterable[Path]) -> None:
    """Raise `SettingsError` for the first path that is there and that another user could have made or changed."""
    trusted = _trusted_users()
    for path in paths:
        try:
            # A link as well as what it leads to.
            link, found = path.lstat(), path.stat()
        except OSError:
            # Nothing that could be read.
            continue
        strangers = {link.st_uid, found.st_uid} - trusted
        if strangers:
            raise _refused(path, f"belongs to {_user(min(strangers))}, not to {_user(os.geteuid())}", "chown")
        is_sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_mode & stat.S_IWOTH and not is_sticky:
            raise _refused(path, "may be written by every user of this machine", "chmod o-w")


def _trusted_users() -> set[int]:
    """This user and root; under sudo also the user who called it, as Git has it."""
    users = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdecimal():
        users.add(int(caller))
    return users


def _refused(path: Path, why: str, mend: str) -> SettingsError:
    return SettingsError(
        Problem(
            PROJECT_VARIABLE,
            f"is not set, and {path}, which was found from the working directory, {why}: what it says is not "
            f"followed. Work in another folder, or change that ({mend}); if it is the right project all the same, set "
            f"{PROJECT_VARIABLE} to its folder",
        )
    )


def _user(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
