"""The command `sigma-impressions`."""

from __future__ import annotations

import gc
import os
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from sigma_impressions.errors import NothingComputed, OperatorError
from sigma_impressions.output import output_may_fail
from sigma_impressions.owner_only import for_owner_only
from sigma_impressions.project import ENV_FILE, project_folder, use_dagster_home
from sigma_impressions.upkeep import DEFAULT_KEEP_DAYS
from sigma_impressions.waiting import waits_told
from sigma_impressions.windows import MAX_DAYS_BACK, nothing_to_scan, scanned_days

# What only some commands need is imported where it is used: the others, and --help, answer sooner.
if TYPE_CHECKING:
    from rich.console import Console

    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.scan import ScanOptions
    from sigma_impressions.settings.declared import Settings
    from sigma_impressions.upkeep.edit_users import Edited

_DAY = click.DateTime(formats=["%Y-%m-%d"])
_RENORMALIZE = click.option(
    "--renormalize", is_flag=True, help="Read captured files of these days again, under the settings of now."
)
_FORGET_MISSING_FILES = click.option(
    "--forget-missing-files", is_flag=True, help="Stop counting files of these days that the bucket no longer holds."
)
_SOURCE_MOVED = click.option(
    "--source-moved",
    is_flag=True,
    help="The exports have moved: take over the tables, which hold those of another bucket or prefix.",
)
_OBJECTS_BETWEEN_COLLECTIONS = 400_000


