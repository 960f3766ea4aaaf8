"""The demo from start to end: server, exports, metrics, summary, Dagster UI."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from sigma_impressions.console import Progress, figures_of, print_summary, say_findings
from sigma_impressions.dagster_ui import HOST, free_port, landing_page, serve
from sigma_impressions.demo.fake_sigma import FakeSigma
from sigma_impressions.demo.generate import (
    FILE_DATE_PATTERN,
    PREFIX,
    export_files,
    export_period,
    last_export_day,
    resources,
)
from sigma_impressions.demo.members import members, organization
from sigma_impressions.demo.object_store import EmbeddedObjectStore
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.project import use_dagster_home
from sigma_impressions.report.write import REPORT_NAME
from sigma_impressions.scan import ScanOptions, chunks, scan_all
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.terminal import begin_line, open_console, say, say_message
from sigma_impressions.windows import MAX_DAYS_BACK
from sigma_impressions.wiring import tables

BUCKET = "sigma-demo"


def run_demo(project: Path, days: int, ui_port: int | None, sigma_api: bool = False) -> int:
    """Run the demo in `project`/data/demo; with a port, end with the Dagster UI and stay until Ctrl-C.

    With `sigma_api` the resources are discovered over HTTP from a fake Sigma, instead of read from a file.
    Returns the exit code. Everything that was started is stopped, also after an error or an interruption.
    """
    console = open_console()
    folder = project / "data" / "demo"
    started = datetime.now(UTC)
    today = started.date()
    say(console, "Starting an S3 server (SeaweedFS) on this machine ...")
    with ExitStack() as running:
        store = running.enter_context(EmbeddedObjectStore(folder / "object_store"))
        first = today - timedelta(days=days - 1)
        uploaded = _upload(store, days, started)
        say(console, f"{uploaded} new objects in s3://{BUCKET}/{PREFIX}")
        _use_settings(folder, store, first)
        if sigma_api:
            sigma = running.enter_context(FakeSigma(organization(today)))
            os.environ.update(sigma.environment())
            say(console, f"A Sigma REST API that is not Sigma's answers at {sigma.url}")
        else:
            for name, frame in {"RESOURCES": resources(), "MEMBERS": members(today)}.items():
                file = folder / f"sigma_{name.lower()}.parquet"
                frame.write_parquet(file)
                os.environ[f"SIGMA_IMPRESSIONS_{name}"] = str(file)
        # A Dagster instance of the demo's own.
        os.environ["DAGSTER_HOME"] = str(folder / "dagster_home")
        home = use_dagster_home(project)
        stored = tables(read_settings(environment_values(os.environ)))
        if not _scan(console, stored, home, first, today):
            return 1
        report = Path(stored.storage.uri(REPORT_NAME))
        print_summary(console, figures_of(stored, started), report.as_uri())
        if ui_port is None:
            return 0
        port = free_port(ui_port)
        try:
            say_message(console, "\nStarting the Dagster UI ...")
            address = f"Dagster UI: {landing_page(HOST, port)}  (Ctrl-C stops everything)"
            return serve(project, port, answers=lambda: say(console, address, "bold"))
        except KeyboardInterrupt:
            # How the UI is left, whichever signal it is.
            begin_line(console)
            say(console, "Stopped.")
            return 0


def _upload(store: EmbeddedObjectStore, days: int, now: datetime) -> int:
    """Write what Sigma would have exported by now and the bucket does not hold yet; how many objects were written."""
    store.create_bucket(BUCKET)
    client = store.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=PREFIX)
    present = [item["Key"] for page in pages for item in page.get("Contents", ())]
    last = last_export_day(now)
    if present:
        exported = {match[0] for key in present if (match := re.search(r"\d{4}-\d\d-\d\d", key))}
        missing = [day for age in range(days) if str(day := last - timedelta(days=age)) not in exported]
        files = [file for day in missing for file in export_files(day)]
    else:
        files = list(export_period(last, days))
    for key, data in files:
        client.put_object(Bucket=BUCKET, Key=key, Body=data)
    return len(files)


def _use_settings(folder: Path, store: EmbeddedObjectStore, first: date) -> None:
    """Set the demo's settings for this process and those it starts; none of the user's own is left."""
    for name in list(os.environ):
        if name.startswith(("SIGMA_", "AWS_")) or name == "STORAGE_EMULATOR_HOST":
            del os.environ[name]
    # Nor what files of the user's say about S3, for example another endpoint.
    os.environ.update({"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})
    os.environ.update(store.environment())
    os.environ.update(
        {
            "SIGMA_IMPRESSIONS_NAME": "Sigma Impressions demo",
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"s3://{BUCKET}/{PREFIX}",
            "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID": store.access_key_id,
            "SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY": store.secret_access_key,
            "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
            "SIGMA_IMPRESSIONS_PAGES": "on",
            "SIGMA_IMPRESSIONS_STORAGE": str(folder / "storage"),
            "SIGMA_IMPRESSIONS_START_DATE": first.isoformat(),
        }
    )


def _scan(console: Console, stored: Tables, home: Path, first: date, today: date) -> bool:
    """Backfill the days that were never scanned; afterwards, like any day, scan the last ones. Whether that worked."""
    newest = stored.read(RAW_EXPORT_FILES).select("file_date").max().collect().item()
    begin = first if newest is None else max(first, min(newest, today - timedelta(days=2)))
    days = list(chunks(begin, today, MAX_DAYS_BACK))
    scanned = scan_all(Progress(console), home, days, ScanOptions(), "demo")
    say_findings(console, scanned.findings)
    if scanned.failure is not None:
        say_message(console, scanned.failure, "red")
    return scanned.failure is None
