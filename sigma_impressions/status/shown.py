"""The status as a screen of text, and as values for JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sigma_impressions.check.disk import human_size
from sigma_impressions.clock import minute
from sigma_impressions.exports.captured import Captured
from sigma_impressions.status.facts import (
    DAGSTER,
    DATABASE,
    TABLES,
    Colour,
    Finding,
    Published,
    Recorded,
    Run,
    Sizes,
    Starter,
    Status,
)
from sigma_impressions.texts import printable

_LABEL = 11
_MARKS = {
    Colour.RED: ("RED   ", "bold red"),
    Colour.YELLOW: ("YELLOW", "bold yellow"),
    Colour.GREEN: ("ok    ", "green"),
}

_FEWEST_COLUMNS, _FEWEST_LINES = 40, 20
"""A smaller terminal breaks lines, and scrolls."""

_UNREAD = "cannot be read, see below"


@dataclass(frozen=True)
class Line:
    """A line of the screen: a mark in a colour, and a text."""

    text: str = ""
    mark: tuple[str, str] = ("", "")
    style: str = ""


def as_values(status: Status) -> dict[str, Any]:
    """Everything that is known, for programs, as JSON has it."""
    return {"status": str(status.colour), **_plain(asdict(status))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value


def as_lines(status: Status, columns: int, most: int | None = None) -> list[Line]:
    """A screen for people, `columns` wide; with `most` what is said of findings is cut to what so many lines hold."""
    columns = max(columns, _FEWEST_COLUMNS)
    facts = [line for label, said in _facts(status) for line in _fact(label, said, columns)]
    head = [*_head(status, columns), Line()]
    rows = [_finding(finding, columns) for finding in status.findings]
    if most is not None:
        rows = _cut(rows, max(most, _FEWEST_LINES) - len(head) - len(facts) - 1)
    return [*head, *facts, *([Line()] if rows else []), *(line for row in rows for line in row)]


def _head(status: Status, columns: int) -> Iterator[Line]:
    yield Line(printable(f"{status.name}: {status.source}", columns), style="bold")
    reds, yellows = (sum(it.colour == colour for it in status.findings) for colour in (Colour.RED, Colour.YELLOW))
    found = ", ".join(f"{count} {colour}" for count, colour in ((reds, "red"), (yellows, "yellow")) if count)
    yield Line(f" {found or 'nothing is red or yellow'}, {minute(status.now)}", mark=_MARKS[status.colour])


def _facts(status: Status) -> Iterator[tuple[str, str]]:
    """What each line is about, and what it says."""
    unread = {finding.name for finding in status.findings}
    recorded = status.recorded
    yield "Captured", _captured(status.captured) if status.captured else _UNREAD
    yield "Published", _UNREAD if unread & {TABLES, DATABASE} and not status.published else _published(status.published)
    yield "Last run", _UNREAD if DAGSTER in unread else _last_run(status, recorded)
    for run in recorded.under_way if recorded else ():
        yield "Under way", f"{_run(run)}, {run.outcome}, run {run.run_id[:8]}"
    if recorded:
        yield "Next", _next(recorded)
    if status.sizes:
        yield "Storage", _sizes(status.sizes)


def _captured(captured: Captured) -> str:
    if captured.files:
        refused = f", {captured.refused:,} refused" if captured.refused else ""
        newest = f"newest of {captured.newest_file_date}, at {_minute(captured.newest_captured_at)}"
        said = f"{captured.files:,} files{refused}; {newest}"
    else:
        said = "nothing yet"
    rest = {
        "could not be read": captured.unreadable,
        "vanished before they were read": captured.missing,
        "are listed and not captured": captured.not_captured,
    }
    return said + "".join(f"; {count:,} {what}" for what, count in rest.items() if count)


def _published(published: Published | None) -> str:
    if published is None:
        return "nothing yet"
    if published.as_of is None:
        return f"at {minute(published.published_at)}; sigma-impressions report brings it to this machine"
    said = f"as of {published.as_of}, at {minute(published.published_at)}"
    if published.impressions_60d is None:
        return said
    return f"{said}; {published.impressions_60d:,} impressions of 60 days by {published.users_60d:,} users"


def _last_run(status: Status, recorded: Recorded | None) -> str:
    if recorded is None:
        return f"none is recorded in {status.dagster_home}"
    last, success = recorded.last_run, recorded.last_success_at
    if last is None:
        return "none has ended"
    before = f"; the last success was at {minute(success)}" if success else "; none has succeeded"
    return f"{_run(last)}: {last.outcome}{'' if last.outcome == 'succeeded' else before}"


def _run(run: Run) -> str:
    days = "" if run.first_day is None else f"{run.first_day} to {run.last_day}"
    of = ", ".join(filter(None, [run.trigger, days]))
    return f"{_minute(run.started_at)}{f' ({of})' if of else ''}"


def _next(recorded: Recorded) -> str:
    on = [starter for starter in recorded.starters if starter.is_on and starter.starts_runs]
    if not on:
        return "sensor and schedule are switched off: cron or by hand"
    if not recorded.daemon_runs:
        return "no daemon runs: sensor and schedule start nothing"
    return "; ".join(map(_tick, sorted(on, key=lambda starter: starter.next_at.isoformat() if starter.next_at else "")))


def _tick(starter: Starter) -> str:
    last = f" (last tick {_minute(starter.last_tick_at)})" if starter.last_tick_at else ""
    return f"{starter.name} at {_minute(starter.next_at)}{last}"


def _sizes(sizes: Sizes) -> str:
    parts = {"tables": sum(sizes.tables.values()), **sizes.others}
    kept = ", ".join(f"{what} {human_size(size)}" for what, size in parts.items() if size)
    free = [
        human_size(disk.free) if len(sizes.disks) == 1 else f"{human_size(disk.free)} for {' and '.join(disk.kept)}"
        for disk in sizes.disks
    ]
    return f"{kept or 'nothing'}; free {', '.join(free)}"


def _minute(moment: datetime | None) -> str:
    return minute(moment) if moment else "an unknown time"


def _fact(label: str, said: str, columns: int) -> Iterator[Line]:
    wrapped = textwrap.wrap(printable(said), columns - _LABEL, break_on_hyphens=False) or [""]
    for number, text in enumerate(wrapped):
        yield Line(f"{label if number == 0 else '':<{_LABEL}}{text}")


def _finding(finding: Finding, columns: int) -> list[Line]:
    since = f", since {minute(finding.since)}" if finding.since else ""
    indent = len(_MARKS[finding.colour][0]) + 1
    said = textwrap.wrap(printable(finding.said), columns - indent, break_on_hyphens=False)
    return [
        Line(f" {finding.name}{since}", mark=_MARKS[finding.colour]),
        *(Line(f"{'':{indent}}{text}") for text in said),
    ]


def _cut(rows: Sequence[list[Line]], room: int) -> list[list[Line]]:
    """The findings in so many lines: of each at least the first two, and of the first ones as much as there is room."""
    shown = list(rows[: max(1, room // 2)])
    if len(shown) < len(rows):
        shown = shown[: max(1, (room - 1) // 2)]
        room -= 1
    room -= sum(min(2, len(row)) for row in shown)
    cut = []
    for row in shown:
        more = max(0, min(len(row) - 2, room))
        room -= more
        cut.append(row if len(row) <= 2 + more else [*row[: 1 + more], _ellipsis(row[1 + more])])
    rest = len(rows) - len(shown)
    return [*cut, [Line(f"and {rest} more: sigma-impressions status --json")]] if rest else cut


def _ellipsis(line: Line) -> Line:
    return Line(f"{line.text[:-2].rstrip()} …")
