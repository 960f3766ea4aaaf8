"""Temporary folders of a run, which disappear with it, also when its process is killed, and files in one piece.

Where they lie others may write too, a folder of reports or `/tmp` for example. So what is made here is for its owner
only, under a name that nobody can know before; no link is followed, and only what this user made is swept away.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from sigma_impressions.waiting import waiting_for

_LOCK_NAME = ".lock"
_RANDOM = "[0-9a-f]{32}"
_PREFIX = "sigma-impressions-"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive operating-system lock on the file `path`; it is freed when the process dies."""
    with _opened(path, os.O_CREAT) as lock:
        with waiting_for(f"another process, which holds {path}"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A fresh folder under `parent`, removed at the end.

    Its owner holds a lock on it; the next caller of the same user removes the folders whose lock is free, which are
    those of dead processes. They lie beside the tables, so that a finished file moves into a table without a copy.
    """
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{_PREFIX}{uuid.uuid4().hex}"
    with locked(_sweeping(parent)):
        # Under one lock for all, so that nobody sweeps a folder between its creation and its own lock.
        for other in parent.iterdir():
            if _is_scratch(other.name) and _is_own(other, stat.S_ISDIR) and _is_abandoned(other):
                shutil.rmtree(other)
        folder.mkdir(mode=0o700)
        own = (folder / _LOCK_NAME).open("w")
        fcntl.flock(own, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        # Under that lock too, so that nobody sweeps it meanwhile.
        with locked(_sweeping(parent)):
            shutil.rmtree(folder)
        own.close()


def temporary_folder() -> AbstractContextManager[Path]:
    """A fresh folder among the system's temporary ones, removed at the end as `scratch_folder` does.

    For what cannot lie beside the tables, or is needed before they are known.
    """
    return scratch_folder(Path(tempfile.gettempdir()))


def _sweeping(parent: Path) -> Path:
    """The lock under which folders are made and swept: one for each user, since nobody can open that of another."""
    return parent / f".{_PREFIX}{os.geteuid()}{_LOCK_NAME}"


def remove_work_folder(parent: Path) -> None:
    """Remove the folder of scratch folders, if no process has one in it."""
    _sweeping(parent).unlink(missing_ok=True)
    with suppress(OSError):
        parent.rmdir()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to, which takes its place at the end: who reads it never sees half a file.

    Nothing is left there if the writing fails. The file is for its owner only, unless it takes the place of one that
    its owner has given another mode; see `put_in_place`.
    """
    sweep_partials(target)
    with _new_file(target) as partial:
        try:
            yield partial
            put_in_place(partial, target)
        finally:
            partial.unlink(missing_ok=True)


def put_in_place(file: Path, target: Path) -> None:
    """Move a file to a path in the same file system; a file of this user there hands on its mode and group.

    So a report that its owner has opened to a web server stays open to it. A file that its owner made read-only stays
    that: then nobody may write it, and those may read it who could read the one or the other. A link at `target` is
    replaced, and what it leads to stays as it is; so is a file of somebody else, whose mode means nothing.
    """
    if _is_own(target, stat.S_ISREG):
        found, own = target.lstat(), file.stat().st_mode & 0o777
        mode = found.st_mode & 0o777
        try:
            os.chown(file, -1, found.st_gid)
        except PermissionError:
            # What the one group may do is nothing for the other.
            mode &= ~0o070
        file.chmod(mode if own & 0o200 else mode & 0o444 | own)
    file.replace(target)


def make_read_only(file: Path, readers: int) -> None:
    """Let nobody write a file of this user any more, and those of a mode such as 0440 read it besides who may now."""
    if _is_own(file, stat.S_ISREG):
        file.chmod(file.lstat().st_mode & 0o444 | readers)


def sweep_partials(target: Path) -> None:
    """Delete what killed processes of this user have left of a file that was to be replaced."""
    name = re.compile(rf"\.{re.escape(target.name)}\.{_RANDOM}\.partial")
    # A folder that may be written, but not listed, keeps them.
    with suppress(OSError):
        for left in target.parent.iterdir():
            if name.fullmatch(left.name) and _is_own(left, stat.S_ISREG) and _is_free(left):
                left.unlink(missing_ok=True)


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """A new file beside `target`, which nobody sweeps meanwhile."""
    while True:
        path = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
        with _opened(path, os.O_CREAT | os.O_EXCL) as writing:
            fcntl.flock(writing, fcntl.LOCK_EX)
            # Unless somebody has swept it before it was locked.
            if os.fstat(writing).st_nlink:
                yield path
                return


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file that is not a link, for its owner only if it is new."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_own(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether the path itself, not what it leads to, is of a kind and belongs to this user."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return kind(found.st_mode) and found.st_uid == os.geteuid()


def _is_scratch(name: str) -> bool:
    return re.fullmatch(f"{_PREFIX}{_RANDOM}", name) is not None


def _is_abandoned(folder: Path) -> bool:
    try:
        return _is_free(folder / _LOCK_NAME)
    except FileNotFoundError:
        # Its process was killed before it locked the folder, or while it removed it.
        return True


def _is_free(lock: Path) -> bool:
    with _opened(lock, 0) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
