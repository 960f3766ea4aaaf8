"""What a terminal shows of a run: progress while it goes on, a summary at its end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sigma_impressions.exports.manifest import UNREADABLE
from sigma_impressions.lake.schemas import EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import DATABASE_NAME, publication_figures, published_database, top_workbooks
from sigma_impressions.terminal import say
from sigma_impressions.texts import value
from sigma_impressions.windows import LONGEST_WINDOW


class Progress(logging.Handler):
    """Shows the messages of our assets, line by line, and on a terminal the step that is under way."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console
        self._status = console.status("starting") if console.is_terminal else None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of Dagster's log: an event of the run, or a message of an asset."""
        details = getattr(record, "dagster_meta", {})
        event = details.get("dagster_event") if isinstance(details, dict) else None
        if event is None:
            message = details.get("orig_message", record.getMessage()) if isinstance(details, dict) else record.msg
            style = "yellow" if record.levelno >= logging.WARNING else ""
            say(self._console, str(message), style)
        elif event.is_step_start and self._status is not None:
            self._status.update(f"{event.step_key} …")

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Inside, a spinner tells on a terminal that work is going on."""
        if self._status is None:
            yield
        else:
            with self._status:
                yield

    def logger_definition(self) -> dg.LoggerDefinition:
        """This handler as the only logger of a Dagster run."""

        @dg.logger
        def console_progress(_: dg.InitLoggerContext) -> logging.Logger:
            logger = logging.Logger("sigma_impressions.progress", logging.INFO)
            logger.addHandler(self)
            return logger

        return console_progress


def captured_between(tables: Tables, started: datetime, ended: datetime) -> dict[str, int]:
    """How many files were captured in a time, and their rows."""
    rows = tables.read(EXPORT_FILES).filter(pl.col("captured_at").is_between(started, ended)).collect()
    counts = {name: int(rows[name].sum()) for name in ("rows", "accepted", "rejected", "skipped")}
    statuses = Counter(rows["status"])
    unreadable, refused = statuses[UNREADABLE], statuses["refused"]
    return {"files": rows.height - unreadable, "refused": refused, "unreadable": unreadable, **counts}


def print_summary(console: Console, tables: Tables, started: datetime) -> None:
    """What was captured since `started`, and the main figures of the published result."""
    captured = captured_between(tables, started, datetime.now(UTC))
    database = published_database(tables.storage)
    held = publication_figures(database)
    unreadable = f", {captured['unreadable']:,} could not be read" if captured["unreadable"] else ""
    lines = [
        ("Files captured", f"{captured['files']:,} ({captured['refused']:,} refused){unreadable}"),
        (
            "Rows",
            f"{captured['rows']:,}: {captured['accepted']:,} accepted, {captured['rejected']:,} rejected, "
            f"{captured['skipped']:,} skipped",
        ),
        ("As of", f"{held['as_of_date']}"),
        (
            f"Impressions, {LONGEST_WINDOW} days",
            f"{held['matched'] + held['unmatched']:,} ({held['unmatched']:,} unmatched) by {held['users']:,} users",
        ),
        ("Resources", f"{held['resources']:,} ({held['unused_resources']:,} without an impression)"),
    ]
    console.print()
    for label, said in lines:
        say(console, f"{label:<22}{said}")
    _print_top(console, database)
    console.print()
    say(console, f"Results: {tables.storage.uri(DATABASE_NAME)}")
    if str(database) != tables.storage.uri(DATABASE_NAME):
        say(console, f"Its copy on this machine: {database}")


def _print_top(console: Console, database: Path) -> None:
    top = top_workbooks(database)
    if top.is_empty():
        return
    table = RichTable(title="Most viewed workbooks, 30 days", title_justify="left", box=None, pad_edge=False)
    table.add_column("workbook", max_width=60, no_wrap=True)
    table.add_column("impressions", justify="right")
    table.add_column("users", justify="right")
    for name, impressions, users in top.iter_rows():
        table.add_row(Text(value(name)), f"{impressions:,}", f"{users:,}")
    console.print()
    console.print(table)
