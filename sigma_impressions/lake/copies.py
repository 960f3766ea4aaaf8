"""This machine's copy of a published file that lies in a bucket, and which version it is a copy of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sigma_impressions.lake.scratch import put_in_place, replacing, sweep_partials


class PublishedCopy:
    """A copy at `path`, complete whenever it is there, with a note beside it.

    The note names the version in the bucket and the file that is its copy. It is written before the file is moved
    into place: a copy that it does not describe was written to, was cut, or is that of a killed process, and so is at
    no version. A file without any note is no copy: a version that put nothing into the bucket has published it here.
    Who replaces it holds a lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(f".{path.name}.version")

    def is_at(self, version: str) -> bool:
        """Whether the copy is one of this version."""
        file = state_of(self.path)
        try:
            return file is not None and self._note.read_bytes() == _note_of(file, version)
        except FileNotFoundError:
            return False

    @contextmanager
    def replaced(self, version: str) -> Iterator[Path]:
        """A path to write a version to, which takes the place of the copy at the end."""
        with replacing(self.path) as partial:
            yield partial
            self._describe(partial, version)

    def put(self, file: Path, version: str) -> None:
        """Move a file that was stored as this version into the place of the copy."""
        self._describe(file, version)
        put_in_place(file, self.path)

    def drop(self) -> None:
        """Delete the copy; what is none stays, as it is nowhere else."""
        if self._note.exists():
            self.remove()

    def remove(self) -> None:
        """Delete whatever lies there, copy or not, and what killed processes may have left of it."""
        remove_published(self.path)
        self._note.unlink(missing_ok=True)

    def _describe(self, file: Path, version: str) -> None:
        state = state_of(file)
        assert state is not None
        with replacing(self._note) as note:
            note.write_bytes(_note_of(state, version))


def state_of(file: Path) -> str | None:
    """A text that differs once the file is another one, or was written to; None if there is none.

    It stays the same when the file is moved within its file system.
    """
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def remove_published(path: Path) -> None:
    """Delete a published file, and what killed processes may have left of one."""
    path.unlink(missing_ok=True)
    sweep_partials(path)


def _note_of(file: str, version: str) -> bytes:
    return f"{file} {version}\n".encode()
