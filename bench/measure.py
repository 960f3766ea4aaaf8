"""Run Python modules in processes of their own and read their time and peak memory from the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True)
class Measured:
    """Seconds of wall-clock time and bytes of peak resident memory of a whole process, and what it printed."""

    seconds: float
    peak_bytes: int
    output: str

    @property
    def work_seconds(self) -> float:
        """The seconds of its work without the start of the process and its imports, which it has printed."""
        return float(self.output.splitlines()[-1])

    @property
    def memory(self) -> str:
        """The peak memory, for a table."""
        return f"{self.peak_bytes / 1e9:.2f} GB"


_OUTPUT_LIMIT = 100_000

Command = Sequence[str]
"""A module and its arguments, as for `python -m`; or a program, if the first word is a path."""


def measure(command: Command, environ: Mapping[str, str] | None = None, checkout: Path | None = None) -> Measured:
    """Run a command to its end, with the modules of `checkout` if one is given. Raises `RuntimeError` if it fails."""
    words = list(command) if os.sep in command[0] else [sys.executable, "-m", *command]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(words, stdout=output, env={**os.environ, **(environ or {})}, cwd=checkout)
        return _wait(process, command, start, output)


def _wait(process: subprocess.Popen[bytes], command: Command, start: float, output: IO[str]) -> Measured:
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}")
    output.seek(0)
    return Measured(seconds, usage.ru_maxrss * 1024, output.read(_OUTPUT_LIMIT))


def compare(
    commands: Mapping[str, Command], rounds: int, checkouts: Mapping[str, Path | None] | None = None
) -> dict[str, Measured]:
    """The run with the median time of every command; those with a checkout have its modules.

    They take turns, so that a machine that grows slower or faster meanwhile does so for all; the first round warms
    the file cache and is not counted.
    """
    results: dict[str, list[Measured]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            measured = measure(command, checkout=(checkouts or {}).get(name))
            if number:
                results[name].append(measured)
    return {name: sorted(runs, key=lambda run: run.seconds)[len(runs) // 2] for name, runs in results.items()}


def revision(checkout: Path) -> str:
    """The commit of a checkout, for a sentence."""
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%h of %as"]
    return f"commit {subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}"
