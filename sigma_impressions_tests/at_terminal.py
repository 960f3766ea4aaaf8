"""A command at a terminal: keys go in, and the screen is what a person would see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte

from sigma_impressions_tests.commands import COMMAND

ROOT = Path(__file__).parents[1]
"""The code under test, which a process in another folder would not find."""

ENTER, DOWN, UP, CTRL_C = "\r", "\x1b[B", "\x1b[A", "\x03"


class _Screen(pyte.HistoryScreen):
    """A screen that answers what a program asks of it, as terminals do."""

    def __init__(self, columns: int, lines: int, answer: Callable[[str], object]) -> None:
        super().__init__(columns, lines, history=20_000, ratio=0.5)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data)


class Terminal:
    """A process whose input and output are a terminal."""

    def __init__(self, process: pexpect.spawn[str], columns: int, lines: int) -> None:
        self.process = process
        self._screen = _Screen(columns, lines, process.send)
        self._stream = pyte.Stream(self._screen)

    @property
    def lines(self) -> list[str]:
        """All that is readable now, what has scrolled off the top first."""
        above = ["".join(line[n].data for n in range(self._screen.columns)) for line in self._screen.history.top]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def text(self) -> str:
        """The lines, without the empty ones at the end."""
        return "\n".join(self.lines).rstrip()

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Read until a text can be read on the screen."""
        self._read(lambda: text in self.text, f"{text!r} to be on the screen", seconds)

    def wait_for_question(self, text: str, seconds: float = 60) -> None:
        """Read until a text stands in the last question, or below it."""
        self._read(lambda: text in self.text.rpartition("\n? ")[2], f"{text!r} to be asked", seconds)

    def press(self, *keys: str) -> None:
        """Press keys; texts are typed."""
        for key in keys:
            self.process.send(key)

    def ended(self, seconds: float = 120) -> int:
        """Read until the process has ended; its exit code, or minus the number of the signal that killed it."""
        self._read(lambda: False, "the command to end", seconds, until_end=True)
        self.process.close()
        killed_by = self.process.signalstatus
        return -killed_by if killed_by is not None else self.process.exitstatus

    def _read(self, done: Callable[[], bool], what: str, seconds: float, until_end: bool = False) -> None:
        until = time.monotonic() + seconds
        while not done():
            try:
                self._stream.feed(self.process.read_nonblocking(65_536, timeout=0.2))
            except pexpect.TIMEOUT:
                assert time.monotonic() < until, f"waited {seconds} s for {what}:\n{self.text}"
            except pexpect.EOF:
                assert until_end or done(), f"the command ended before {what}:\n{self.text}"
                return


@contextmanager
def at_terminal(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    columns: int = 100,
    lines: int = 40,
    command: Sequence[str] = COMMAND,
) -> Iterator[Terminal]:
    """Start a command at a terminal of a size; it is killed at the end if it still runs."""
    process = pexpect.spawn(
        command[0],
        [*command[1:], *arguments],
        env={"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **env},
        cwd=str(cwd),
        dimensions=(lines, columns),
        encoding="utf-8",
        codec_errors="replace",
        timeout=None,
    )
    try:
        yield Terminal(process, columns, lines)
    finally:
        process.close(force=True)
