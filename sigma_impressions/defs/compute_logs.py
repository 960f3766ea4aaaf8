"""Dagster's compute logs, what a run prints, for a process that has a terminal of its own to write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage import local_compute_log_manager as log_manager
from dagster._utils import ensure_file


@contextmanager
def compute_logs_apart() -> Iterator[None]:
    """Inside, what a run prints goes to its compute log alone, which the UI shows.

    Dagster would have it shown again by processes that read the log: into whatever line stands at the terminal, each
    with a traceback at Ctrl-C, and two interpreters are started for them in every run. Log managers that keep compute
    logs elsewhere use the local one meanwhile.
    """
    module: Any = log_manager
    mirrored = module.mirror_stream_to_file
    module.mirror_stream_to_file = _to_file
    try:
        yield
    finally:
        module.mirror_stream_to_file = mirrored


@contextmanager
def _to_file(stream: Any, path: str) -> Iterator[None]:
    ensure_file(path)
    with redirect_to_file(stream, path):
        yield
