"""What the commands share: their settings, and how they speak and fail."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

import click

# What only some commands need is imported where it is used: the others, and --help, answer sooner.
if TYPE_CHECKING:
    from rich.console import Console

    from sigma_impressions.settings.declared import Settings

DAY = click.DateTime(formats=["%Y-%m-%d"])


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


def fail(message: str) -> NoReturn:
    """Print what went wrong and end the command with exit code 1."""
    from sigma_impressions.terminal import say_message

    say_message(terminal(stderr=True), message, "red")
    sys.exit(1)
