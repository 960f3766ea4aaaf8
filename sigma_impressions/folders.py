"""Whether something can be written in a folder of this machine, and how much; nothing is left there."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = 4096


@dataclass(frozen=True)
class Room:
    """The file system that a folder lies in, or would lie in, and the bytes that are free there for this user."""

    device: int
    free: int = field(compare=False)


def fault_of_folder(folder: Path) -> str | None:
    """Why nothing can be written in a folder, or it cannot be made, as the rest of a sentence; None if it can."""
    nearest = _nearest(folder)
    where = "" if nearest == folder else f" (it would be made in {nearest})"
    if nearest.is_symlink() and not nearest.exists():
        of_what = "is" if nearest == folder else f"lies behind {nearest}, which is"
        return f"{of_what} a link that leads nowhere, to {nearest.readlink()}"
    if not nearest.is_dir():
        return "is no folder" if nearest == folder else f"lies behind {nearest}, which is no folder"
    try:
        # Where the file system allows it the file has no name, so that nothing is left of it even by a killed process.
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(bytes(_BLOCK))
    except OSError as error:
        return f"cannot be written{where}: {error.strerror}"
    return None


def unusable_below(folder: Path, depth: int) -> str | None:
    """The first folder, of this one and those below it, that this user cannot use, as a sentence; None if all can be.

    By the rights, as a table has many folders; whether the file system itself can be written is another question.
    """
    if folder.is_symlink() and not folder.exists():
        return f"{folder} {fault_of_folder(folder)}"
    if not folder.is_dir():
        return None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"{folder} cannot be read and written by this user"
    if not depth:
        return None
    with os.scandir(folder) as entries:
        # Files are left out without a look at each.
        below = sorted(Path(entry.path) for entry in entries if entry.is_dir() or entry.is_symlink())
    return next((fault for path in below if (fault := unusable_below(path, depth - 1))), None)


def room_of(folder: Path) -> Room:
    """How much can be written in a folder. Raises `OSError`."""
    nearest = _nearest(folder)
    return Room(nearest.stat().st_dev, shutil.disk_usage(nearest).free)


def _nearest(folder: Path) -> Path:
    """The folder itself, or what there is of the folders above it."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))
