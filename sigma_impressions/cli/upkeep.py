"""The commands that look after what is stored: `maintain`, `pseudonymize` and `forget`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from sigma_impressions.cli.common import AS_JSON, QUIET, fail, say, say_json, settings_of, terminal
from sigma_impressions.errors import NothingComputed
from sigma_impressions.project import project_folder, use_dagster_home
from sigma_impressions.upkeep import DEFAULT_KEEP_DAYS

if TYPE_CHECKING:
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.settings.declared import Settings
    from sigma_impressions.upkeep.edit_users import Edited


@click.command()
@click.option(
    "--keep-days",
    type=click.IntRange(1, 3650),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="Days for which older versions of the tables, and what nothing refers to, are kept.",
)
@click.option("--verify", is_flag=True, help="First read every stored file: does it hold the bytes that were written?")
@click.option(
    "--drop-damaged",
    is_flag=True,
    help="First give up what is missing or broken. The next run reads the exports of it that the bucket still holds.",
)
@click.option(
    "--drop-future",
    is_flag=True,
    help="First remove as-of dates and resource snapshots later than now, which a run with a wrong clock has left.",
)
@QUIET
@AS_JSON
def maintain(
    *, keep_days: int, verify: bool, drop_damaged: bool, drop_future: bool, quiet: bool, as_json: bool
) -> None:
    """Merge small files of the tables, and delete what no kept version needs.

    Once a week is enough. Results stay the same, and runs may be under way meanwhile, unless --drop-damaged is given.
    Nothing is deleted while something stored is damaged. Exit code 0 or 1.
    """
    settings_of()
    from sigma_impressions.console import Progress
    from sigma_impressions.scan import maintain_all, refuse_under_way

    home = use_dagster_home(project_folder())
    if drop_damaged and (reason := refuse_under_way(home)) is not None:
        fail(reason)
    options = {
        "keep_days": keep_days,
        "verify_files": verify,
        "drop_damaged": drop_damaged,
        "drop_future": drop_future,
    }
    maintained = maintain_all(Progress(terminal(stderr=as_json), quiet=quiet), home, options)
    if as_json:
        say_json({"run_id": maintained.run_id, "failure": maintained.failure, **maintained.figures})
    if maintained.failure is not None:
        fail(maintained.failure)


@click.command()
def pseudonymize() -> None:
    """Turn stored e-mail addresses into pseudonyms, after SIGMA_IMPRESSIONS_USERS was set to pseudonym.

    In all tables and the published database; older versions of the tables and local copies of their files are deleted.
    Let no run be under way, on any machine. Interrupted, it is started again. Exit code 0 or 1.
    """
    settings = settings_of()
    from sigma_impressions.upkeep.edit_users import pseudonymize_stored
    from sigma_impressions.wiring import pseudonyms

    names = pseudonyms(settings)
    if names is None:
        fail(
            "SIGMA_IMPRESSIONS_USERS is email, so addresses stay. Set it to pseudonym, and SIGMA_IMPRESSIONS_USERS_KEY "
            "to a random key, to have them replaced."
        )
    _edit_users(settings, lambda stored: pseudonymize_stored(stored, names, say))


@click.command()
@click.argument("user", required=False)
def forget(user: str | None) -> None:
    """Forget one user: their views stay counted, as those of somebody without a name.

    In all tables and the published database; older versions of the tables and local copies of their files are deleted.
    USER is the e-mail address; without it, it is asked for, so that no list of commands remembers it. Let no run be
    under way, on any machine. Interrupted, it is started again. Exit code 0 or 1.
    """
    settings = settings_of()
    named = (user or click.prompt("E-mail address of the user", hide_input=False, err=True)).strip()
    if not named:
        fail("The user to forget has no name. Write the e-mail address.")
    from sigma_impressions.exports.reading.classify import is_excluded
    from sigma_impressions.upkeep.edit_users import forget_stored
    from sigma_impressions.wiring import pseudonyms

    found = _edit_users(settings, lambda stored: forget_stored(stored, named, pseudonyms(settings), say))
    if not found:
        say("No table held this user.")
    if not is_excluded(named, settings.excluded_users):
        say(
            "The bucket may still hold export files with this user: one that is read from now on brings the user back, "
            "unless SIGMA_IMPRESSIONS_EXCLUDED_USERS names the address."
        )


def _edit_users(settings: Settings, edit: Callable[[Tables], list[Edited]]) -> bool:
    """Edit stored users and publish again; whether a table held something to edit."""
    from sigma_impressions.publish.database import DATABASE_NAME
    from sigma_impressions.publish.settle import publish_settled
    from sigma_impressions.report.write import REPORT_NAME, report_companion, write_report
    from sigma_impressions.scan import refuse_under_way
    from sigma_impressions.wiring import database_mode, insight_rules, members_are_read, query_limits, tables

    if (reason := refuse_under_way(use_dagster_home(project_folder()))) is not None:
        fail(reason)
    stored = tables(settings)
    edited = edit(stored)
    if settings.warehouse is not None:
        say(
            f"The warehouse ({settings.warehouse}, dataset {settings.warehouse_dataset}) is as it was until the next "
            "sigma-impressions export warehouse, or the next run; its own history and backups keep what they have."
        )
    try:
        published = publish_settled(
            stored,
            settings.overlapping_exports,
            [],
            None,
            report=say,
            limits=query_limits(settings),
            rules=insight_rules(settings),
            companion=report_companion(stored.storage, settings.name, say),
            mode=database_mode(settings),
            with_members=members_are_read(settings),
        )
    except NothingComputed:
        say("Nothing is published yet.")
    else:
        write_report(stored.storage, settings.name)
        say(f"{stored.storage.uri(DATABASE_NAME)}: published again, as of {published.as_of}")
        say(f"{stored.storage.uri(REPORT_NAME)}: written again")
    return any(table.changed_files for table in edited)
