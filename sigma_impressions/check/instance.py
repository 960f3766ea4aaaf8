"""The step of Dagster: whether runs can be recorded, and what the settings of the instance do."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from sigma_impressions.check.step import Step
from sigma_impressions.errors import InstanceError
from sigma_impressions.folders import fault_of_folder, unusable_below
from sigma_impressions.instance import opened_instance
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.project import INSTANCE_SETTINGS

if TYPE_CHECKING:
    import dagster as dg

_DATABASES = "history"
"""The folder of the databases of an instance that was opened before."""

_FOLDERS = (_DATABASES, "schedules", "storage")
"""What Dagster writes to; whatever else lies there, as the `lost+found` of a volume, may be somebody else's."""

_DOCUMENTED = 'docs/run-and-schedule.md, "DAGSTER_HOME"'


def check_home(home: Path) -> Step:
    """Whether an instance can be kept in a folder; nothing is left there."""
    if fault := fault_of_folder(home):
        return Step("dagster", False, f"DAGSTER_HOME leads to {home}, which {fault}")
    settings = home / INSTANCE_SETTINGS
    if not settings.exists():
        if settings.is_symlink():
            return Step("dagster", False, f"{settings} is a link that leads nowhere. Correct or remove it")
        written = f"runs can be recorded in {home}, which gets our {INSTANCE_SETTINGS} from the first command that does"
        return Step("dagster", True, f"{written}. Until then Dagster's own processes send telemetry ({_DOCUMENTED})")
    if fault := next(filter(None, (unusable_below(home / name, 1) for name in _FOLDERS)), None):
        return Step("dagster", False, f"{fault}. DAGSTER_HOME has to belong to the user who runs the pipeline")
    return _check_opened(home, settings)


def _check_opened(home: Path, settings: Path) -> Step:
    """Whether the instance of a folder can be opened, and what its settings do."""
    is_new = not (home / _DATABASES).is_dir()
    # Whoever opens an instance first makes its databases.
    with temporary_folder() if is_new else nullcontext(home) as opened:
        try:
            if is_new:
                shutil.copyfile(settings, opened / INSTANCE_SETTINGS)
            with opened_instance(opened) as instance:
                return check_instance(instance, home)
        except InstanceError as error:
            return Step("dagster", False, str(error).replace(str(opened), str(home)))
        except OSError as error:
            return Step("dagster", False, f"{settings} cannot be read: {error.strerror}")


def check_instance(instance: dg.DagsterInstance, home: Path | None = None) -> Step:
    """What the settings of an opened instance do; `home` is its folder, if it is one of this machine."""
    said = "runs are recorded" + (f" in {home}" if home else "")
    if instance.telemetry_enabled:
        said += f". Dagster's telemetry is on; telemetry: {{enabled: false}} in {INSTANCE_SETTINGS} switches it off"
    if not instance.run_monitoring_enabled:
        said += f". Nobody notices runs that crashed: run_monitoring is off in {INSTANCE_SETTINGS} ({_DOCUMENTED})"
    return Step("dagster", True, said)
