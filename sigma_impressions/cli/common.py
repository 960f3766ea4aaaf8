"""What the commands share: their settings, and how they speak and fail."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from sigma_impressions.interrupts import Interrupted

# What only some commands need is imported where it is used: the others, and --help, answer sooner.
if TYPE_CHECKING:
    from rich.console import Console

    from sigma_impressions.settings.declared import Settings


class _Day(click.DateTime):
    """A day, called DATE in a command's help."""

    def __init__(self) -> None:
        super().__init__(formats=["%Y-%m-%d"])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "DATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no day. Write it as 2026-10-31.", param, ctx)


DAY = _Day()


class Listing(click.Group):
    """A group that lists its commands as they were added, each with the whole of its first sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as they are listed; click would sort them."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them; click would cut each sentence to one line."""
        rows = [(name, self.commands[name].get_short_help_str(limit=1_000)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


_OWES_JSON = f"{__name__}.owes_json"
"""What click's contexts have while a program waits for an object."""


def owes_json(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
    """The callback of a flag that asks for one JSON object: one there is, however the command ends."""
    ctx.meta[_OWES_JSON] = value
    return value


AS_JSON = click.option(
    "--json",
    "as_json",
    is_flag=True,
    callback=owes_json,
    help="End with one JSON object on standard output; all else goes to the error's.",
)
QUIET = click.option("--quiet", is_flag=True, help="Say only what was found, warnings and errors.")


def called() -> str:
    """How this program is called from here."""
    name = "sigma-impressions"
    command = Path(sys.argv[0])
    return str(command) if command.name == name and not shutil.which(name) else name


def values(given: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """The texts of the settings: those of the environment, and what options of a command say instead."""
    from sigma_impressions.settings.read import environment_values

    return {**environment_values(os.environ), **(given or {})}


def settings_of(given: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment and of options; tells of variables that look like settings and are none."""
    from sigma_impressions.settings.read import misspelt, read_settings

    for problem in misspelt(os.environ):
        say(f"{problem.environment_variable} {problem.message}", "yellow", stderr=True)
    return read_settings(values(given))


def terminal(stderr: bool = False) -> Console:
    """The console of this command."""
    from sigma_impressions.terminal import open_console

    return open_console(stderr=stderr)


def say(line: str, style: str = "", *, stderr: bool = False, mark: tuple[str, str] = ("", "")) -> None:
    """Print one line; before it a mark, with its style."""
    from sigma_impressions import terminal as lines

    lines.say(terminal(stderr), line, style, mark=mark)


def say_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object, for a program to read."""
    from sigma_impressions import terminal as lines

    click.get_current_context().meta[_OWES_JSON] = False
    lines.say_json(terminal(), value)


def _pay_json(failure: str) -> None:
    """Print the object of a command that has ended before it had one, if a program waits for it."""
    if click.get_current_context().meta.get(_OWES_JSON):
        say_json({"failure": failure})


def say_interrupted() -> None:
    """Say that the command was interrupted, on a line of its own: a terminal has written ^C into the one before."""
    from sigma_impressions.terminal import begin_line

    console = terminal(stderr=True)
    begin_line(console)
    say(str(Interrupted()), "yellow", stderr=True)
    _pay_json(str(Interrupted()))


def fail(message: str) -> NoReturn:
    """Print what went wrong and end the command with exit code 1."""
    from sigma_impressions.terminal import say_message

    say_message(terminal(stderr=True), message, "red")
    _pay_json(message)
    sys.exit(1)
