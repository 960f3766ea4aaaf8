"""Dagster's databases in SQLite files, for a process that writes many events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from sqlalchemy import QueuePool, event

_FILES = 8
"""How many databases stay open: that of a run is not needed any more after it, and a backfill has many runs."""


class _Open(QueuePool):
    """Connections that outlive the one use that Dagster makes of each, until `close`."""

    def dispose(self) -> None:
        pass

    def recreate(self) -> _Open:
        return self

    def close(self) -> None:
        """Close what is not in use."""
        super().dispose()


@contextmanager
def engines_kept() -> Iterator[None]:
    """Inside, each of Dagster's SQLite files has one SQLAlchemy engine, with connections that stay open.

    Dagster makes a new engine for each event, and with it loses the statements that were compiled for the last one;
    and as it closes its only connection, SQLite moves what was written into the database each time. Both take longer
    than writing the event: with a hundred events more than a second of a run that finds nothing new. Nor is the disk
    waited for at each event: a power loss may take the last ones, and leaves the databases whole.
    """
    modules: tuple[Any, ...] = (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage)
    make = modules[0].create_engine
    engines: dict[str, Any] = {}
    changing = Lock()

    def kept(url: str, **options: Any) -> Any:
        with changing:
            if url not in engines:
                if len(engines) == _FILES:
                    engines.pop(next(iter(engines))).pool.close()
                engines[url] = make(url, **{**options, "poolclass": _Open})
                event.listen(engines[url], "connect", _without_waiting)
            # The one that was used last is given up last.
            engines[url] = engines.pop(url)
            return engines[url]

    for module in modules:
        module.create_engine = kept
    try:
        yield
    finally:
        for module in modules:
            module.create_engine = make
        for engine in engines.values():
            engine.pool.close()


def _without_waiting(connection: Any, _: Any) -> None:
    # In WAL mode, which Dagster chooses, SQLite promises a whole database with it.
    connection.execute("PRAGMA synchronous = NORMAL")
