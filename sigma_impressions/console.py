"""What a terminal shows of a run: progress while it goes on, a summary at its end."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from rich.console import Console
from rich.spinner import Spinner
from rich.table import Table as RichTable
from rich.text import Text

from sigma_impressions.defs.logs import OURS
from sigma_impressions.exports.manifest import IS_CAPTURED, REFUSED, UNREADABLE
from sigma_impressions.findings import Finding
from sigma_impressions.lake.schemas import EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.output import is_captured
from sigma_impressions.publish.database import DATABASE_NAME, publication_figures, published_database, top_workbooks
from sigma_impressions.report.write import REPORT_NAME
from sigma_impressions.terminal import live_line, say
from sigma_impressions.texts import change, printable, value
from sigma_impressions.windows import LONGEST_WINDOW

_COUNTED = re.compile(r"\[(\d+)/(\d+)\] ")
"""How a message begins that counts off what a step does."""


class Progress(logging.Handler):
    """Shows the messages of our assets, line by line, and at a terminal what is under way in one that changes.

    Nothing that Dagster itself logs is shown: it tells of each step that a failed one leaves undone. With `quiet` only
    warnings are.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        # Dagster logs the start of a step as a matter of debugging.
        super().__init__(logging.DEBUG)
        self._console = console
        self._quiet = quiet
        self._line = UnderWay()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of Dagster's log: an event of the run, or a message of an asset."""
        details = getattr(record, "dagster_meta", {})
        event = details.get("dagster_event")
        if event is not None and event.is_step_start:
            self._line.step(event.step_key)
        elif getattr(record, OURS, False):
            self._show(str(details["orig_message"]), record.levelno)

    def _show(self, message: str, level: int) -> None:
        if counted := _COUNTED.match(message):
            self._line.counted(int(counted[1]), int(counted[2]))
        if level >= logging.INFO and not (self._quiet and level < logging.WARNING):
            say(self._console, message, "yellow" if level >= logging.WARNING else "")
        if is_captured(sys.stdout):
            # The UI shows it as the output of the run.
            print(printable(message), flush=True)

    def run_begins(self, days: Sequence[date] = (), number: int = 1, of: int = 1) -> None:
        """Tell of the next run of a command, which has so many of them."""
        if of > 1 and not self._quiet:
            say(self._console, f"[{number}/{of}] {days[0]} to {days[-1]}")
        self._line.run_begins(days, number, of)

    def shown(self) -> AbstractContextManager[None]:
        """Inside, a line tells at a terminal what is under way."""
        return nullcontext() if self._quiet else live_line(self._console, self._line)

    def logger_definition(self, *others: logging.Handler) -> dg.LoggerDefinition:
        """This handler and others as the only logger of a Dagster run."""

        @dg.logger
        def console_progress(_: dg.InitLoggerContext) -> logging.Logger:
            logger = logging.Logger("sigma_impressions.progress", logging.DEBUG)
            for handler in (self, *others):
                logger.addHandler(handler)
            return logger

        return console_progress


class UnderWay:
    """The line that tells what is under way, for how long, and how much longer; it is as wide as the terminal."""

    def __init__(self) -> None:
        self._spinner = Spinner("dots")
        self._began = self._run_began = time.monotonic()
        self._run, self._finished, self._of = "", 0, 1
        self._step = "starting"

    def run_begins(self, days: Sequence[date], number: int, of: int) -> None:
        """Tell of a run over days, if it has some, and the how manieth it is."""
        chunk = f"chunk {number} of {of}, " if of > 1 else ""
        self._run = f"{chunk}{days[0]} to {days[-1]}: " if days else ""
        self._finished, self._of = number - 1, of
        self._run_began = time.monotonic()
        self._step = "starting"

    def step(self, key: str) -> None:
        """Tell of a step."""
        self._step = key

    def counted(self, done: int, of: int) -> None:
        """Tell of the file that the step is at, of so many."""
        step = self._step.partition(", ")[0]
        self._step = f"{step}, file {done + 1} of {of}" if done < of else step

    def __rich__(self) -> RichTable:
        now = time.monotonic()
        line = f"{_duration(now - self._began)}{self._remaining(now)}  {self._run}{self._step}"
        grid = RichTable.grid(padding=(0, 1))
        grid.add_row(self._spinner, Text(printable(line), no_wrap=True, overflow="ellipsis"))
        return grid

    def _remaining(self, now: float) -> str:
        """What remains if the other chunks take as long as those that have ended."""
        if not self._finished:
            return ""
        each = (self._run_began - self._began) / self._finished
        seconds = each * (self._of - self._finished - 1) + max(0.0, each - (now - self._run_began))
        return f", about {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def captured_between(tables: Tables, started: datetime, ended: datetime) -> dict[str, int]:
    """How many files were captured in a time, and their rows; and how many there are in all."""
    counted = ("rows", "accepted", "rejected", "skipped")
    # Not what the registry says of each file besides: it holds all files there ever were.
    files = tables.read(EXPORT_FILES).select("captured_at", "status", *counted).collect()
    rows = files.filter(pl.col("captured_at").is_between(started, ended))
    counts = {name: int(rows[name].sum()) for name in counted}
    statuses = Counter(rows["status"])
    unreadable, refused = statuses[UNREADABLE], statuses[REFUSED]
    in_all = files.filter(IS_CAPTURED).height
    return {"files": rows.height - unreadable, "refused": refused, "unreadable": unreadable, "in_all": in_all, **counts}


