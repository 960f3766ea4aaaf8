"""Files for their owner only: what is stored, published and logged tells of people, and a machine may have others."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_OTHERS = 0o077

_state = threading.Lock()
_inside = 0
_umask_before = 0


@contextmanager
def for_owner_only() -> Iterator[None]:
    """Inside, new files and folders of this process are its user's alone, whoever makes them.

    By the umask, the one thing that DuckDB, Delta Lake and Dagster's databases heed alike. It belongs to the whole
    process, whose other code need not expect it: so it is set while our own work goes on, and not by an import. What
    is there already keeps its mode.
    """
    global _inside, _umask_before  # noqa: PLW0603 - the umask is one for the process, too
    with _state:
        if _inside == 0:
            _umask_before = os.umask(_NOT_OTHERS)
            os.umask(_umask_before | _NOT_OTHERS)
        _inside += 1
    try:
        yield
    finally:
        # Ticks run in threads beside each other: the last one out restores it.
        with _state:
            _inside -= 1
            if _inside == 0:
                os.umask(_umask_before)
