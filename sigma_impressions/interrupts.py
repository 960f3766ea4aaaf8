"""Ctrl-C, a service manager's stop, a terminal that is closed: a command ends at each, and knows which it was."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IMPATIENCE = 3
"""The how manieth signal ends what the first one has begun to end; people often press Ctrl-C twice."""

_LAST_SECONDS = 3.0
"""What threads of an interrupted command get to end by themselves."""


class Interrupted(KeyboardInterrupt):
    """The command is to end; the text says so, and that nothing is lost."""

    def __str__(self) -> str:
        came = interrupted_by() or signal.SIGINT
        how = "Interrupted" if came == signal.SIGINT else f"Ended by {came.name}"
        return f"{how}. What was captured is kept; run the same command again."


class _Signals:
    """The signals that have come, also those that a handler of somebody else took: Python notes each in a pipe."""

    def __init__(self) -> None:
        self._noted, self.noting = os.pipe()
        os.set_blocking(self._noted, False)
        os.set_blocking(self.noting, False)
        self._first: signal.Signals | None = None
        self.raised = 0

    @property
    def first(self) -> signal.Signals | None:
        if self._first is None:
            with suppress(BlockingIOError):
                self._first = next((s for s in map(signal.Signals, os.read(self._noted, 100)) if s in _SIGNALS), None)
        return self._first

    def handle(self, number: int, _: Any) -> None:
        # Whoever asks at the terminal has a pipe of its own, and puts none back.
        self._first = self.first or signal.Signals(number)
        self.raised += 1
        if self.raised == 1 or self.raised >= _IMPATIENCE:
            raise Interrupted

    def close(self) -> None:
        os.close(self._noted)
        os.close(self.noting)


_signals: _Signals | None = None


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside, signals that are to end the process raise `Interrupted`, also where it was started with Ctrl-C ignored.

    Shells start a background job so, and Dagster treats SIGTERM as it finds Ctrl-C treated.
    """
    global _signals  # noqa: PLW0603 - a process has one set of handlers
    if _signals is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _signals = came = _Signals()
    # Under `nohup` the command outlives its terminal.
    heeded = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, came.handle) for number in heeded}
    noting = signal.set_wakeup_fd(came.noting, warn_on_full_buffer=False)
    unraisable = sys.unraisablehook

    def unraised(told: Any) -> None:
        # Nothing can be raised while an object is deleted; the signal is noted all the same, and the next one raises.
        if told.exc_type is Interrupted:
            came.raised = 0
        elif came.first is None:
            unraisable(told)

    sys.unraisablehook = unraised
    try:
        yield
    finally:
        sys.unraisablehook = unraisable
        signal.set_wakeup_fd(noting)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _signals = None
        came.close()


@contextmanager
def hangup_as_ctrl_c() -> Iterator[None]:
    """Inside, a terminal that is closed interrupts where Ctrl-C does: Dagster puts that one off, and knows no other."""
    if _signals is None or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        yield
        return

    def as_ctrl_c(number: int, frame: Any) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(number, frame)

    before = signal.signal(signal.SIGHUP, as_ctrl_c)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupted_by() -> signal.Signals | None:
    """The first signal that was to end this process, whoever has handled it; None if there was none."""
    return None if _signals is None else _signals.first


def end_if_interrupted() -> None:
    """Raise `Interrupted` if a signal has come that others may have taken."""
    if _signals is not None and _signals.first is not None:
        # From here on as if it had been raised at once: the next one does not break off what the end has to do.
        _signals.raised = max(_signals.raised, 1)
        raise Interrupted


def heed_no_more() -> None:
    """Ignore such signals until `interruptible` ends: the command is at its end."""
    if _signals is not None:
        ignore_signals()


def end_soon(code: int) -> None:
    """End the process with this exit code in some seconds, if it has not ended by itself.

    To be called when everything is said: what is left then are threads that wait for somebody who does not answer, for
    which Python would wait as long.
    """
    ending = threading.Timer(_LAST_SECONDS, os._exit, [code])
    ending.daemon = True
    ending.start()


def ignore_signals() -> None:
    """Ignore signals that are to end this process, which has done its work."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
