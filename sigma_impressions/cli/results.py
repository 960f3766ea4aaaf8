"""The commands that hand out what is published: `report`, `digest` and `export`."""

from __future__ import annotations

import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from sigma_impressions.cli.common import DAY, Listing, fail, say, settings_of


@click.group(cls=Listing)
def export() -> None:
    """Bring what is published to other programs: as files, to a catalog, to a database, or to what watches."""


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
    settings = settings_of({name: text for name, text in given.items() if text is not None})
    from sigma_impressions.destinations.datahub import export_usage
    from sigma_impressions.wiring import datahub_target, query_limits, tables

    export_usage(tables(settings), datahub_target(settings), say, query_limits(settings))


@export.command("warehouse")
@click.option("--from", "first", type=DAY, help="Only the days from this one on, as-of dates and event dates.")
@click.option("--to", "last", type=DAY, help="Only the days up to this one.")
@click.option("--resend", is_flag=True, help="Send also what the warehouse has already, over changes of others.")
def export_warehouse(first: datetime | None, last: datetime | None, resend: bool) -> None:
    """Bring the database of your company up to date: every as-of date and event date that it does not have.

    By way of dlt, to the destination in SIGMA_IMPRESSIONS_WAREHOUSE. Interrupted, it goes on where it was. Scans
    nothing. Exit code 0 or 1.
    """
    settings = settings_of()
    from sigma_impressions.destinations.warehouse.export import Asked, export_to_warehouse
    from sigma_impressions.wiring import insight_rules, members_are_read, query_limits, tables, warehouse

    asked = Asked(settings.warehouse_tables, first.date() if first else None, last.date() if last else None, resend)
    exported = export_to_warehouse(
        tables(settings),
        warehouse(settings),
        say,
        asked=asked,
        limits=query_limits(settings),
        rules=insight_rules(settings),
        with_members=members_are_read(settings),
    )
    say(str(exported))


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

    database = published_database(storage(settings_of()))
    try:
        for written in export_tables(database, folder, form):
            say(f"{written.path}: {written.rows:,} rows")
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror}")


@export.command("prometheus")
@click.option(
    "--to",
    "target",
    help="A file that ends in .prom, in the folder of the textfile collector; default: SIGMA_IMPRESSIONS_PROMETHEUS.",
)
def export_prometheus(target: str | None) -> None:
    """Write metrics for operators to a file for Prometheus: how old, how much, and how the last run has ended.

    What every publication does if the setting is there; from cron, runs that died are told too. Scans nothing. Exit
    code 0 or 1.
    """
    settings = settings_of({"prometheus": target} if target is not None else {})
    from sigma_impressions.destinations.prometheus import write_metrics
    from sigma_impressions.project import dagster_home, project_folder
    from sigma_impressions.status.metrics import read_for_metrics
    from sigma_impressions.status.stored import tables_to_read
    from sigma_impressions.wiring import metrics_file

    def warn(message: str) -> None:
        say(message, "yellow", stderr=True)

    path = metrics_file(settings)
    recorded = read_for_metrics(settings, dagster_home(project_folder()), warn)
    with tables_to_read(settings) as tables:
        write_metrics(path, settings.name, tables, recorded, warn)
    say(str(path))


@click.command()
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
    settings = settings_of()
    from sigma_impressions.report.write import copy_report, write_report
    from sigma_impressions.wiring import storage

    try:
        written = write_report(storage(settings), settings.name)
    except OSError as error:
        fail(f"The report cannot be written: {error.strerror}")
    shown = target or written.path
    if target is not None:
        try:
            copy_report(written.path, target)
        except OSError as error:
            fail(f"{target} cannot be written: {error.strerror}")
    say(f"{shown}: usage as of {written.as_of}")
    if show and not webbrowser.open(shown.resolve().as_uri()):
        fail(f"No browser could be started. Open {shown} in one.")


@click.command()
@click.option("--send", is_flag=True, help="Post it to SIGMA_IMPRESSIONS_DIGEST_WEBHOOK instead of printing it.")
@click.option(
    "--by-owner",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Instead, write a file for each owner of workbooks to this folder, and owners.csv for a mail merge.",
)
def digest(send: bool, folder: Path | None) -> None:
    """Say in ten lines what the last week was like: views, people, what rose, fell and is not used any more.

    The week is the seven days up to the last complete one, compared with the seven before. Made of what is published;
    scans nothing. Exit code 0 or 1.
    """
    settings = settings_of()
    from sigma_impressions.publish.database import published_database
    from sigma_impressions.wiring import digest_webhook, storage

    webhook = digest_webhook(settings) if send else None
    database = published_database(storage(settings))
    if webhook is not None or folder is None:
        from sigma_impressions.destinations.digest.text import digest_text
        from sigma_impressions.destinations.digest.week import read_digest
        from sigma_impressions.webhook import DIGEST, post

        text = digest_text(read_digest(database, datetime.now(UTC).date()), settings.name, settings.report_url)
        if webhook is None:
            for line in text.plain():
                say(line)
        else:
            post(webhook, DIGEST, text.mrkdwn())
            say(f"{text.title}: posted to the digest webhook")
    if folder is not None:
        from sigma_impressions.destinations.digest.owners import NO_OWNER, export_owners

        try:
            written = export_owners(database, folder)
        except OSError as error:
            fail(f"{folder} cannot be written: {error.strerror}")
        say(f"{written.index}: {written.owners:,} owners, each with a file; {written.workbooks:,} workbooks in all")
        if written.without_owner:
            say(f"{folder / NO_OWNER}: workbooks without an owner, {written.without_owner:,} of them")
        if written.removed:
            say(f"Removed {written.removed:,} files of owners who have no workbook any more")