@dataclass(frozen=True)
class Figures:
    """What a command has captured, the main figures of the published result, and where it is."""

    files_captured: int
    files_refused: int
    files_unreadable: int
    files_captured_in_all: int
    rows: int
    rows_accepted: int
    rows_rejected: int
    rows_skipped: int
    as_of: date
    impressions_60d: int
    unmatched_impressions_60d: int
    users_60d: int
    last_complete_day: date | None
    complete_impressions_14d: int | None
    previous_complete_impressions_14d: int | None
    not_compared_because: str | None
    resources: int
    unused_resources: int
    members: int | None
    never_seen_members: int | None
    report: str
    database: str
    local_database: str

    @classmethod
    def as_json(cls, figures: Figures | None) -> dict[str, Any]:
        """The figures as part of a JSON object; null where there are none."""
        if figures is None:
            return dict.fromkeys(field.name for field in fields(cls))
        return {name: str(said) if isinstance(said, date) else said for name, said in asdict(figures).items()}


def figures_of(tables: Tables, started: datetime) -> Figures:
    """The figures of a command that was started then and has ended now."""
    captured = captured_between(tables, started, datetime.now(UTC))
    database = published_database(tables.storage)
    held = publication_figures(database)
    return Figures(
        files_captured=captured["files"],
        files_refused=captured["refused"],
        files_unreadable=captured["unreadable"],
        files_captured_in_all=captured["in_all"],
        rows=captured["rows"],
        rows_accepted=captured["accepted"],
        rows_rejected=captured["rejected"],
        rows_skipped=captured["skipped"],
        as_of=held["as_of_date"],
        impressions_60d=held["matched"] + held["unmatched"],
        unmatched_impressions_60d=held["unmatched"],
        users_60d=held["users"],
        last_complete_day=held["last_complete_day"],
        complete_impressions_14d=held["complete_impressions_14d"],
        previous_complete_impressions_14d=held["previous_complete_impressions_14d"],
        not_compared_because=held["not_compared_because"],
        resources=held["resources"],
        unused_resources=held["unused_resources"],
        members=held["members"],
        never_seen_members=held["never_seen_members"],
        report=tables.storage.uri(REPORT_NAME),
        database=tables.storage.uri(DATABASE_NAME),
        local_database=str(database),
    )


def print_summary(console: Console, figures: Figures, opened_with: str) -> None:
    """The figures of a command, in words; `opened_with` is the command, or the URL, that opens the report."""
    matched = f"{figures.impressions_60d:,} ({figures.unmatched_impressions_60d:,} unmatched)"
    lines = [
        *_captured_lines(figures),
        ("As of", f"{figures.as_of}"),
        (f"Impressions, {LONGEST_WINDOW} days", f"{matched} by {figures.users_60d:,} users"),
        ("Complete days", _compared(figures)),
        ("Resources", f"{figures.resources:,} ({figures.unused_resources:,} without an impression of their own)"),
    ]
    if figures.members is not None:
        never = figures.never_seen_members
        said = "too few days of views to tell who never came" if never is None else f"{never:,} of them never seen"
        lines.append(("Licences", f"{figures.members:,} members may use Sigma, {said}"))
    places = [("Report", figures.report), ("Open it with", opened_with), ("Database", figures.database)]
    if figures.local_database != figures.database:
        places.append(("Its copy here", figures.local_database))
    console.print()
    _print_lines(console, lines)
    _print_top(console, Path(figures.local_database), figures.as_of)
    console.print()
    _print_lines(console, places)


def say_findings(console: Console, found: Sequence[Finding]) -> None:
    """What the checks of a command's runs have found, each once."""
    for finding in found:
        say(console, f"Check: {finding}", "red" if finding.said.severity == "ERROR" else "yellow")


def _captured_lines(figures: Figures) -> list[tuple[str, str]]:
    if not figures.files_captured and not figures.files_unreadable:
        return [("Files captured", f"nothing new; {figures.files_captured_in_all:,} in all")]
    unreadable = f", {figures.files_unreadable:,} could not be read" if figures.files_unreadable else ""
    accepted = f"{figures.rows:,}: {figures.rows_accepted:,} accepted, {figures.rows_rejected:,} rejected"
    return [
        ("Files captured", f"{figures.files_captured:,} ({figures.files_refused:,} refused){unreadable}"),
        ("Rows", f"{accepted}, {figures.rows_skipped:,} skipped"),
    ]


def _compared(figures: Figures) -> str:
    """The impressions of 14 complete days against those before, in words."""
    now, before = figures.complete_impressions_14d, figures.previous_complete_impressions_14d
    if now is None or before is None:
        return f"not compared: {figures.not_compared_because}"
    return (
        f"{now:,} impressions in the 14 days up to {figures.last_complete_day}; {change(now, before)} in the 14 before"
    )


def _print_lines(console: Console, lines: Sequence[tuple[str, str]]) -> None:
    for label, said in lines:
        say(console, f"{label:<22}{said}")


def _print_top(console: Console, database: Path, as_of: date) -> None:
    top = top_workbooks(database)
    if top.is_empty():
        return
    table = RichTable(box=None, pad_edge=False)
    table.add_column("workbook", max_width=60, no_wrap=True)
    table.add_column("impressions", justify="right")
    table.add_column("users", justify="right")
    for name, impressions, users in top.iter_rows():
        table.add_row(Text(value(name)), f"{impressions:,}", f"{users:,}")
    console.print()
    # Not as the title of the table, which would be no wider than that.
    say(console, f"Most viewed workbooks, with their elements, 30 days up to {as_of}", "italic")
    console.print(table)