class _Commands(click.Group):
    """Commands whose errors that an operator can mend are printed, without a traceback; exit code 1."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        with output_may_fail():
            return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            _fail(str(error))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sigma-impressions")
def main() -> None:
    """Count who views which Sigma workbooks, from the audit log that Sigma exports to S3 or GCS.

    Settings come from environment variables, or from a file .env in the project's folder. The least that is needed:

    \b
      SIGMA_IMPRESSIONS_BUCKET_URI   where Sigma writes its exports, for example s3://acme-audit/sigma
      SIGMA_IMPRESSIONS_RESOURCES    the snapshot of workbooks and elements: Parquet, CSV or NDJSON; or, instead of it,
      SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET, SIGMA_BASE_URL    to read them from the Sigma REST API

    \b
    Start with:   sigma-impressions check      are the settings and rights all right?
    Then:         sigma-impressions run        scan the last days, publish the metrics
    History:      sigma-impressions backfill --from 2026-09-01 --to 2026-10-31
    Just looking: sigma-impressions demo       everything on generated data, no account needed
    """
    from dotenv import load_dotenv

    # Also what Dagster writes into DAGSTER_HOME, and the processes that the demo starts.
    click.get_current_context().with_resource(for_owner_only())
    click.get_current_context().with_resource(waits_told(lambda line: _say(line, "dim", stderr=True)))
    load_dotenv(project_folder() / ENV_FILE, override=False)
    # Nearly all objects of a command are modules and definitions, which stay: looking for garbage among them as often
    # as usual takes 7 % of the time of a run that finds nothing new.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


@main.command()
@click.option("--as-of", type=_DAY, help="State the metrics as of the end of this day (default: today, UTC).")
@click.option("--days-back", type=int, help=f"File dates to scan, counting today: 1 to {MAX_DAYS_BACK}.")
@_RENORMALIZE
@_FORGET_MISSING_FILES
@_SOURCE_MOVED
def run(
    as_of: datetime | None, days_back: int | None, renormalize: bool, forget_missing_files: bool, source_moved: bool
) -> None:
    """Scan the last days now and publish the metrics.

    Reads the export files of the last days (SIGMA_IMPRESSIONS_DAYS_BACK, default 3) that are not captured yet, counts,
    and publishes sigma_impressions.duckdb in the storage location. Repeating it changes nothing. The run is recorded in
    Dagster, in DAGSTER_HOME. Exit code 0, or 1 if something failed; the result before then stays.
    """
    settings = _settings({} if days_back is None else {"days_back": str(days_back)})
    today = datetime.now(UTC).date()
    if as_of is not None and as_of.date() > today:
        _fail(f"--as-of {as_of.date()} lies in the future; today is {today} (UTC). Choose today or an earlier day.")
    days = scanned_days(today, settings.days_back, settings.start_date)
    if not days:
        _fail(nothing_to_scan(settings.start_date))
    from sigma_impressions.scan import ScanOptions

    options = ScanOptions(as_of.date() if as_of else today, renormalize, forget_missing_files, source_moved)
    _scan(settings, [days], options, "cli run")


@main.command()
@click.option("--from", "first", type=_DAY, required=True, help="First file date.")
@click.option("--to", "last", type=_DAY, required=True, help="Last file date, included.")
@_RENORMALIZE
@_FORGET_MISSING_FILES
@_SOURCE_MOVED
def backfill(
    first: datetime, last: datetime, renormalize: bool, forget_missing_files: bool, source_moved: bool
) -> None:
    """Scan the file dates from one day to another, in runs of at most six days.

    Interrupted, it is started again with the same days: what was captured is not read again.
    """
    settings = _settings()
    begin, end, today = first.date(), last.date(), datetime.now(UTC).date()
    if begin > end:
        _fail(f"--from {begin} lies after --to {end}.")
    if end > today:
        _fail(f"--to {end} lies in the future; today is {today} (UTC).")
    if begin < settings.start_date:
        _fail(
            f"--from {begin} lies before the first daily partition, {settings.start_date}. Set "
            f"SIGMA_IMPRESSIONS_START_DATE={begin} to go further back."
        )
    from sigma_impressions.scan import ScanOptions, chunks

    options = ScanOptions(None, renormalize, forget_missing_files, source_moved)
    _scan(settings, list(chunks(begin, end)), options, "cli backfill")


@main.command()
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
def maintain(keep_days: int, verify: bool, drop_damaged: bool, drop_future: bool) -> None:
    """Merge small files of the tables, and delete what no kept version needs.

    Once a week is enough. Results stay the same, and runs may be under way meanwhile, unless --drop-damaged is given.
    Nothing is deleted while something stored is damaged. Exit code 0 or 1.
    """
    _settings()
    from sigma_impressions.scan import maintain_all, refuse_under_way

    home = use_dagster_home(project_folder())
    if drop_damaged and (reason := refuse_under_way(home)) is not None:
        _fail(reason)
    options = {
        "keep_days": keep_days,
        "verify_files": verify,
        "drop_damaged": drop_damaged,
        "drop_future": drop_future,
    }
    failure = maintain_all(_console(), home, options)
    if failure is not None:
        _fail(failure)


@main.group()
def export() -> None:
    """Bring what is published to other programs: as files, or to a catalog."""


@export.command("datahub")
@click.option(
    "--to", "target", help="URL of the metadata service, or a .json file; default: SIGMA_IMPRESSIONS_DATAHUB."
)
@click.option("--platform-instance", help="That of the recipe of DataHub's Sigma source, if it has one.")
def export_datahub(target: str | None, platform_instance: str | None) -> None:
    """Send usage statistics of dashboards and charts to DataHub, or write them to a file.

    A server is sent what has changed since the last export, a file holds everything: totals, and daily buckets of
    60 days with the users. Scans nothing. Exit code 0 or 1.
    """
    given = {"datahub": target, "datahub_platform_instance": platform_instance}
    settings = _settings({name: text for name, text in given.items() if text is not None})
    from sigma_impressions.destinations.datahub import export_usage
    from sigma_impressions.wiring import datahub_target, query_limits, tables

    export_usage(tables(settings), datahub_target(settings), _say, query_limits(settings))


@export.command("tables")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet"]),
    default="csv",
    show_default=True,
    help="CSV for spreadsheets: text that one would take for a formula gets an apostrophe before it.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the files, one per table; files of the same names are replaced.",
)
def export_tables_to(form: Literal["csv", "parquet"], folder: Path) -> None:
    """Write every table of the published database to a file of its own, as CSV or Parquet."""
    from sigma_impressions.destinations.files import export_tables
    from sigma_impressions.publish.database import published_database
    from sigma_impressions.wiring import storage

    database = published_database(storage(_settings()))
    try:
        for written in export_tables(database, folder, form):
            _say(f"{written.path}: {written.rows:,} rows")
    except OSError as error:
        _fail(f"{folder} cannot be written: {error.strerror}")


@main.command()
@click.option("--open", "show", is_flag=True, help="Open it in the browser of this machine.")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Copy it to this file, for a mail or a bucket; a file of this name is replaced.",
)
def report(show: bool, target: Path | None) -> None:
    """Write the usage report: popular and underused workbooks, people and data quality on one page.

    usage_report.html lies beside the published database and needs nothing else. It is made anew only if the database
    has changed since. Scans nothing. Exit code 0 or 1.
    """
    settings = _settings()
    from sigma_impressions.report.write import copy_report, write_report
    from sigma_impressions.wiring import storage

    try:
        written = write_report(storage(settings), settings.name)
    except OSError as error:
        _fail(f"The report cannot be written: {error.strerror}")
    shown = target or written.path
    if target is not None:
        try:
            copy_report(written.path, target)
        except OSError as error:
            _fail(f"{target} cannot be written: {error.strerror}")
    _say(f"{shown}: usage as of {written.as_of}")
    if show and not webbrowser.open(shown.resolve().as_uri()):
        _fail(f"No browser could be started. Open {shown} in one.")


@main.command()
def pseudonymize() -> None:
    """Turn stored e-mail addresses into pseudonyms, after SIGMA_IMPRESSIONS_USERS was set to pseudonym.

    In all tables and the published database; older versions of the tables and local copies of their files are deleted.
    Let no run be under way, on any machine. Interrupted, it is started again. Exit code 0 or 1.
    """
    settings = _settings()
    from sigma_impressions.upkeep.edit_users import pseudonymize_stored
    from sigma_impressions.wiring import pseudonyms

    names = pseudonyms(settings)
    if names is None:
        _fail(
            "SIGMA_IMPRESSIONS_USERS is email, so addresses stay. Set it to pseudonym, and SIGMA_IMPRESSIONS_USERS_KEY "
            "to a random key, to have them replaced."
        )
    _edit_users(settings, lambda stored: pseudonymize_stored(stored, names, _say))


@main.command()
@click.argument("user", required=False)
def forget(user: str | None) -> None:
    """Forget one user: their views stay counted, as those of somebody without a name.

    In all tables and the published database; older versions of the tables and local copies of their files are deleted.
    USER is the e-mail address; without it, it is asked for, so that no list of commands remembers it. Let no run be
    under way, on any machine. Interrupted, it is started again. Exit code 0 or 1.
    """
    settings = _settings()
    named = (user or click.prompt("E-mail address of the user", hide_input=False, err=True)).strip()
    if not named:
        _fail("The user to forget has no name. Write the e-mail address.")
    from sigma_impressions.exports.reading.classify import is_excluded
    from sigma_impressions.upkeep.edit_users import forget_stored
    from sigma_impressions.wiring import pseudonyms

    found = _edit_users(settings, lambda stored: forget_stored(stored, named, pseudonyms(settings), _say))
    if not found:
        _say("No table held this user.")
    if not is_excluded(named, settings.excluded_users):
        _say(
            "The bucket may still hold export files with this user: one that is read from now on brings the user back, "
            "unless SIGMA_IMPRESSIONS_EXCLUDED_USERS names the address."
        )


@main.command()
@click.option("--settings", "listed", is_flag=True, help="List all settings first; of a secret only whether it is set.")
def check(listed: bool) -> None:
    """Test the source: settings, Dagster, disk, storage, credentials, rights, the newest export file, the resources.

    One line for each step, with what to do where it fails. Nothing is captured. Exit code 0 or 1.
    """
    from sigma_impressions.check.source import check_source
    from sigma_impressions.settings.declared import SETTINGS
    from sigma_impressions.terminal import say

    if listed:
        described = _settings().describe()
        for setting in SETTINGS:
            _say(f"{setting.variable:<46}{described[setting.name]}")
    console, passed = _console(), True
    for step in check_source(_values()):
        mark, style = {True: ("ok  ", "green"), False: ("FAIL", "red"), None: ("skip", "dim")}[step.passed]
        say(console, f"  {step.name}: {step.message}", mark=(mark, style))
        passed = passed and step.passed is not False
    sys.exit(0 if passed else 1)


@main.command()
@click.option("--no-ui", is_flag=True, help="Stop after the metrics, without the Dagster UI.")
@click.option(
    "--port", type=int, default=3000, show_default=True, help="Port of the Dagster UI; the next free one is taken."
)
@click.option("--days", type=click.IntRange(1, 180), default=70, show_default=True, help="Days of exports to generate.")
@click.option("--sigma-api", is_flag=True, help="Discover workbooks and elements from a fake Sigma REST API.")
def demo(no_ui: bool, port: int, days: int, sigma_api: bool) -> None:
    """Show everything on generated data: an embedded S3 server, exports, metrics, the Dagster UI.

    Keeps its data in data/demo of the project's folder; started again, it takes what is there. Ctrl-C stops
    everything it started.
    """
    from sigma_impressions.demo.run import run_demo

    sys.exit(run_demo(project_folder(), days=days, ui_port=None if no_ui else port, sigma_api=sigma_api))


def _values(given: Mapping[str, str] | None = None) -> dict[str, str | None]:
    """The texts of the settings: those of the environment, and what options of a command say instead."""
    from sigma_impressions.settings.read import environment_values

    return {**environment_values(os.environ), **(given or {})}


def _settings(given: Mapping[str, str] | None = None) -> Settings:
    """The settings of the environment and of options; tells of variables that look like settings and are none."""
    from sigma_impressions.settings.read import misspelt, read_settings

    for problem in misspelt(os.environ):
        _say(f"{problem.environment_variable} {problem.message}", "yellow", stderr=True)
    return read_settings(_values(given))


def _console(stderr: bool = False) -> Console:
    from sigma_impressions.terminal import open_console

    return open_console(stderr=stderr)


def _say(line: str, style: str = "", *, stderr: bool = False) -> None:
    from sigma_impressions.terminal import say

    say(_console(stderr), line, style)


def _fail(message: str) -> NoReturn:
    from sigma_impressions.terminal import say_message

    say_message(_console(stderr=True), message, "red")
    sys.exit(1)


def _edit_users(settings: Settings, edit: Callable[[Tables], list[Edited]]) -> bool:
    """Edit stored users and publish again; whether a table held something to edit."""
    from sigma_impressions.publish.database import DATABASE_NAME
    from sigma_impressions.publish.settle import publish_settled
    from sigma_impressions.report.write import REPORT_NAME, report_companion, write_report
    from sigma_impressions.scan import refuse_under_way
    from sigma_impressions.wiring import database_mode, insight_rules, query_limits, tables

    if (reason := refuse_under_way(use_dagster_home(project_folder()))) is not None:
        _fail(reason)
    stored = tables(settings)
    edited = edit(stored)
    try:
        published = publish_settled(
            stored,
            settings.overlapping_exports,
            [],
            None,
            report=_say,
            limits=query_limits(settings),
            rules=insight_rules(settings),
            companion=report_companion(stored.storage, settings.name, _say),
            mode=database_mode(settings),
        )
    except NothingComputed:
        _say("Nothing is published yet.")
    else:
        write_report(stored.storage, settings.name)
        _say(f"{stored.storage.uri(DATABASE_NAME)}: published again, as of {published.as_of}")
        _say(f"{stored.storage.uri(REPORT_NAME)}: written again")
    return any(table.changed_files for table in edited)


def _scan(settings: Settings, chunks: Sequence[Sequence[date]], options: ScanOptions, trigger: str) -> None:
    from sigma_impressions.console import print_summary
    from sigma_impressions.scan import scan_all
    from sigma_impressions.wiring import tables

    console, started = _console(), datetime.now(UTC)
    failure = scan_all(console, use_dagster_home(project_folder()), chunks, options, trigger)
    if failure is not None:
        _fail(failure)
    print_summary(console, tables(settings), started)
