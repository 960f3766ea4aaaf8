"""The step of the disk: whether a run can write in every local folder that it uses, and how much."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    folders, faults = folders_of_a_run(settings, home), []
    for what, folder in list(folders.items()):
        if fault := fault_of_folder(folder):
            # Of the others the steps of Dagster and the storage tell it.
            faults += [f"{what}: {folder} {fault}"] if what in _OWN else []
            del folders[what]
    disks = disks_of(folders, least_free)
    said = [str(disk) for disk in disks]
    if any(disk.is_short for disk in disks):
        faults += said
    if faults:
        return Step("disk", False, f"{'; '.join(faults)}. Make room or give the right to write there, or set another")
    return Step("disk", True, "; ".join(said))


@dataclass(frozen=True)
class Disk:
    """A disk that a run writes to: what is kept there, the bytes that are free, and how many should be at least."""

    kept: tuple[str, ...]
    free: int
    least: int

    @property
    def is_short(self) -> bool:
        """Whether something will fail soon."""
        return self.free < self.least

    def __str__(self) -> str:
        said = f"{human_size(self.free)} free for {_listed(self.kept)}"
        return f"{said}; a run should have {human_size(self.least)} at least" if self.is_short else said


def disks_of(folders: Mapping[str, Path], least_free: int = LEAST_FREE) -> list[Disk]:
    """The disks that folders lie on, or would lie on, given by what is kept there."""
    users: dict[Room, list[str]] = {}
    for what, folder in folders.items():
        users.setdefault(room_of(folder), []).append(what)
    return [
        Disk(tuple(kept), room.free, min(least_free, LEAST_TEMPORARY) if kept == [_TEMPORARY] else least_free)
        for room, kept in users.items()
    ]


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


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def human_size(bytes_: int) -> str:
    """Bytes, as messages show them."""
    if bytes_ >= 10**9:
        return f"{bytes_ / 10**9:,.1f} GB"
    return f"{bytes_ / 10**6:,.0f} MB" if bytes_ >= 10**6 else f"{bytes_ / 10**3:,.0f} kB"
