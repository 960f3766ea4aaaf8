"""What the sensor decides: which file dates ask for a run, from a listing, what is captured, and earlier runs.

Everything here is a function of its arguments: the store, the tables, the runs and the time are given. The
sensor remembers a digest of each file date that is settled: all of its listed files are captured, and what was
captured has arrived in the metrics. A file date whose listing still has that digest needs no second look; any
other one is compared with the registry of captured files. No time of an object and no clock decides whether a
file is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from sigma_impressions.clock import latest, minute
from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.file_dates import KeyPattern, listing_start
from sigma_impressions.exports.listing import Survey, not_yet_read, survey
from sigma_impressions.lake.digests import digest
from sigma_impressions.windows import MAX_DAYS_BACK, nothing_to_scan, span

CURSOR_VERSION = 1
"""A cursor of another version starts afresh."""

FULL_LISTING_EVERY = 15
"""Of so many ticks in a row at least one lists the whole prefix; the others may list from a later key on."""

LONGEST_WAIT = timedelta(hours=6)
"""A run that is under way for longer is not waited for: nothing may block the sensor for ever."""

_PAUSES = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 45, 135, 360))
"""How long to wait after one, two, … runs for the same files that did not get them; then always the last."""


@dataclass(frozen=True)
class ScanRun:
    """A run over the file dates `first` to `last`, whoever started it; times are in UTC."""

    run_id: str
    first: date
    last: date
    state: Literal["under way", "succeeded", "failed"]
    created: datetime
    ended: datetime | None = None

    def covers(self, first: date, last: date) -> bool:
        """Whether the run holds one of these days."""
        return self.first <= last and first <= self.last

    def is_waited_for(self, now: datetime) -> bool:
        """Whether the run may still finish, so that nobody else should begin the same."""
        return self.state == "under way" and not self.is_of_future(now) and now - self.created < LONGEST_WAIT

    def is_of_future(self, now: datetime) -> bool:
        """Whether a clock that was ahead has dated the run: it would be the newest one for as long."""
        return self.created > latest(now)


@dataclass(frozen=True)
class Stored:
    """What the tables know: which of the files asked for are not captured, and whether the metrics hold all others.

    `complete` also says that the file dates asked for have metrics as as-of dates.
    """

    missing: frozenset[str]
    complete: bool

    def not_captured(self, file_ids: Iterable[str]) -> int:
        """How many of the files, which were asked for, are not captured."""
        return sum(file_id in self.missing for file_id in file_ids)


@dataclass(frozen=True)
class Beyond:
    """Export files that are not captured and lie before the days that the sensor may ask for."""

    files: int
    first: date
    last: date


@dataclass(frozen=True)
class Cursor:
    """What a tick remembers; small, whatever the bucket holds.

    `days` are the file dates of the last tick's look-back, up to that day, each with the digest of its listing
    if it was settled. `older` is the same for everything before: the digest if it was settled, else what is
    missing. `partial_ticks` is how many more ticks may list a part of the prefix only.
    """

    days: Mapping[date, str | None] = field(default_factory=dict)
    older: str | Beyond | None = None
    partial_ticks: int = 0

    def is_settled(self) -> bool:
        """Whether the last tick left nothing to do."""
        return bool(self.days) and None not in self.days.values()

    def write(self, source_id: str) -> str:
        """The cursor as text; `source_id` tells of which source, see `read`."""
        older: Any = self.older
        if isinstance(older, Beyond):
            older = [older.files, older.first.isoformat(), older.last.isoformat()]
        return json.dumps(
            {
                "version": CURSOR_VERSION,
                "source": source_id,
                "days": {day.isoformat(): digest for day, digest in sorted(self.days.items())},
                "older": older,
                "partial_ticks": self.partial_ticks,
            }
        )

    @staticmethod
    def read(text: str | None, source_id: str) -> Cursor:
        """The cursor that `write` gave; an empty one if there is none, or one of another source or version.

        With an empty cursor the sensor looks at all days it may ask for, so that nothing is missed.
        """
        try:
            found = json.loads(text or "{}")
            if found["version"] != CURSOR_VERSION or found["source"] != source_id:
                return Cursor()
            older = found["older"]
            if isinstance(older, list):
                files, first, last = older
                older = Beyond(int(files), date.fromisoformat(first), date.fromisoformat(last))
            days = {date.fromisoformat(day): digest for day, digest in found["days"].items()}
            return Cursor(days, older, int(found["partial_ticks"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return Cursor()


@dataclass(frozen=True)
class Rules:
    """The settings that a decision follows; `shown` names the bucket in messages, `storage` where the tables are."""

    shown: str
    prefix: str
    storage: str
    days_back: int
    start_date: date
    pattern: KeyPattern | None

    def source_id(self) -> str:
        """What makes a cursor one of this source: in another storage nothing of it is captured."""
        return digest([self.shown, self.storage, self.pattern.text if self.pattern else ""])


@dataclass(frozen=True)
class World:
    """Where a decision looks, in this order: the runs before the files, so that no run ends unseen in between.

    `runs` gives the runs over days of this source that are under way, and the newest that have ended, newest
    first; `listing` the objects whose keys sort after the key given, or all; `stored` what the tables know of
    some file IDs and file dates; `attempts` the runs that were asked for under a request ID, newest first.
    """

    runs: Callable[[], Sequence[ScanRun]]
    listing: Callable[[str | None], Iterable[StoredObject]]
    stored: Callable[[Sequence[str], Collection[date]], Stored]
    attempts: Callable[[str], Sequence[ScanRun]]


@dataclass(frozen=True)
class Request:
    """A run to launch over consecutive days, oldest first, at most six.

    `request_id` is the same for the same content of the same days; `run_key` is another one for every try.
    """

    days: tuple[date, ...]
    request_id: str
    run_key: str


@dataclass(frozen=True)
class Decision:
    """What a tick does: the run it asks for, if any, what it says, and the cursor it leaves.

    `warning` names files that no run of the sensor will read; it is None unless that has changed.
    """

    request: Request | None
    message: str
    cursor: str
    warning: str | None = None


def decide(rules: Rules, cursor_text: str | None, world: World, now: datetime) -> Decision:
    """One tick: list, compare, and ask for one run over the days that changed, or say why not."""
    source_id = rules.source_id()
    cursor = Cursor.read(cursor_text, source_id)
    today = now.astimezone(UTC).date()
    days = look_back(cursor, rules, today)
    if not days:
        return Decision(None, nothing_to_scan(rules.start_date), cursor.write(source_id))
    runs = [run for run in world.runs() if not run.is_of_future(now)]
    start = _start(cursor, rules, days)
    seen = survey(world.listing(start), rules.pattern)
    older = _older(seen, rules, days[0]) if start is None else frozenset()
    findings = _examine(cursor, days, seen, older, runs=runs, world=world, now=now)
    remembered = Cursor(
        {day: None if day in findings.open else digest(seen.day(day)) for day in days},
        findings.older if start is None else cursor.older,
        _partial_ticks(rules, days, seen) if start is None else cursor.partial_ticks - 1,
    )
    request, outcome = _ask(findings, runs, world, now)
    counted = sum(len(seen.day(day)) for day in days)
    message = f"{rules.shown}: {_number(counted, 'export file')} of {span(days[0], days[-1])}. {outcome}"
    beyond = _beyond_sentence(remembered.older)
    if seen.undated:
        message += (
            f" Without a match of SIGMA_IMPRESSIONS_FILE_DATE_PATTERN: {_number(seen.undated, 'key')}; the "
            "last-modified day is taken."
        )
    for sentence in (not_yet_read(max(seen.days, default=None), today), beyond):
        if sentence:
            message += f" {sentence}"
    changed = beyond if remembered.older != cursor.older else None
    return Decision(request, message, remembered.write(source_id), changed)


def look_back(cursor: Cursor, rules: Rules, today: date) -> list[date]:
    """The file dates that a tick looks at, oldest first.

    Those of `days back`; after an outage from the day of the last tick on; and days that were not settled then.
    At most six, and all six without a cursor, or with one of a tick whose clock was ahead.
    """
    oldest = today - timedelta(days=MAX_DAYS_BACK - 1)
    first = today - timedelta(days=rules.days_back - 1)
    if max(cursor.days, default=date.max) > today:
        first = oldest
    else:
        first = min([first, max(cursor.days), *(day for day, digest in cursor.days.items() if digest is None)])
    first = max(first, oldest, rules.start_date)
    return [first + timedelta(days=n) for n in range((today - first).days + 1)]


def _start(cursor: Cursor, rules: Rules, days: Sequence[date]) -> str | None:
    """The key after which it is enough to list, None for the whole prefix."""
    if not cursor.is_settled() or cursor.partial_ticks <= 0:
        return None
    if max(cursor.days) != days[-1]:
        # The last look at the days that leave the look-back, and after an outage at what lies beyond it.
        return None
    return listing_start(rules.pattern, rules.prefix, days[0]) if rules.pattern else None


def _partial_ticks(rules: Rules, days: Sequence[date], seen: Survey) -> int:
    """How many ticks may list from a later key on, after the whole prefix was listed.

    None, unless the exports of the look-back, those without a date too, all sort after that key: then the keys
    are built as the pattern's text says. What is put elsewhere later waits for the next tick that lists all.
    """
    start = listing_start(rules.pattern, rules.prefix, days[0]) if rules.pattern else None
    first_keys = [seen.first_keys[day] for day in days if day in seen.first_keys]
    return FULL_LISTING_EVERY - 1 if start and first_keys and start < min(first_keys) else 0


def _older(seen: Survey, rules: Rules, first: date) -> frozenset[date]:
    return frozenset(day for day in seen.days if rules.start_date <= day < first)


@dataclass(frozen=True)
class _Findings:
    """What a listing means: files to capture by day, days whose run did not finish, and days not settled."""

    new: Mapping[date, int]
    unfinished: frozenset[date]
    open: frozenset[date]
    request_id: str
    older: str | Beyond | None

    def wanted(self) -> list[date]:
        return sorted({*self.new, *self.unfinished})


def _examine(
    cursor: Cursor,
    days: Sequence[date],
    seen: Survey,
    older_days: Collection[date],
    *,
    runs: Sequence[ScanRun],
    world: World,
    now: datetime,
) -> _Findings:
    digests = {day: digest(seen.day(day)) for day in days}
    changed = [day for day in days if cursor.days.get(day) != digests[day]]
    older_ids = sorted(file_id for day in older_days for file_id in seen.day(day))
    older: str | Beyond | None = digest(older_ids)
    asked = [file_id for day in changed for file_id in seen.day(day)]
    if cursor.older != older:
        asked += older_ids
    stored = world.stored(asked, [day for day in changed if seen.day(day)]) if asked else Stored(frozenset(), True)
    new = {day: count for day in changed if (count := stored.not_captured(seen.day(day)))}
    unfinished = frozenset(
        day
        for day in changed
        if day not in new and seen.day(day) and (not stored.complete or _last_run_failed(day, runs))
    )
    # What a run has captured it may still fail to bring to the metrics, so its days stay open until it has ended.
    running = {day for day in changed for run in runs if run.is_waited_for(now) and run.covers(day, day)}
    if cursor.older != older:
        counts = {day: stored.not_captured(seen.day(day)) for day in older_days}
        left = [day for day, count in counts.items() if count]
        if left:
            older = Beyond(sum(counts.values()), min(left), max(left))
    request_id = digest(f"{day} {digests[day]}" for day in sorted({*new, *unfinished}))
    return _Findings(new, unfinished, frozenset({*new, *unfinished, *running}), request_id, older)


def _last_run_failed(day: date, runs: Sequence[ScanRun]) -> bool:
    ended = [run for run in runs if run.covers(day, day) and run.state != "under way"]
    return bool(ended) and ended[0].state == "failed"


def _ask(findings: _Findings, runs: Sequence[ScanRun], world: World, now: datetime) -> tuple[Request | None, str]:
    """The run to ask for, if any, and the sentence that says what was found."""
    wanted = findings.wanted()
    if not wanted:
        if findings.open:
            return None, "All of them are captured; a run over these days is still under way."
        return None, "All of them are captured."
    first, last = wanted[0], wanted[-1]
    what = _what(findings)
    waiting = [run for run in runs if run.is_waited_for(now) and run.covers(first, last)]
    if waiting:
        run = waiting[0]
        return None, f"{what} Waiting for run {run.run_id} over {span(run.first, run.last)} to end."
    asked = world.attempts(findings.request_id)
    if tries := [run for run in asked if not run.is_of_future(now)]:
        ended = max(run.ended or run.created + LONGEST_WAIT for run in tries)
        again = ended + _PAUSES[min(len(tries), len(_PAUSES)) - 1]
        if now < again:
            return None, (
                f"{what} The last {_number(len(tries), 'run')} for them did not succeed; see run {tries[0].run_id}. "
                f"The next try is at {minute(again)}, or as soon as the files change."
            )
    days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    run_key = f"{findings.request_id}-{(tries or asked)[0].run_id if asked else 'first'}"
    return Request(days, findings.request_id, run_key), f"{what} Asking for a run over {span(first, last)}."


def _what(findings: _Findings) -> str:
    sentences = []
    if findings.new:
        files = _number(sum(findings.new.values()), "file")
        sentences.append(f"Not captured yet: {files} of {', '.join(map(str, sorted(findings.new)))}.")
    if findings.unfinished:
        days = ", ".join(map(str, sorted(findings.unfinished)))
        sentences.append(f"The files of {days} are captured, but no run has brought them to the metrics yet.")
    return " ".join(sentences)


def _beyond_sentence(older: str | Beyond | None) -> str | None:
    if not isinstance(older, Beyond):
        return None
    return (
        f"Not captured: {_number(older.files, 'export file')} of {span(older.first, older.last)}, before the days "
        "that the sensor may ask for. Launch a backfill: sigma-impressions backfill "
        f"--from {older.first} --to {older.last}, or materialize these days of the job sigma_impressions in the UI."
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
