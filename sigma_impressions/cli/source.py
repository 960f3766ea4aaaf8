"""The commands about the source: `check`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from itertools import tee
from typing import TYPE_CHECKING

import click

from sigma_impressions.cli.common import AS_JSON, say, say_json, settings_of, values

if TYPE_CHECKING:
    from sigma_impressions.check.step import Step


@click.command()
@click.option("--settings", "listed", is_flag=True, help="List all settings first; of a secret only whether it is set.")
@AS_JSON
def check(listed: bool, as_json: bool) -> None:
    """Test the source: settings, Dagster, disk, storage, credentials, rights, the newest export file, the resources.

    One line for each step, with what to do where it fails. Nothing is captured. Exit code 0 or 1.
    """
    from sigma_impressions.check.source import check_source
    from sigma_impressions.settings.declared import SETTINGS

    if listed:
        described = settings_of().describe()
        for setting in SETTINGS:
            say(f"{setting.variable:<46}{described[setting.name]}", stderr=as_json)
    shown, steps = tee(check_source(values()))
    failed = tell_steps(shown, stderr=as_json)
    if as_json:
        say_json({"passed": not failed, "steps": [asdict(step) for step in steps]})
    sys.exit(1 if failed else 0)


def tell_steps(steps: Iterable[Step], *, stderr: bool = False) -> list[Step]:
    """Say how each step of a test went, while it goes on; those that failed."""
    failed = []
    for step in steps:
        mark, style = {True: ("ok  ", "green"), False: ("FAIL", "red"), None: ("skip", "dim")}[step.passed]
        say(f"  {step.name}: {step.message}", stderr=stderr, mark=(mark, style))
        if step.passed is False:
            failed.append(step)
    return failed
