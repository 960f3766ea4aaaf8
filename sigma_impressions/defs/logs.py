"""The log of a step or a tick, in which every message is one line, whatever the names in it hold."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from sigma_impressions.texts import printable

OURS: Final = "sigma_impressions_says"
"""What marks the records of our messages among those that Dagster writes to the same log."""

_MARK = {OURS: True}


class _HasLog(Protocol):
    @property
    def log(self) -> logging.Logger: ...


@dataclass(frozen=True)
class Log:
    """What steps and ticks write to; nothing of `defs/` uses Dagster's own log."""

    _log: logging.Logger

    def info(self, message: str) -> None:
        """Say what was done."""
        self._log.info(printable(message), extra=_MARK)

    def warning(self, message: str) -> None:
        """Say what somebody should look at."""
        self._log.warning(printable(message), extra=_MARK)

    def error(self, message: str) -> None:
        """Say what has failed."""
        self._log.error(printable(message), extra=_MARK)


def log_of(context: _HasLog) -> Log:
    """The log of this step or tick."""
    return Log(context.log)
