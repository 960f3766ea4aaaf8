"""The output of a process: what cannot be written fails no work.

A character that the terminal's encoding lacks is replaced. Where nothing can be written any more, on a full disk or to
a pipe whose reader has gone, the work goes on in silence.
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
    out, errors = _Output(sys.stdout), _Output(sys.stderr)
    with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", errors)):
        try:
            yield
        finally:
            out.flush()
            # Whoever has closed a pipe wants no more.
            if out.failure is not None and out.failure.errno != errno.EPIPE:
                reason = out.failure.strerror
                errors.write(f"The output could not be written ({reason}); the command went on without it.\n")
            errors.flush()


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
