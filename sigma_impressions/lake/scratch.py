"""Temporary folders of a run, which disappear with it, also when its process is killed, and files in one piece."""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_NAME = ".lock"
"""File in a folder that its users hold a lock on."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive operating-system lock on the file `path`; it is freed when the process dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder under `parent`, removed at the end.

    Its owner holds a lock on it; the next caller removes the folders whose lock is free, which are those of
    dead processes. They lie beside the tables, so that a finished file moves into a table without a copy.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / uuid.uuid4().hex
    with locked(parent / LOCK_NAME):
        # Under one lock for all, so that nobody sweeps a folder between its creation and its own lock.
        for other in parent.iterdir():
            if other.is_dir() and _is_abandoned(other):
                shutil.rmtree(other)
        folder.mkdir()
        own = (folder / LOCK_NAME).open("w")
        fcntl.flock(own, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        # Under that lock too, so that nobody sweeps it meanwhile.
        with locked(parent / LOCK_NAME):
            shutil.rmtree(folder)
        own.close()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to, which takes its place at the end: who reads it never sees half a file.

    Nothing is left there if the writing fails.
    """
    partial = partial_path(target)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def partial_path(target: Path) -> Path:
    """Where `replacing` writes; a killed process leaves its file there, and the next one writes over it."""
    return target.with_name(f".{target.name}.partial")


def _is_abandoned(folder: Path) -> bool:
    try:
        lock = (folder / LOCK_NAME).open("r+")
    except FileNotFoundError:
        # Its process was killed before it locked the folder, or while it removed it.
        return True
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
