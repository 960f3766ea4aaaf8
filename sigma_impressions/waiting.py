"""What this process waits for: whoever gives up, or has been silent for long, can name it.

Whoever asks somebody else for something says so with `waiting_for`. A text names the other side and what is being done,
as in `s3.example.com: listing s3://bucket/prefix`; it holds no secret.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

SILENCE_SECONDS = 30.0
"""How long a command may say nothing before it names what it waits for."""

_LONGEST_PAUSE = 480.0
"""The pauses between such sentences double up to this."""


@dataclass(frozen=True)
class _Wait:
    what: str
    thread: int


_waits: list[_Wait] = []
"""What is waited for now, in the order in which it began."""

_changing = threading.Lock()

_said_at = 0.0
"""When this process said something last, by the clock of `time.monotonic`."""


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Inside, this thread waits for somebody else's answer."""
    # One of its own: several may wait for the same.
    wait = _Wait(what, threading.get_ident())
    with _changing:
        _waits.append(wait)
    try:
        yield
    finally:
        with _changing:
            _waits[:] = [other for other in _waits if other is not wait]


def waited_for() -> str | None:
    """What has been waited for longest; None if nothing is."""
    with _changing:
        return _waits[0].what if _waits else None


def _given_up(thread: int | None) -> list[_Wait]:
    """What a thread waits for, which nobody waits for any more."""
    with _changing:
        found = [wait for wait in _waits if wait.thread == thread]
        _waits[:] = [wait for wait in _waits if wait.thread != thread]
    return found


class TooSlow(Exception):
    """Something took longer than it may; `waited_for` is what it was waiting for, if it was."""

    def __init__(self, waited_for: str | None) -> None:
        super().__init__()
        self.waited_for = waited_for


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of `call`. Raises `TooSlow` if it takes longer; what it is doing is left to itself.

    A time-out between two pieces of an answer ends no answer that comes in drips, hence a thread. It does not keep
    the process from ending.
    """
    outcome: list[tuple[T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True, name="within")
    thread.start()
    thread.join(max(0.0, seconds))
    if not outcome:
        waits = _given_up(thread.ident)
        raise TooSlow(waits[0].what if waits else None)
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # what `call` has returned


def interruptibly(call: Callable[[], T]) -> T:
    """The result of `call`, for which an interrupted caller does not wait: some drivers wait for a database in C, where
    no signal reaches them."""
    return within(threading.TIMEOUT_MAX, call)


def said() -> None:
    """Note that this process has just said something."""
    global _said_at  # noqa: PLW0603 - a process speaks with one voice
    _said_at = time.monotonic()


@contextmanager
def waits_told(say: Callable[[str], None], silence: float = SILENCE_SECONDS) -> Iterator[None]:
    """Inside, what is waited for is said after so many seconds of silence, and again after pauses that grow."""
    done = threading.Event()

    def watch() -> None:
        since, pause, told_at = _said_at, silence, 0.0
        while not done.wait(silence / 60):
            if _said_at not in (since, told_at):
                since, pause = _said_at, silence
            seconds = time.monotonic() - since
            if seconds >= pause and (what := waited_for()) is not None:
                say(f"Still waiting for {what} ({seconds:.0f} s)")
                told_at, pause = _said_at, seconds + min(seconds, _LONGEST_PAUSE)

    said()
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
