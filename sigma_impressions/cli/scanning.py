"""The commands that run the job: `run` and `backfill`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import click

from sigma_impressions.cli.common import AS_JSON, DAY, QUIET, called, fail, say_json, settings_of, terminal
from sigma_impressions.errors import OperatorError
from sigma_impressions.project import project_folder, use_dagster_home
from sigma_impressions.windows import MAX_DAYS_BACK, nothing_to_scan, scanned_days

if TYPE_CHECKING:
    from sigma_impressions.scan import ScanOptions
    from sigma_impressions.settings.declared import Settings

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


@click.command()
@click.option(
    "--as-of", type=DAY, help="State the metrics as of the end of this day, such as 2026-10-31 (default: today, UTC)."
)
@click.option("--days-back", type=int, help=f"File dates to scan, counting today: 1 to {MAX_DAYS_BACK}.")
@_RENORMALIZE
@_FORGET_MISSING_FILES
@_SOURCE_MOVED
@QUIET
@AS_JSON
def run(
    *,
    as_of: datetime | None,
    days_back: int | None,
    renormalize: bool,
    forget_missing_files: bool,
    source_moved: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Scan the last days now and publish the metrics.

    Reads the export files of the last days (SIGMA_IMPRESSIONS_DAYS_BACK, default 3) that are not captured yet, counts,
    and publishes sigma_impressions.duckdb in the storage location. Repeating it changes nothing. The run is recorded in
    Dagster, in DAGSTER_HOME. Exit code 0, or 1 if something failed; the result before then stays.
    """
    settings = settings_of({} if days_back is None else {"days_back": str(days_back)})
    today = datetime.now(UTC).date()
    if as_of is not None and as_of.date() > today:
        fail(f"--as-of {as_of.date()} lies in the future; today is {today} (UTC). Choose today or an earlier day.")
    days = scanned_days(today, settings.days_back, settings.start_date)
    if not days:
        fail(nothing_to_scan(settings.start_date))
    from sigma_impressions.scan import ScanOptions

    options = ScanOptions(as_of.date() if as_of else today, renormalize, forget_missing_files, source_moved)
    _scan(settings, [days], options, "cli run", quiet=quiet, as_json=as_json)


@click.command()
@click.option("--from", "first", type=DAY, required=True, help="First file date, such as 2026-10-01.")
@click.option("--to", "last", type=DAY, required=True, help="Last file date, included, such as 2026-10-31.")
@_RENORMALIZE
@_FORGET_MISSING_FILES
@_SOURCE_MOVED
@QUIET
@AS_JSON
def backfill(
    *,
    first: datetime,
    last: datetime,
    renormalize: bool,
    forget_missing_files: bool,
    source_moved: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Scan the file dates from one day to another, in runs of at most six days.

    Interrupted, it is started again with the same days: what was captured is not read again.
    """
    settings = settings_of()
    begin, end, today = first.date(), last.date(), datetime.now(UTC).date()
    if begin > end:
        fail(f"--from {begin} lies after --to {end}.")
    if end > today:
        fail(f"--to {end} lies in the future; today is {today} (UTC).")
    if begin < settings.start_date:
        fail(
            f"--from {begin} lies before the first daily partition, {settings.start_date}. Set "
            f"SIGMA_IMPRESSIONS_START_DATE={begin} to go further back."
        )
    from sigma_impressions.scan import ScanOptions, chunks

    options = ScanOptions(None, renormalize, forget_missing_files, source_moved)
    _scan(settings, list(chunks(begin, end)), options, "cli backfill", quiet=quiet, as_json=as_json)


def _scan(
    settings: Settings,
    chunks: Sequence[Sequence[date]],
    options: ScanOptions,
    trigger: str,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Scan, and say what has come of it: in words, or as one JSON object, with all words on standard error."""
    from sigma_impressions.console import Figures, Progress, figures_of, print_summary, say_findings
    from sigma_impressions.scan import Scanned, scan_all
    from sigma_impressions.wiring import tables

    console, started, scanned = terminal(stderr=as_json), datetime.now(UTC), Scanned()
    ended: OperatorError | KeyboardInterrupt | None = None
    try:
        home = use_dagster_home(project_folder())
        scan_all(Progress(console, quiet=quiet), home, chunks, options, trigger, scanned=scanned)
    except (OperatorError, KeyboardInterrupt) as error:
        ended = error
    say_findings(console, scanned.findings)
    failure = scanned.failure if ended is None else str(ended)
    figures = figures_of(tables(settings), started) if failure is None else None
    if as_json:
        say_json({**scanned.as_json(), "failure": failure, **Figures.as_json(figures)})
    if ended is not None:
        raise ended
    if failure is not None:
        fail(failure)
    if figures is not None and not quiet and not as_json:
        print_summary(console, figures, f"{called()} report --open")
