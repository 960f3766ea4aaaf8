"""What a terminal shows at the end of a run."""

from __future__ import annotations

import io
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyte
import pytest
from rich.console import Console

from sigma_impressions.console import Figures, Progress, UnderWay, _compared, figures_of, print_summary
from sigma_impressions.defs.logs import OURS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions.terminal import live_line, say
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members
from sigma_impressions_tests.metrics.captured import capture, discover
from sigma_impressions_tests.metrics.reference import Row

AS_OF = date(2026, 11, 20)


def summary(tables: Tables, started: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> list[str]:
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [AS_OF])
    publish_database(tables)
    output = io.StringIO()
    print_summary(Console(file=output, width=100), figures_of(tables, started), "sigma-impressions report --open")
    return [line.rstrip() for line in output.getvalue().splitlines() if line]


@pytest.mark.slow
def test_the_summary_of_a_run(tmp_path: Path) -> None:
    tables = Tables(tmp_path)
    names = {"workbook_url_id": ["known", "other"], "name": ["Sales of all countries", None]}
    resources = pl.DataFrame({"resource_type": ["sigma_workbook"] * 2, **names})
    discover(tables, resources)
    places = [
        f"Report                {tmp_path / 'usage_report.html'}",
        "Open it with          sigma-impressions report --open",
        f"Database              {tmp_path / 'sigma_impressions.duckdb'}",
    ]
    capture(tables, "nothing", [])
    assert summary(tables) == [
        "Files captured        1 (0 refused)",
        "Rows                  0: 0 accepted, 0 rejected, 0 skipped",
        "As of                 2026-11-20",
        "Impressions, 60 days  0 (0 unmatched) by 0 users",
        "Complete days         not compared: No export file has been read, so no day is complete.",
        "Resources             2 (2 without an impression of their own)",
        *places,
    ]
    moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    views = [("ann@x.org", "known", 1_000), ("bob@x.org", "known", 2), ("ann@x.org", "gone", 10)]
    capture(tables, "file", [Row(moment, user, workbook, None, count) for user, workbook, count in views])
    assert summary(tables) == [
        "Files captured        2 (0 refused)",
        "Rows                  3: 3 accepted, 0 rejected, 0 skipped",
        "As of                 2026-11-20",
        "Impressions, 60 days  1,012 (10 unmatched) by 2 users",
        "Complete days         not compared: No export file has been read, so no day is complete.",
        "Resources             2 (1 without an impression of their own)",
        "Most viewed workbooks, with their elements, 30 days up to 2026-11-20",
        "workbook                impressions  users",
        "Sales of all countries        1,002      2",
        *places,
    ]
    again = summary(tables, datetime.now(UTC))
    assert again[:2] == ["Files captured        nothing new; 2 in all", "As of                 2026-11-20"]
    found = pl.DataFrame([{"member_id": "1", "email": "cyd@x.org", "is_active": True}], schema=MEMBERS)
    capture_members(tables, as_stored(found, None), "here", moment)
    said = "Licences              1 members may use Sigma, too few days of views to tell who never came"
    assert said in summary(tables)


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (107, 100, "107 impressions in the 14 days up to 2026-11-19; 7.0% more than 100 in the 14 before"),
        (1_000, 1_002, "1,000 impressions in the 14 days up to 2026-11-19; 0.2% fewer than 1,002 in the 14 before"),
        (5, 5, "5 impressions in the 14 days up to 2026-11-19; as many in the 14 before"),
        (5, 0, "5 impressions in the 14 days up to 2026-11-19; none in the 14 before"),
        (5, None, "not compared: Only 3 of them."),
        (None, 5, "not compared: Only 3 of them."),
    ],
)
def test_complete_days_are_compared_in_words(now: int | None, before: int | None, said: str) -> None:
    compared = {"complete_impressions_14d": now, "previous_complete_impressions_14d": before}
    known = {"last_complete_day": date(2026, 11, 19), "not_compared_because": "Only 3 of them.", **compared}
    unknown = dict.fromkeys(field.name for field in fields(Figures))
    assert _compared(Figures(**{**unknown, **known})) == said  # type: ignore[arg-type]


