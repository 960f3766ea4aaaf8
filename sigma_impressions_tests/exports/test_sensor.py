"""What the sensor decides: single ticks by hand, and any story of uploads, ticks, runs and outages against a model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.file_dates import KeyPattern, file_date
from sigma_impressions.exports.listing import file_id, is_export_key
from sigma_impressions.exports.sensor import (
    LONGEST_WAIT,
    Cursor,
    Decision,
    Rules,
    ScanRun,
    Stored,
    World,
    decide,
)

PREFIX = "sigma/"
PATTERN = KeyPattern(r"^sigma/(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TODAY = NOON.date()


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def rules(days_back: int = 3, pattern: KeyPattern | None = None, start: date = date(2026, 1, 1)) -> Rules:
    return Rules("s3://bucket/sigma/", PREFIX, "data", days_back, start, pattern)


@dataclass
class Model:
    """A bucket, a registry and an instance in memory, and one tick after the other over them."""

    rules: Rules = field(default_factory=rules)
    now: datetime = NOON
    objects: dict[str, StoredObject] = field(default_factory=dict)
    captured: set[str] = field(default_factory=set)
    complete: bool = True
    runs: list[tuple[ScanRun, str | None]] = field(default_factory=list)
    cursor: str | None = None
    versions: int = 0
    started: int = 0
    listed_from: str | None = None
    looked_up: int = 0

    def put(self, key: str, modified: datetime) -> StoredObject:
        self.versions += 1
        self.objects[key] = StoredObject("bucket", key, f"v{self.versions}", 1, modified)
        return self.objects[key]

    def export(self, day: date, name: str = "export.csv") -> StoredObject:
        return self.put(f"{PREFIX}{day}T00-30-00 {name}", datetime.combine(day, time(0, 30), UTC))

    def world(self) -> World:
        def listing(start: str | None) -> Iterable[StoredObject]:
            self.listed_from = start
            return [self.objects[key] for key in sorted(self.objects) if start is None or key > start]

        def stored(ids: Collection[str], days: Collection[date]) -> Stored:
            self.looked_up += 1
            return Stored(frozenset(ids) - self.captured, self.complete)

        def known_runs() -> Sequence[ScanRun]:
            return sorted((run for run, _ in self.runs), key=lambda run: run.created, reverse=True)

        def attempts(request_id: str) -> Sequence[ScanRun]:
            return sorted((run for run, asked in self.runs if asked == request_id), key=lambda r: r.created)[::-1]

        return World(known_runs, listing, stored, attempts)

    def look(self) -> Decision:
        return decide(self.rules, self.cursor, self.world(), self.now)

    def tick(self, *, crash: bool = False) -> Decision:
        """Look, launch what is asked for, keep the cursor; with `crash` the cursor is lost after the launch."""
        decision = self.look()
        if decision.request:
            self.start(decision.request.days[0], decision.request.days[-1], decision.request.request_id)
        if not crash:
            self.cursor = decision.cursor
        return decision

    def start(self, first: date, last: date, request_id: str | None = None) -> ScanRun:
        self.started += 1
        run = ScanRun(f"run-{self.started}", first, last, "under way", self.now)
        self.runs.append((run, request_id))
        return run

    def capture(self, run: ScanRun) -> None:
        for item in self.objects.values():
            if is_export_key(item.key) and run.first <= self.day(item) <= run.last:
                self.captured.add(file_id(item))

    def end(self, run: ScanRun, outcome: str) -> None:
        """A run ends well, or fails: before anything, after the capture, or after the metrics, while publishing."""
        if outcome != "failed":
            self.capture(run)
            self.complete = outcome != "failed after the capture"
        state = "succeeded" if outcome == "succeeded" else "failed"
        ended = replace(run, state=state, ended=self.now)
        self.runs = [(ended if known == run else known, asked) for known, asked in self.runs]

    def under_way(self) -> list[ScanRun]:
        return [run for run, _ in self.runs if run.state == "under way"]

    def day(self, item: StoredObject) -> date:
        return file_date(item, self.rules.pattern)[0]


OUTCOMES = ("succeeded", "failed", "failed after the capture", "failed after the metrics")


# --- Single ticks -------------------------------------------------------------------------------------------


def settled(model: Model) -> Model:
    """The model after its files were asked for and captured."""
    for _ in range(3):
        model.tick()
        for run in model.under_way():
            model.end(run, "succeeded")
    assert model.tick().request is None
    return model


def test_an_empty_bucket_asks_for_nothing_and_says_so() -> None:
    model = Model()
    decision = model.tick()
    assert decision.request is None
    assert decision.message == (
        "s3://bucket/sigma/: 0 export files of 2026-11-18 to 2026-11-23. All of them are captured."
    )
    assert model.tick().message == (
        "s3://bucket/sigma/: 0 export files of 2026-11-21 to 2026-11-23. All of them are captured."
    )


def test_one_run_covers_the_days_that_changed_and_those_between() -> None:
    model = settled(Model())
    model.export(days_ago(2))
    model.export(days_ago(0))
    decision = model.tick()
    assert decision.request is not None
    assert decision.request.days == (days_ago(2), days_ago(1), days_ago(0))
    assert "Not captured yet: 2 files of 2026-11-21, 2026-11-23. Asking for a run" in decision.message


def test_a_settled_bucket_is_not_looked_up_again() -> None:
    model = Model()
    model.export(TODAY)
    settled(model)
    before = model.looked_up
    assert model.tick().request is None
    assert model.looked_up == before


def test_a_file_of_an_equal_or_older_time_is_seen() -> None:
    model = Model()
    first = model.export(TODAY)
    settled(model)
    model.put(f"{PREFIX}equal.csv", first.last_modified)
    model.put(f"{PREFIX}older.csv", first.last_modified - timedelta(minutes=1))
    decision = model.tick()
    assert decision.request is not None
    assert "2 files of" in decision.message


def test_an_overwritten_file_is_seen_and_a_deleted_one_is_no_reason_for_a_run() -> None:
    model = Model()
    model.export(TODAY, "one.csv")
    model.export(TODAY, "two.csv")
    settled(model)
    model.export(TODAY, "one.csv")
    assert model.look().request is not None
    model = settled(model)
    del model.objects[min(model.objects)]
    assert model.tick().request is None


def test_what_another_run_captured_needs_no_run() -> None:
    model = settled(Model())
    model.export(TODAY)
    run = model.start(days_ago(1), TODAY)
    waiting = model.tick()
    assert waiting.request is None
    assert f"Waiting for run {run.run_id} over 2026-11-22 to 2026-11-23 to end." in waiting.message
    model.end(run, "succeeded")
    done = model.tick()
    assert done.request is None
    assert done.message.endswith("All of them are captured.")


def test_a_run_over_other_days_is_not_waited_for() -> None:
    model = settled(Model())
    model.export(TODAY)
    model.start(days_ago(4), days_ago(1))
    assert model.tick().request is not None


def test_a_run_that_never_ends_blocks_nobody() -> None:
    model = settled(Model())
    model.export(TODAY)
    first = model.tick().request
    model.now += LONGEST_WAIT - timedelta(minutes=1)
    assert "Waiting for run" in model.tick().message
    model.now += timedelta(minutes=2)
    assert "The next try is at 2026-11-23 18:05 UTC" in model.tick().message
    model.now += timedelta(minutes=5)
    again = model.tick().request
    assert first is not None
    assert again is not None
    assert (again.days, again.request_id) == (first.days, first.request_id)
    assert again.run_key != first.run_key


@pytest.mark.parametrize("outcome", OUTCOMES[1:])
def test_a_failed_run_is_asked_for_again_with_growing_pauses(outcome: str) -> None:
    model = settled(Model())
    model.export(TODAY)
    asked = []
    for minute in range(12 * 60):
        decision = model.tick()
        if decision.request:
            asked.append((minute, decision.request.run_key))
            model.end(model.under_way()[0], outcome)
        model.now += timedelta(minutes=1)
    assert [minute for minute, _ in asked][:4] == [0, 5, 20, 65]
    assert len(asked) == 6
    assert len({key for _, key in asked}) == len(asked)
    assert "did not succeed; see run" in decision.message
    # New content is another request, and is not kept waiting.
    model.export(TODAY, "another.csv")
    assert model.tick().request is not None


def test_the_same_request_has_the_same_key_until_its_run_has_ended() -> None:
    model = settled(Model())
    model.export(TODAY)
    first, second = model.look().request, model.look().request
    assert first is not None
    assert first == second


def test_the_days_of_a_failed_run_stay_in_the_look_back() -> None:
    model = settled(Model(rules(days_back=1)))
    model.export(TODAY)
    for _ in range(4):
        model.tick()
        for run in model.under_way():
            model.end(run, "failed")
        model.now += timedelta(days=1)
    decision = model.tick()
    assert decision.request is not None
    assert decision.request.days == (TODAY,)


def test_what_a_run_has_captured_is_settled_only_when_the_run_has_ended() -> None:
    model = settled(Model())
    model.export(TODAY)
    model.tick()
    (run,) = model.under_way()
    model.capture(run)
    assert model.tick().message.endswith("All of them are captured; a run over these days is still under way.")
    model.end(run, "failed after the metrics")
    model.now += timedelta(minutes=5)
    assert model.tick().request is not None


def test_deleted_runs_do_not_hide_files() -> None:
    model = settled(Model())
    model.export(TODAY)
    model.tick()
    model.end(model.under_way()[0], "failed after the capture")
    model.runs.clear()
    assert model.tick().request is not None


def test_after_an_outage_all_days_since_the_last_tick_are_looked_at() -> None:
    model = settled(Model())
    model.now += timedelta(days=5)
    model.export(TODAY)
    decision = model.tick()
    assert decision.request is not None
    assert decision.request.days == (TODAY,)


def test_what_lies_beyond_six_days_is_named_with_the_backfill_until_it_is_captured() -> None:
    model = settled(Model())
    model.now += timedelta(days=8)
    late = [model.export(TODAY), model.export(TODAY + timedelta(days=2))]
    decision = model.tick()
    assert decision.request is None
    assert decision.warning is not None
    assert "Not captured: 2 export files of 2026-11-23 to 2026-11-25" in decision.warning
    assert "sigma-impressions backfill --from 2026-11-23 --to 2026-11-25" in decision.warning
    again = model.tick()
    assert again.warning is None
    assert decision.warning in again.message
    model.captured.update(file_id(item) for item in late)
    assert "backfill" not in model.tick().message


# --- Clocks that were wrong ---------------------------------------------------------------------------------


def test_after_a_clock_that_was_ahead_all_six_days_are_looked_at() -> None:
    model = settled(Model())
    model.now += timedelta(days=4)
    late = model.export(days_ago(-1))
    model.now += timedelta(days=365)
    model.tick()
    model.now -= timedelta(days=365)
    decision = model.tick()
    assert decision.request is not None
    assert decision.request.days == (model.day(late),)


@pytest.mark.parametrize("state", ["under way", "failed", "succeeded"])
def test_a_run_of_a_clock_that_was_ahead_holds_nothing_up(state: str) -> None:
    model = settled(Model())
    model.export(TODAY)
    asked = model.look().request
    assert asked is not None
    model.now += timedelta(days=365)
    left = model.start(TODAY, TODAY, asked.request_id)
    if state != "under way":
        model.end(left, state)
        model.captured.clear()
    model.now -= timedelta(days=365)
    again = model.tick().request
    assert again is not None
    assert again.run_key != asked.run_key, "Dagster launches no key twice"
    model.end(next(run for run in model.under_way() if run != left), "succeeded")
    assert model.tick().request is None
    model.captured.clear()
    model.export(TODAY, "another.csv")
    assert model.tick().request is not None


def test_files_of_a_day_that_has_not_come_are_named() -> None:
    model = Model()
    model.export(days_ago(-1))
    assert "There are export files of" not in model.tick().message
    model.export(days_ago(-2))
    decision = model.tick()
    assert decision.request is None
    assert "There are export files of 2026-11-25, and today is 2026-11-23 (UTC)" in decision.message


def test_days_before_the_first_partition_are_left_alone() -> None:
    model = Model(rules(start=days_ago(1)))
    model.export(days_ago(3))
    decision = model.tick()
    assert decision.request is None
    assert "backfill" not in decision.message
    assert "2026-11-22 to 2026-11-23" in decision.message
    future = Model(rules(start=TODAY + timedelta(days=1)))
    assert "lies in the future" in future.tick().message


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "1", "{", '{"version": 1}', '{"version": 99, "source": "x", "days": {}}', "a" * 10_000],
)
def test_an_unreadable_cursor_starts_afresh(text: str) -> None:
    assert Cursor.read(text, "source") == Cursor()


def test_a_cursor_is_of_one_source_only() -> None:
    model = Model()
    model.export(TODAY)
    settled(model)
    assert Cursor.read(model.cursor, model.rules.source_id()).is_settled()
    changes = ({"shown": "s3://other/sigma/"}, {"storage": "elsewhere"}, {"pattern": PATTERN})
    for changed in changes:
        assert Cursor.read(model.cursor, replace(model.rules, **changed).source_id()) == Cursor()


def test_the_cursor_stays_small_and_holds_no_key() -> None:
    model = Model(rules(days_back=6))
    for number in range(2_000):
        model.export(days_ago(number % 9), f"{number}.csv")
    settled(model)
    assert model.cursor is not None
    assert len(model.cursor) < 500
    assert ".csv" not in model.cursor
    assert json.loads(model.cursor)["version"] == 1


# --- Listing from a later key -------------------------------------------------------------------------------


def test_dated_keys_are_listed_from_the_first_day_of_the_look_back() -> None:
    model = Model(rules(pattern=PATTERN))
    for days in range(30):
        model.export(days_ago(days))
    model.captured.update(map(file_id, model.objects.values()))
    settled(model)
    starts = []
    for _ in range(30):
        model.tick()
        starts.append(model.listed_from)
    assert set(starts) == {None, "sigma/2026-11-21"}
    assert 1 <= starts.count(None) <= 3
    model.export(TODAY, "new.csv")
    assert model.tick().request is not None


def test_the_last_look_at_a_day_lists_everything() -> None:
    model = Model(rules(days_back=1, pattern=PATTERN))
    model.export(TODAY)
    settled(model)
    model.put(f"{PREFIX}0 by hand.csv", NOON)
    assert model.tick().request is None
    assert model.listed_from is not None
    model.now += timedelta(days=1)
    decision = model.tick()
    assert decision.request is not None
    assert decision.request.days == (TODAY,)


def test_a_key_without_a_date_waits_for_the_next_full_listing_at_most() -> None:
    model = Model(rules(pattern=PATTERN))
    model.export(TODAY)
    settled(model)
    model.put(f"{PREFIX}0 by hand.csv", NOON)
    decisions = [model.tick() for _ in range(15)]
    assert any(decision.request for decision in decisions)
    # From then on such a key of the look-back has the whole prefix listed at every tick.
    model.end(model.under_way()[0], "succeeded")
    for _ in range(5):
        message = model.tick().message
        assert model.listed_from is None
        assert "Without a match of SIGMA_IMPRESSIONS_FILE_DATE_PATTERN: 1 key" in message


# --- Any story ----------------------------------------------------------------------------------------------


class Story(RuleBasedStateMachine):
    """Uploads, ticks, runs and outages in any order; at the end nothing is missed and nothing goes on for ever."""

    @initialize(days_back=st.integers(1, 6), dated=st.booleans())
    def begin(self, days_back: int, dated: bool) -> None:
        self.model = Model(rules(days_back, PATTERN if dated else None))
        # Files that a tick owes a run, by ID; they were listed within the days that the contract promises.
        self.due: dict[str, StoredObject] = {}
        self.last_tick: date | None = None

    # What happens in the bucket.

    @rule(
        age=st.integers(0, 2) | st.integers(0, 7),
        clock=st.sampled_from([time(0, 0), time(12, 0), time(23, 59, 59)]),
        name=st.sampled_from(["a.csv", "b.csv.gz", "notes.txt"]),
        place=st.sampled_from(["dated", "other place", "before all"]),
    )
    def upload(self, age: int, clock: time, name: str, place: str) -> None:
        modified = datetime.combine(self.model.now.date() - timedelta(days=age), clock, UTC)
        key = {
            "dated": f"{PREFIX}{modified.date()}T00-30-00 {name}",
            "other place": f"{PREFIX}team/{name}",
            "before all": f"{PREFIX}!{name}",
        }[place]
        self.model.put(key, modified)

    @rule(position=st.integers(0, 50))
    @precondition(lambda self: self.model.objects)
    def delete(self, position: int) -> None:
        keys = sorted(self.model.objects)
        del self.model.objects[keys[position % len(keys)]]

    # Time.

    @rule(
        passed=st.sampled_from([*(timedelta(minutes=n) for n in (1, 5, 30)), timedelta(hours=5)])
        | st.integers(1, 6).map(lambda days: timedelta(days=days))
    )
    def time_passes_without_a_tick(self, passed: timedelta) -> None:
        self.model.now += passed

    @rule(days=st.integers(1, 4), outcome=st.sampled_from(OUTCOMES))
    def days_go_by(self, days: int, outcome: str) -> None:
        for _ in range(days):
            self.tick(crash=False)
            for run in self.model.under_way():
                self.model.end(run, outcome)
            self.model.now += timedelta(days=1)

    # Ticks.

    @rule(crash=st.booleans())
    def tick(self, crash: bool) -> None:
        model = self.model
        before = {run.run_id for run in model.under_way()}
        owed = self.reach()
        decision = model.tick(crash=crash)
        if model.listed_from is None:
            for item in model.objects.values():
                if is_export_key(item.key) and model.day(item) in owed:
                    self.due[file_id(item)] = item
        if not crash:
            self.last_tick = model.now.date()
        if decision.request:
            days = decision.request.days
            assert len(days) <= 6
            assert list(days) == [days[0] + timedelta(days=n) for n in range(len(days))]
            assert days[-1] <= model.now.date()
            waited_for = [run for run in model.under_way() if run.run_id in before and run.is_waited_for(model.now)]
            assert not any(run.covers(days[0], days[-1]) for run in waited_for)
            assert self.is_needed(days), decision.message
        assert len(decision.cursor) < 600

    def reach(self) -> set[date]:
        """The days that the contract promises: days back, and since the last tick, at most six."""
        today = self.model.now.date()
        first = today - timedelta(days=self.model.rules.days_back - 1)
        if self.last_tick is not None:
            first = min(first, self.last_tick)
        first = max(first, today - timedelta(days=5))
        return {first + timedelta(days=n) for n in range((today - first).days + 1)}

    def is_needed(self, days: Sequence[date]) -> bool:
        model = self.model
        files = [file_id(i) for i in model.objects.values() if is_export_key(i.key) and model.day(i) in days]
        failed = any(run.state == "failed" for run, _ in model.runs)
        return bool(set(files) - model.captured) or not model.complete or failed

    @rule(what=st.sampled_from(["denied listing", "lost cursor", "broken cursor", "deleted runs"]))
    def mishap(self, what: str) -> None:
        def denied(start: str | None) -> Iterable[StoredObject]:
            raise PermissionError

        model = self.model
        match what:
            case "denied listing":
                with pytest.raises(PermissionError):
                    decide(model.rules, model.cursor, replace(model.world(), listing=denied), model.now)
            case "lost cursor":
                model.cursor = None
            case "broken cursor":
                model.cursor = "not JSON"
            case "deleted runs":
                model.runs = [(run, asked) for run, asked in model.runs if run.state == "under way"]

    # Runs.

    @rule(position=st.integers(0, 5), outcome=st.sampled_from(OUTCOMES))
    @precondition(lambda self: self.model.under_way())
    def a_run_ends(self, position: int, outcome: str) -> None:
        runs = self.model.under_way()
        self.model.end(runs[position % len(runs)], outcome)

    @rule(age=st.integers(0, 6), length=st.integers(1, 6))
    def somebody_starts_a_run(self, age: int, length: int) -> None:
        last = self.model.now.date() - timedelta(days=age)
        self.model.start(last - timedelta(days=length - 1), last)

    # The end of every story: uploads stop, runs succeed.

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        model = self.model
        for run in model.under_way():
            model.end(run, "succeeded")
        owed = self.reach()
        # A tick of a later key does not see everything; the next full one does, and its days are still in reach.
        for item in model.objects.values():
            if is_export_key(item.key) and model.day(item) in owed:
                self.due[file_id(item)] = item
        quiet, ticks = 0, 0
        while quiet < 20:
            ticks += 1
            assert ticks < 150, "the sensor never comes to rest"
            decision = model.tick()
            for run in model.under_way():
                model.end(run, "succeeded")
            quiet = 0 if decision.request or "next try" in decision.message else quiet + 1
            model.now += timedelta(minutes=15 if "next try" in decision.message else 1)
        present = {file_id(item) for item in model.objects.values()}
        oldest = model.now.date() - timedelta(days=5)
        for identity, item in self.due.items():
            if identity in present and identity not in model.captured:
                assert model.day(item) < oldest, f"{item.key} of {model.day(item)} was missed"
                named = re.search(r"backfill --from (\S+) --to (\S+),", decision.message)
                assert named is not None, f"{item.key} of {model.day(item)} is not named"
                assert named[1] <= str(model.day(item)) <= named[2]


TestStory = Story.TestCase
TestStory = pytest.mark.slow(TestStory)
TestStory.settings = settings(max_examples=300, stateful_step_count=25)
