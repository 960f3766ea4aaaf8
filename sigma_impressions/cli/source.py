"""The commands about the source: `check`."""

from __future__ import annotations

import sys

import click

from sigma_impressions.cli.common import say, settings_of, values


@click.command()
@click.option("--settings", "listed", is_flag=True, help="List all settings first; of a secret only whether it is set.")
def check(listed: bool) -> None:
    """Test the source: settings, Dagster, disk, storage, credentials, rights, the newest export file, the resources.

    One line for each step, with what to do where it fails. Nothing is captured. Exit code 0 or 1.
    """
    from sigma_impressions.check.source import check_source
    from sigma_impressions.settings.declared import SETTINGS

    if listed:
        described = settings_of().describe()
        for setting in SETTINGS:
            say(f"{setting.variable:<46}{described[setting.name]}")
    passed = True
    for step in check_source(values()):
        mark, style = {True: ("ok  ", "green"), False: ("FAIL", "red"), None: ("skip", "dim")}[step.passed]
        say(f"  {step.name}: {step.message}", mark=(mark, style))
        passed = passed and step.passed is not False
    sys.exit(0 if passed else 1)