def shown(line: object, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(line)
    return output.getvalue()


def test_the_line_of_a_terminal_estimates_what_remains_from_what_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    line = UnderWay()
    days = [date(2026, 10, 1), date(2026, 10, 6)]
    line.run_begins(days, 1, 4)
    now += 61
    line.step("normalized_impressions")
    assert shown(line).rstrip().endswith(" 1:01  chunk 1 of 4, 2026-10-01 to 2026-10-06: normalized_impressions")
    line.run_begins(days, 2, 4)
    now += 11
    line.counted(2, 7)
    assert " 1:12, about 2:52 left  chunk 2 of 4, " in shown(line)
    line.step("normalized_impressions")
    line.counted(2, 7)
    assert shown(line).rstrip().endswith("normalized_impressions, file 3 of 7")
    line.counted(7, 7)
    assert shown(line).rstrip().endswith("normalized_impressions")
    now += 100
    assert " 2:52, about 2:02 left  " in shown(line)
    now += 4_000
    assert " 1:09:32, " in shown(line)


def test_the_line_of_a_terminal_is_one_line_whatever_is_in_it() -> None:
    line = UnderWay()
    line.run_begins([date(2026, 10, 1)], 1, 2)
    line.step("[bold]step\x1b[2J" + "x" * 200)
    (written,) = shown(line, width=40).splitlines()
    assert len(written) == 40
    assert written.endswith("…")
    line.step("[bold]step\x1b[2J")
    assert "[bold]step?[2J" in shown(line)


def record(message: str, level: int, *, ours: bool = True) -> logging.LogRecord:
    details = {"dagster_meta": {"orig_message": message, "dagster_event": None}, **({OURS: True} if ours else {})}
    return logging.makeLogRecord({"msg": f"job - run - {message}", "levelno": level, **details})


@pytest.mark.parametrize(
    ("quiet", "lines"), [(False, ["[1/2] 2026-10-01 to 2026-10-06", "a [bold]?", "b"]), (True, ["b"])]
)
def test_without_a_terminal_there_are_plain_lines_of_ours_alone(quiet: bool, lines: list[str]) -> None:
    output = io.StringIO()
    # Somebody who wants colours in a file gets no line that moves.
    progress = Progress(Console(file=output, width=100, force_terminal=True, no_color=True), quiet=quiet)
    with progress.shown():
        progress.run_begins([date(2026, 10, 1), date(2026, 10, 6)], 1, 2)
        progress.handle(record("a [bold]\x1b", logging.INFO))
        progress.handle(record("b", logging.WARNING))
        progress.handle(
            record("Dependencies for step x were not executed: ['y']. Not executing.", logging.ERROR, ours=False)
        )
    assert output.getvalue().splitlines() == lines


@contextmanager
def terminal(**environ: str) -> Iterator[tuple[Console, Callable[[], str]]]:
    """The console of a terminal, and what was written to it by now."""
    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as file:
        os.set_blocking(reader, False)
        yield Console(file=file, width=60, _environ=environ), lambda: _written(reader)
    os.close(reader)


def _written(reader: int) -> str:
    found = b""
    with suppress(BlockingIOError):
        while True:
            found += os.read(reader, 1_000)
    return found.decode()


def test_a_terminal_that_cannot_move_its_cursor_has_plain_lines() -> None:
    with terminal(TERM="dumb") as (console, written):
        with live_line(console, "under way"):
            say(console, "line", "red")
        assert written() == "line\r\n"


def test_what_is_said_on_the_other_stream_stands_above_the_line_that_changes() -> None:
    with terminal(TERM="xterm", NO_COLOR="1") as (console, written), terminal(TERM="xterm") as (errors, _):
        with live_line(console, "under way"):
            say(errors, "Still waiting", "dim")
            during = written()
        shown = during + written()
    for seen, lines in ((during, ["Still waiting", "under way"]), (shown, ["Still waiting"])):
        screen = pyte.Screen(60, 9)
        pyte.Stream(screen).feed(seen)
        assert "\n".join(map(str.rstrip, screen.display)).split("\n\n")[0].splitlines() == lines
    assert not re.search(r"\x1b\[3\d", shown), "NO_COLOR"
