"""The log of a step or a tick, in which every message is one line, whatever the names in it hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from sigma_impressions.texts import printable


class _HasLog(Protocol):
    @property
    def log(self) -> logging.Logger: ...


@dataclass(frozen=True)
class Log:
    """What steps and ticks write to; nothing of `defs/` uses Dagster's own log."""

    _log: logging.Logger

    def info(self, message: str) -> None:
        """Say what was done."""
        self._log.info(printable(message))

    def warning(self, message: str) -> None:
        """Say what somebody should look at."""
        self._log.warning(printable(message))

    def error(self, message: str) -> None:
        """Say what has failed."""
        self._log.error(printable(message))


def log_of(context: _HasLog) -> Log:
    """The log of this step or tick."""
    return Log(context.log)
