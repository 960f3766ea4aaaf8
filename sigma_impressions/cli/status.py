"""The command that says how everything is: `status`."""

from __future__ import annotations

import sys

import click

from sigma_impressions.cli.common import AS_JSON, say, say_json, settings_of, terminal
from sigma_impressions.project import dagster_home, project_folder


@click.command()
@AS_JSON
def status(as_json: bool) -> None:
    """Say on one screen how everything is: captured, published, red and yellow, runs, sizes.

    Looks at what is stored and recorded, and writes nothing. The exports' bucket is not asked: `check` does that. Exit
    code 0, or 1 if something is red or nothing is published.
    """
    settings = settings_of()
    from sigma_impressions.status.facts import Colour
    from sigma_impressions.status.gather import read_status
    from sigma_impressions.status.shown import as_lines, as_values

    found = read_status(settings, dagster_home(project_folder()))
    if as_json:
        say_json(as_values(found))
    else:
        console = terminal()
        for line in as_lines(found, console.width, console.height - 1 if console.is_terminal else None):
            say(line.text, line.style, mark=line.mark)
    sys.exit(1 if found.colour is Colour.RED else 0)
