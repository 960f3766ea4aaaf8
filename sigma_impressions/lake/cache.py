"""A folder of this machine that keeps copies of remote files which never change, up to a size."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sigma_impressions.clock import SKEW

_THREADS = 8
_PARTIAL = ".partial"
_STARTED = time.time()
"""When this process began: what was used since then is never evicted by it."""


class FileCache:
    """Copies of remote files under one folder, each at the path that it has in the storage location.

    A copy is complete or not there: it is moved into place. The files used longest ago go when the folder
    exceeds `limit` bytes, at the first use by an object while no other process uses the folder. Whoever got
    paths holds a shared lock on it as long as the object lives, so that nobody takes its files away.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self._limit = limit
        self._lock: int | None = None
        self._entering = threading.Lock()

    def paths(self, sizes: Mapping[str, int], fetch: Callable[[str, Path], None]) -> list[Path]:
        """Local paths of the named files, which have so many bytes; what is not here is fetched, several at a time.

        So is a copy of another size: the machine may have lost its power. Raises `ValueError` if what is fetched has
        one.
        """
        self._enter()
        found = [self.folder / name for name in sizes]
        missing = [(name, path) for name, path in zip(sizes, found, strict=True) if not _touch(path, sizes[name])]
        if missing:
            with ThreadPoolExecutor(min(_THREADS, len(missing)), thread_name_prefix="fetch") as pool:
                for done in [pool.submit(_fetch, fetch, name, path, sizes[name]) for name, path in missing]:
                    done.result()
        return found

    def take(self, file: Path, name: str) -> None:
        """Keep a local file, which was uploaded under this name, so that it need not be fetched again."""
        self._enter()
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)

    def drop(self, folder: str) -> None:
        """Delete the copies below a folder that the storage location does not have any more."""
        shutil.rmtree(self.folder / folder, ignore_errors=True)

    def clear(self) -> None:
        """Delete all copies; those who hold paths of them must not read these any more."""
        self._enter()
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != ".lock":
                path.unlink()

    def _enter(self) -> None:
        with self._entering:
            if self._lock is None:
                self._lock = self._locked()

    def _locked(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody reads files of it, and evicts nothing meanwhile either; it may grow until they are done.
            pass
        else:
            self._evict()
        fcntl.flock(lock, fcntl.LOCK_SH)
        return lock

    def _evict(self) -> None:
        files = []
        for path in self.folder.rglob("*"):
            if path.name.endswith(_PARTIAL):
                path.unlink()
            elif path.is_file() and path.name != ".lock":
                found = path.stat()
                # One of the future is of a clock that was ahead: it is not this process that uses it.
                used = found.st_mtime if found.st_mtime <= time.time() + SKEW.total_seconds() else 0
                files.append((used, found.st_size, path))
        size = sum(bytes_ for _, bytes_, _ in files)
        for used, bytes_, path in sorted(files):
            if size <= self._limit or used >= _STARTED:
                return
            path.unlink()
            size -= bytes_

    def __del__(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def _touch(path: Path, size: int) -> bool:
    """Note that the file is used now; False if there is none of that size."""
    try:
        os.utime(path)
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _fetch(fetch: Callable[[str, Path], None], name: str, target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        fetch(name, partial)
        if (found := partial.stat().st_size) != size:
            raise ValueError(f"{name} has {found} bytes instead of {size}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
