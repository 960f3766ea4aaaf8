"""The terminal: every line that a command prints goes through here, and shows what is in it as it is."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from sigma_impressions.texts import printable
from sigma_impressions.waiting import said


def open_console(*, stderr: bool = False) -> Console:
    """The console of a command; numbers and paths are not coloured."""
    return Console(stderr=stderr, highlight=False)


def say(console: Console, line: str, style: str = "", *, mark: tuple[str, str] = ("", "")) -> None:
    """Print one line, whatever names are in it; before it a mark of ours, with its style."""
    console.print(Text.assemble(mark, (printable(line), style)), soft_wrap=True)
    said()


def say_message(console: Console, message: str, style: str = "") -> None:
    """Print a message whose line ends are ours, as those of the errors that an operator can mend."""
    for line in message.split("\n"):
        say(console, line, style)
