"""The terminal: every line that a command prints goes through here, and shows what is in it as it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from sigma_impressions.output import lasting
from sigma_impressions.texts import printable
from sigma_impressions.waiting import said

_live: Console | None = None
"""The console of which the last line changes."""


def open_console(*, stderr: bool = False) -> Console:
    """The console of a command; numbers and paths are not coloured."""
    return Console(file=lasting(sys.stderr if stderr else sys.stdout), highlight=False)


def say(console: Console, line: str, style: str = "", *, mark: tuple[str, str] = ("", "")) -> None:
    """Print one line, whatever names are in it; before it a mark of ours, with its style."""
    # Both streams lead to the terminal, and only that console knows how to write above its last line.
    where = _live if _live is not None and console.is_terminal else console
    text = Text.assemble(mark, (printable(line), style))
    if where.is_terminal:
        # Between words. A path that is longer than a line is left to the terminal, so that it can be copied.
        where.print(text, overflow="ignore", crop=False)
    else:
        where.print(text, soft_wrap=True)
    said()


def say_message(console: Console, message: str, style: str = "") -> None:
    """Print a message whose line ends are ours, as those of the errors that an operator can mend."""
    for line in message.split("\n"):
        say(console, line, style)


def say_json(console: Console, value: Mapping[str, Any]) -> None:
    """Print one JSON object on a line of any length; in ASCII, so that no terminal takes it for anything else."""
    console.print(Text(json.dumps(value)), soft_wrap=True)
    said()


def begin_line(console: Console) -> None:
    """Make the line of a terminal empty that the cursor is in."""
    if console.is_terminal:
        console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))


@contextmanager
def live_line(console: Console, line: RenderableType) -> Iterator[None]:
    """Inside, at a terminal, a line that changes stands below all that is said; elsewhere there is none."""
    global _live  # noqa: PLW0603 - a terminal has one last line
    if not (console.is_interactive and console.file.isatty()):
        yield
        return
    with Live(line, console=console, transient=True, redirect_stdout=False, redirect_stderr=False):
        _live = console
        try:
            yield
        finally:
            _live = None
