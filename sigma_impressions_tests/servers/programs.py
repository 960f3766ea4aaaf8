"""Servers of the tests' own that are programs of the system: started, waited for, ended with the tests."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sigma_impressions.demo.object_store import end_with_parent

START_SECONDS = 30


def any_free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def start(command: Sequence[str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a server in a folder, which writes what it prints to `log`, and dies with this process."""
    with log.open("wb") as output:
        return subprocess.Popen(
            end_with_parent(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for the caller, which stops the server after its own last word.
            start_new_session=True,
        )


def await_answer(
    name: str, ask: Callable[[], object], no_answer: type[Exception], process: subprocess.Popen[bytes], log: Path
) -> None:
    """Return when a server answers. Raises `RuntimeError`, with its log, if it has ended, or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            ask()
            return
        except no_answer as error:
            if process.poll() is not None or time.monotonic() >= deadline:
                said = log.read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{name} does not answer (exit code {process.poll()}): {said}") from error
            time.sleep(0.05)
