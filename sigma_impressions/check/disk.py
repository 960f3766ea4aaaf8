"""The step of the disk: whether a run can write in every local folder that it uses, and how much."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sigma_impressions.check.step import Step
from sigma_impressions.folders import Room, fault_of_folder, room_of
from sigma_impressions.lake.storage import BucketStorage
from sigma_impressions.project import local_path
from sigma_impressions.settings.declared import Settings
from sigma_impressions.wiring import storage

LEAST_FREE = 200_000_000
"""Bytes below which something will fail soon, whatever the source: a file, the database or a log does not fit."""

LEAST_TEMPORARY = 20_000_000
"""The same for temporary files alone: a run puts the resources there, from a bucket, and entries of the tables' logs,
and more only where a path holds a `?` (`engine.folder_for_databases`)."""

_SPILL = "SIGMA_IMPRESSIONS_SPILL"
_TEMPORARY = "temporary files"
_OWN = (_SPILL, _TEMPORARY)


def check_disk(settings: Settings, home: Path | None, least_free: int = LEAST_FREE) -> Step:
    """Whether a run can write wherever it does, and how much is free there.

    `home` is the folder of the Dagster instance, if it is one of this machine.
    """
    faults: list[str] = []
    users: dict[Room, list[str]] = {}
    for what, folder in folders_of_a_run(settings, home).items():
        if fault := fault_of_folder(folder):
            # Of the others the steps of Dagster and the storage tell it.
            faults += [f"{what}: {folder} {fault}"] if what in _OWN else []
        else:
            users.setdefault(room_of(folder), []).append(what)
    said, is_short = [], False
    for room, names in users.items():
        said.append(f"{human_size(room.free)} free for {_listed(names)}")
        least = min(least_free, LEAST_TEMPORARY) if names == [_TEMPORARY] else least_free
        if room.free < least:
            said.append(f"a run should have {human_size(least)} at least")
            is_short = True
    if is_short:
        faults += said
    if faults:
        return Step("disk", False, f"{'; '.join(faults)}. Make room or give the right to write there, or set another")
    return Step("disk", True, "; ".join(said))


def folders_of_a_run(settings: Settings, home: Path | None) -> dict[str, Path]:
    """The local folders that a run writes in, by what is kept there."""
    where = storage(settings)
    folders = {
        "the cache" if isinstance(where, BucketStorage) else "the storage": where.local,
        "DAGSTER_HOME": home,
        _SPILL: local_path(settings.spill) if settings.spill else None,
        _TEMPORARY: Path(tempfile.gettempdir()),
    }
    return {what: folder for what, folder in folders.items() if folder is not None}


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def human_size(bytes_: int) -> str:
    """Bytes, as messages show them."""
    if bytes_ >= 10**9:
        return f"{bytes_ / 10**9:,.1f} GB"
    return f"{bytes_ / 10**6:,.0f} MB" if bytes_ >= 10**6 else f"{bytes_ / 10**3:,.0f} kB"
