"""Run a Python function in a process of its own and read its time and peak memory from the operating system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Seconds of wall-clock time and bytes of peak resident memory of a whole process."""

    seconds: float
    peak_bytes: int


def measure(module: str, *arguments: str) -> Measured:
    """Run `python -m module arguments` to its end. Raises `RuntimeError` if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with exit code {process.returncode}")
    return Measured(seconds, usage.ru_maxrss * 1024)


def median(module: str, *arguments: str, runs: int) -> Measured:
    """The run with the median time; one run before it warms the file cache and is not counted."""
    measure(module, *arguments)
    results = sorted((measure(module, *arguments) for _ in range(runs)), key=lambda result: result.seconds)
    return results[len(results) // 2]
