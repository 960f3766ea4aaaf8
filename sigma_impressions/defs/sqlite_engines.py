"""Dagster's event log in SQLite files, for a process that writes many events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log


@contextmanager
def engines_kept() -> Iterator[None]:
    """Inside, the event log keeps one SQLAlchemy engine for each of its files.

    Dagster makes a new one for each event, and with it loses the statements that were compiled for the last one,
    which takes longer than writing the event: with a hundred events more than a second of a run that finds
    nothing new.
    """
    module: Any = sqlite_event_log
    make = module.create_engine
    engines: dict[str, Any] = {}

    def kept(url: str, **options: Any) -> Any:
        if url not in engines:
            engines[url] = make(url, **options)
        return engines[url]

    module.create_engine = kept
    try:
        yield
    finally:
        module.create_engine = make
