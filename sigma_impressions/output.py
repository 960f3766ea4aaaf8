"""The output of a process: what cannot be written fails no work, and what is for its reader reaches that one.

A character that the terminal's encoding lacks is replaced. Where nothing can be written any more, on a full disk or to
a pipe whose reader has gone, the work goes on in silence. During the steps of a run Dagster leads the standard streams
to a file; what a person is to see is written to `lasting` ones.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TextIO, cast


@contextmanager
def output_may_fail() -> Iterator[None]:
    """Inside, nothing that is printed can fail the work; at its end a full disk is told, where that is possible."""
    _open_closed()
    out, errors = _Standard(sys.stdout), _Standard(sys.stderr)
    with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", errors)):
        try:
            yield
        finally:
            out.end()
            failure = out.failure or out.lasting.failure
            # Whoever has closed a pipe wants no more.
            if failure is not None and failure.errno != errno.EPIPE:
                errors.write(f"The output could not be written ({failure.strerror}); the command went on without it.\n")
            errors.end()


def lasting(stream: TextIO) -> TextIO:
    """The stream that goes where a standard one did when the command began, whatever that one is led to meanwhile."""
    return cast("TextIO", stream.lasting) if isinstance(stream, _Standard) else stream


def is_captured(stream: TextIO) -> bool:
    """Whether a standard stream is led to another place than when the command began."""
    return (
        isinstance(stream, _Standard)
        and stream.lasting is not stream
        and not os.path.sameopenfile(stream.fileno(), stream.lasting.fileno())
    )


class _Output:
    """A stream of this process until it fails; what is written to it then is lost."""

    def __init__(self, stream: TextIO) -> None:
        # That of errors writes what it lacks in ASCII, as Python made it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="replace")
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write it if that is possible."""
        try:
            return self._stream.write(text)
        except OSError as failure:
            self._give_up(failure)
            return len(text)

    def flush(self) -> None:
        """Write what is waiting if that is possible."""
        try:
            self._stream.flush()
        except OSError as failure:
            self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        self.failure = self.failure or failure
        # What still waits would fail once more, at the latest when the process ends.
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Standard(_Output):
    """Standard output or error; `lasting` is a copy of it, or itself where it has no descriptor."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lasting: _Output = self
        # A test of the command line may have put something else in its place.
        with suppress(OSError):
            copy = os.dup(stream.fileno())
            self.lasting = _Output(os.fdopen(copy, "w", encoding=stream.encoding, errors=stream.errors))

    def end(self) -> None:
        """Write what is waiting, and give the copy up."""
        self.flush()
        if self.lasting is not self:
            self.lasting.flush()
            self.lasting.close()


def _open_closed() -> None:
    """Open the streams that the process was started without: a file of ours would get the number of one, and its text.

    Python has set them to None.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with suppress(OSError):
            os.fstat(number)
            continue
        # The lowest number that is free.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
