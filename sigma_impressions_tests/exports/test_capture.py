"""From a listing to captured files: against a bucket in memory that changes while it is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import polars as pl
import pytest

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.errors import ObjectUnreadable, StoreError
from sigma_impressions.exports import capture
from sigma_impressions.exports.listing import file_id
from sigma_impressions.exports.manifest import forget_missing, read_manifest, record_listing, uncaptured_files
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    REJECTED_ROWS,
)
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions_tests.exports.bucket import DAY, NOON, Bucket, captured, listing, scanned

pytestmark = pytest.mark.slow

HEADER = "request_time,user_email,workbook_url_id\n"


def export(*users: str, day: date = DAY) -> bytes:
    """An export file: every user has viewed the same workbook, one minute after the other."""
    return (HEADER + "".join(f"{day} 08:{n:02}:00,{user},wb1\n" for n, user in enumerate(users))).encode()


class Killed(BaseException):
    """Ends the process as far as the code can tell: nothing catches it."""


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path / "storage")


def registry(tables: Tables) -> list[dict[str, Any]]:
    files = tables.read(EXPORT_FILES).sort("key", "captured_at").collect().to_dicts()
    assert len({file["file_id"] for file in files}) == len(files), "a file is registered twice"
    return files


def counted(tables: Tables) -> int:
    """Impressions over all event dates, counted once. A second refresh finds nothing to do."""
    refresh_daily_impressions(tables, "largest")
    assert refresh_daily_impressions(tables, "largest").built == ()
    return int(tables.read(DAILY_IMPRESSIONS).select(pl.col("impressions").sum()).collect().item())


def users(tables: Tables) -> list[str]:
    refresh_daily_impressions(tables, "largest")
    return tables.read(DAILY_IMPRESSIONS).sort("user_email").collect()["user_email"].to_list()


def scratch_is_empty(tables: Tables) -> bool:
    return not any(path.is_dir() for path in (tables.root / WORK_FOLDER).iterdir())


def test_a_new_file_is_captured_once(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com", "bo@x.com") + b"no time,cy@x.com,wb1\n")
    recorded = record_listing(tables, listing(bucket), NOON)
    assert [file.object.key for file in recorded.new] == ["a.csv"]
    assert (recorded.known, recorded.overwritten) == (0, [])
    (row,) = captured(tables, bucket)
    assert (row["status"], row["rows"], row["accepted"], row["rejected"], row["skipped"]) == ("read", 3, 2, 1, 0)
    assert (row["file_date"], row["event_dates"]) == (DAY, [DAY])
    assert counted(tables) == 2
    rejected = tables.read(REJECTED_ROWS).collect().to_dicts()
    assert [(r["file_id"], r["row_number"], r["reason"]) for r in rejected] == [
        (row["file_id"], 3, "unparseable_request_time")
    ]
    assert scratch_is_empty(tables)


def test_a_known_file_is_not_read_again(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    versions = [tables.open(t).version() for t in (RAW_EXPORT_FILES, EXPORT_FILES, NORMALIZED_IMPRESSIONS)]
    again = record_listing(tables, listing(bucket), datetime.now(UTC))
    assert (again.new, again.known) == ([], 1)
    assert captured(tables, bucket) == []
    assert bucket.downloads == ["a.csv"]
    assert versions == [tables.open(t).version() for t in (RAW_EXPORT_FILES, EXPORT_FILES, NORMALIZED_IMPRESSIONS)]


def test_an_empty_bucket(bucket: Bucket, tables: Tables) -> None:
    recorded = record_listing(tables, listing(bucket), NOON)
    assert (recorded.new, recorded.known) == ([], 0)
    assert captured(tables, bucket) == []
    assert forget_missing(tables, listing(bucket), [DAY]) == []
    assert counted(tables) == 0


def test_the_first_capture_fixes_the_file_date(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    later = NOON + timedelta(days=1)
    bucket.put("a.csv", export("ana@x.com"), modified=later)
    assert scanned(tables, bucket, DAY, later.date()) == []
    (file,) = registry(tables)
    assert (file["file_date"], file["last_modified"]) == (DAY, NOON)


def test_both_versions_of_an_overwritten_export_count(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    bucket.put("a.csv", export("bo@x.com"))
    recorded = record_listing(tables, listing(bucket), datetime.now(UTC))
    assert [file.object.key for file in recorded.overwritten] == ["a.csv"]
    assert len(captured(tables, bucket)) == 1
    assert [file["status"] for file in registry(tables)] == ["read", "read"]
    assert users(tables) == ["ana@x.com", "bo@x.com"]


def test_a_file_that_changes_before_it_is_read_is_taken_at_its_new_version(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    bucket.before_download = lambda key: bucket.downloads or bucket.put(key, export("bo@x.com", "cy@x.com"))
    said: list[str] = []
    rows = scanned(tables, bucket, warn=said.append)
    assert sorted((row["status"], row["rows"]) for row in rows) == [("missing", 0), ("read", 2)]
    assert any("overwritten since it was listed" in line for line in said)
    assert users(tables) == ["bo@x.com", "cy@x.com"]
    assert scanned(tables, bucket) == []
    assert len(registry(tables)) == 2


def test_a_file_that_changes_all_the_time_is_left_to_the_next_run(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    bucket.put("b.csv", export("zoe@x.com"))
    number = iter(range(100))

    def change(key: str) -> None:
        if key == "a.csv":
            bucket.put(key, export(f"user{next(number)}@x.com"))

    bucket.before_download = change
    rows = scanned(tables, bucket)
    assert [row["key"] for row in rows] == ["b.csv"]
    bucket.before_download = lambda key: None
    scanned(tables, bucket)
    newest = bucket.stat("a.csv").version
    assert [file["version"] for file in registry(tables) if file["key"] == "a.csv" and file["rows"]] == [newest]
    assert counted(tables) == 2
    assert scanned(tables, bucket) == []


def test_a_file_that_is_overwritten_between_two_runs_before_it_was_read(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    record_listing(tables, listing(bucket), NOON)
    # The run ends here; Sigma exports again, and the next run lists the new version.
    bucket.put("a.csv", export("bo@x.com"))
    rows = scanned(tables, bucket)
    assert sorted(row["status"] for row in rows) == ["missing", "read"]
    assert len(registry(tables)) == 2
    assert users(tables) == ["bo@x.com"]
    assert counted(tables) == 1


def test_an_export_that_returns_to_a_captured_version_keeps_its_file_date(bucket: Bucket, tables: Tables) -> None:
    later = NOON + timedelta(days=1)
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    bucket.put("a.csv", export("bo@x.com"))
    record_listing(tables, listing(bucket), datetime.now(UTC))
    # The run ends here; then what was captured first is uploaded again.
    bucket.put("a.csv", export("ana@x.com"), modified=later)
    scanned(tables, bucket, DAY, later.date())
    files = {file["status"]: (file["file_date"], file["last_modified"]) for file in registry(tables)}
    assert files == {"read": (DAY, NOON), "missing": (DAY, NOON)}
    assert users(tables) == ["ana@x.com"]


def test_a_file_that_another_run_has_captured_meanwhile_stays_captured(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    record_listing(tables, listing(bucket), NOON)

    def capture_and_overwrite(key: str) -> None:
        bucket.before_download = lambda key: None
        captured(tables, bucket)
        bucket.put(key, export("bo@x.com"))

    bucket.before_download = capture_and_overwrite
    captured(tables, bucket)
    assert users(tables) == ["ana@x.com", "bo@x.com"]
    assert [file["status"] for file in registry(tables)] == ["read", "read"]


def test_runs_that_are_under_way_together_read_their_own_days_first(bucket: Bucket, tables: Tables) -> None:
    other, third = DAY - timedelta(days=1), DAY - timedelta(days=2)
    bucket.put("mine.csv", export("ana@x.com"))
    bucket.put("its.csv", export("bo@x.com", day=other), modified=NOON - timedelta(days=1))
    bucket.put("nobodys.csv", export("cy@x.com", day=third), modified=NOON - timedelta(days=2))
    record_listing(tables, listing(bucket, DAY, other, third), NOON)

    def another_run(key: str) -> None:
        bucket.before_download = lambda key: None
        captured(tables, bucket, days=[other])

    bucket.before_download = another_run
    (row,) = captured(tables, bucket, days=[DAY])
    assert row["key"] == "mine.csv"
    # The other run, which was through with its day, found this run's file and the one that is left.
    assert bucket.downloads[0] == "its.csv"
    assert bucket.downloads.count("its.csv") == bucket.downloads.count("nobodys.csv") == 1
    assert sorted(users(tables)) == ["ana@x.com", "bo@x.com", "cy@x.com"]


def test_a_file_that_is_deleted_before_it_is_read(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    bucket.put("b.csv", export("bo@x.com"))
    bucket.before_download = lambda key: bucket.objects.pop("a.csv", None)
    rows = scanned(tables, bucket)
    assert sorted((row["key"], row["status"]) for row in rows) == [("a.csv", "missing"), ("b.csv", "read")]
    assert scanned(tables, bucket) == []
    assert sorted(bucket.downloads) == ["a.csv", "b.csv"]
    # Listed again, it is read after all.
    bucket.put("a.csv", export("ana@x.com"))
    bucket.before_download = lambda key: None
    (row,) = scanned(tables, bucket)
    assert (row["key"], row["status"]) == ("a.csv", "read")
    assert users(tables) == ["ana@x.com", "bo@x.com"]
    assert len(registry(tables)) == 2


def test_a_file_that_is_deleted_after_it_changed(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    bucket.before_download = lambda key: bucket.put(key, export("bo@x.com"))
    real = bucket.stat

    def vanishing(key: str) -> StoredObject:
        if len(bucket.downloads) == 1 and bucket.objects[key][1] == export("bo@x.com"):
            item = real(key)
            bucket.before_download = lambda key: bucket.objects.pop(key, None)
            return item
        return real(key)

    bucket.stat = vanishing  # type: ignore[method-assign]
    (row,) = scanned(tables, bucket)
    assert row["status"] == "missing"
    assert counted(tables) == 0


def test_renormalizing_keeps_what_cannot_be_read_any_more(bucket: Bucket, tables: Tables) -> None:
    for name in ("gone", "kept"):
        bucket.put(f"{name}.csv", export(f"{name}@x.com", "bot@x.com"))
    bucket.put("other.csv", export("other@x.com", "bot@x.com"), modified=NOON - timedelta(days=1))
    scanned(tables, bucket, DAY, DAY - timedelta(days=1))
    before = {file["key"]: file for file in registry(tables)}
    bucket.delete("gone.csv")
    rules = ReadingRules(excluded_users=("bot@x.com",))
    said: list[str] = []
    rows = scanned(tables, bucket, rules=rules, renormalize=[DAY], warn=said.append)
    assert [(row["key"], row["accepted"], row["skipped"]) for row in rows] == [("kept.csv", 1, 1)]
    assert any("what was captured of it before is kept" in line for line in said)
    after = {file["key"]: file for file in registry(tables)}
    assert after["gone.csv"] == before["gone.csv"]
    assert after["other.csv"] == before["other.csv"]
    assert after["kept.csv"]["rules_fingerprint"] == rules.fingerprint()
    assert users(tables) == ["bot@x.com", "gone@x.com", "kept@x.com", "other@x.com"]


def test_what_was_refused_is_read_under_the_rules_that_the_refusal_asks_for(bucket: Bucket, tables: Tables) -> None:
    german = export("ana@x.com").replace(b"user_email", b"Benutzer")
    for name, day in {"today.csv": NOON, "before.csv": NOON - timedelta(days=1)}.items():
        bucket.put(name, german, modified=day)
    days = [DAY, DAY - timedelta(days=1)]
    assert {row["status"] for row in scanned(tables, bucket, *days, days=days)} == {"refused"}
    assert scanned(tables, bucket, *days, days=days) == []

    rules = ReadingRules(extra_aliases={"user_email": ("Benutzer",)})
    (row,) = scanned(tables, bucket, DAY, days={DAY}, rules=rules)

    assert (row["key"], row["status"], row["accepted"]) == ("today.csv", "read", 1)
    assert scanned(tables, bucket, DAY, days={DAY}, rules=rules) == []
    assert {file["key"]: file["status"] for file in registry(tables)} == {"today.csv": "read", "before.csv": "refused"}


@pytest.mark.parametrize("second", ["bo@x.com", "zoe@x.com"], ids=["the new version first", "the old version first"])
def test_renormalizing_an_overwritten_export(second: str, bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    bucket.put("a.csv", export(second))
    scanned(tables, bucket)
    rows = scanned(tables, bucket, renormalize=[DAY])
    assert [row["version"] for row in rows] == [bucket.stat("a.csv").version]
    assert [file["status"] for file in registry(tables)] == ["read", "read"]
    assert users(tables) == ["ana@x.com", second]
    assert counted(tables) == 2


def test_missing_files_are_forgotten_when_asked_only(bucket: Bucket, tables: Tables) -> None:
    days = [DAY, DAY - timedelta(days=1)]
    bucket.put("kept.csv", export("kept@x.com"))
    bucket.put("gone.csv", export("gone@x.com"))
    bucket.put("before.csv", export("before@x.com"), modified=NOON - timedelta(days=1))
    scanned(tables, bucket, *days)
    bucket.delete("gone.csv")
    bucket.delete("before.csv")
    scanned(tables, bucket, *days)
    assert users(tables) == ["before@x.com", "gone@x.com", "kept@x.com"]
    assert forget_missing(tables, listing(bucket, DAY), [DAY]) == ["gone.csv"]
    assert users(tables) == ["before@x.com", "kept@x.com"]
    assert set(read_manifest(tables).collect()["key"]) == {"before.csv", "kept.csv"}
    assert forget_missing(tables, listing(bucket, DAY), [DAY]) == []
    # Uploaded again, it is a new file.
    bucket.put("gone.csv", export("gone@x.com"))
    scanned(tables, bucket, *days)
    assert users(tables) == ["before@x.com", "gone@x.com", "kept@x.com"]


def test_an_old_version_is_missing_once_it_is_overwritten(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    bucket.put("a.csv", export("bo@x.com"))
    scanned(tables, bucket)
    assert forget_missing(tables, listing(bucket), [DAY]) == ["a.csv"]
    assert users(tables) == ["bo@x.com"]


def test_a_file_that_moved_to_another_day_is_not_missing(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    bucket.put("a.csv", export("ana@x.com"), modified=NOON + timedelta(days=1))
    assert forget_missing(tables, listing(bucket, DAY), [DAY]) == []
    assert counted(tables) == 1


def test_a_refused_file_does_not_stop_the_others(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    bucket.put("b.csv", b"")
    bucket.put("c.csv", b"a,b\n1,2\n")
    bucket.put("d.csv", HEADER.encode() + b'2026-11-20 08:00:00,"bo@x.com,wb1\n')
    bucket.put("e.csv", HEADER.encode())
    bucket.put("f.csv", export("zoe@x.com"))
    said: list[str] = []
    warned: list[str] = []
    scanned(tables, bucket, report=said.append, warn=warned.append)
    assert {file["key"]: (file["status"], file["reason"], file["rows"]) for file in registry(tables)} == {
        "a.csv": ("read", None, 1),
        "b.csv": ("refused", "empty file", 0),
        "c.csv": ("refused", "missing required column", 0),
        "d.csv": ("refused", "malformed quoting", 0),
        "e.csv": ("read", None, 0),
        "f.csv": ("read", None, 1),
    }
    assert all(file["detail"] for file in registry(tables) if file["status"] == "refused")
    assert users(tables) == ["ana@x.com", "zoe@x.com"]
    # What is refused is a warning, once, with what to do; all else is progress.
    refused = [file for file in registry(tables) if file["status"] == "refused"]
    assert len(warned) == len(refused) == 3
    for line, file in zip(warned, sorted(refused, key=lambda file: file["key"]), strict=True):
        assert f"{file['key']}: refused: {file['reason']}. {file['detail']}" in line
    assert len(said) == 3
    assert scanned(tables, bucket) == []
    assert scratch_is_empty(tables)


def test_a_fault_in_the_middle_keeps_the_batches_before(
    bucket: Bucket, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_BATCH_FILES", 2)
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        bucket.put(f"{name}.csv", export(f"{name}@x.com"))

    def fail(key: str) -> None:
        if key == "c.csv":
            raise StoreError("Access denied: reading needs s3:GetObject")

    bucket.before_download = fail
    with pytest.raises(StoreError, match=r"s3:GetObject"):
        scanned(tables, bucket)
    assert [file["key"] for file in registry(tables)] == ["a.csv", "b.csv"]
    assert users(tables) == ["a@x.com", "b@x.com"]
    assert scratch_is_empty(tables)
    bucket.before_download = lambda key: None
    bucket.downloads.clear()
    # Also in a run over other days.
    rows = scanned(tables, bucket, DAY + timedelta(days=3))
    assert [row["key"] for row in rows] == ["c.csv", "d.csv", "e.csv"]
    assert sorted(bucket.downloads) == ["c.csv", "d.csv", "e.csv"]
    assert users(tables) == [f"{name}@x.com" for name in names]


def test_nothing_is_read_any_more_when_a_capture_has_failed(
    bucket: Bucket, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "_GROUP_FILES", 1)
    for number in range(12):
        bucket.put(f"{number:02}.csv", export(f"user{number}@x.com"))
    bucket.before_download = lambda key: sleep(0.05 if key > "00.csv" else 0)

    def fail(line: str) -> None:
        raise Killed(line)

    with pytest.raises(Killed, match=r"00\.csv"):
        scanned(tables, bucket, report=fail)
    read = list(bucket.downloads)
    assert len(read) < 12
    assert scratch_is_empty(tables)
    sleep(0.3)
    assert bucket.downloads == read


def test_many_small_files_make_one_data_file_per_file_date(bucket: Bucket, tables: Tables) -> None:
    days = [DAY, DAY - timedelta(days=1), DAY - timedelta(days=2)]
    for number in range(30):
        modified = NOON - timedelta(days=number % 3)
        data = export(f"user{number}@x.com", day=modified.date())
        bucket.put(f"{number:02}.csv", data + b"bad,x@x.com,wb1\n", modified)
    scanned(tables, bucket, *days)
    for table in (NORMALIZED_IMPRESSIONS, REJECTED_ROWS):
        handle = tables.open(table)
        assert len(handle.file_uris()) == 3
        assert handle.version() == 1
        rows = tables.read(table).collect()
        assert rows.height == 30
        assert rows["file_id"].n_unique() == 30
    assert counted(tables) == 30


def test_rows_that_a_killed_capture_left_are_never_counted(
    bucket: Bucket, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("a.csv", export("ana@x.com", "bo@x.com"))

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(capture._Batch, "_register", killed)
        scanned(tables, bucket)
    assert tables.read(NORMALIZED_IMPRESSIONS).collect().height == 2
    assert registry(tables) == []
    assert counted(tables) == 0
    scanned(tables, bucket)
    assert tables.read(NORMALIZED_IMPRESSIONS).collect().height == 4
    assert counted(tables) == 2


def test_rows_of_another_capture_of_the_same_file_are_never_counted(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    scanned(tables, bucket)
    rows = tables.read(NORMALIZED_IMPRESSIONS).collect()
    stray = rows.with_columns(capture_id=pl.lit("stray"), user_email=pl.lit("stray@x.com"))
    append_rows(tables.open(NORMALIZED_IMPRESSIONS), stray)
    assert users(tables) == ["ana@x.com"]


def test_a_file_that_two_runs_recorded_is_captured_once(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("ana@x.com"))
    record_listing(tables, listing(bucket), NOON)
    manifest = tables.open(RAW_EXPORT_FILES)
    append_rows(manifest, tables.read(RAW_EXPORT_FILES).collect())
    assert len(captured(tables, bucket)) == 1
    assert counted(tables) == 1
    assert len(registry(tables)) == 1


# --- objects that the store lists and does not let read


def closed(*keys: str) -> Callable[[str], None]:
    def before_download(key: str) -> None:
        if key in keys:
            raise ObjectUnreadable(f"s3://exports/{key} is in an archive storage class. Restore it", "archived")

    return before_download


def test_an_unreadable_object_is_recorded_and_stops_no_other(bucket: Bucket, tables: Tables) -> None:
    for n in range(5):
        bucket.put(f"{n}.csv", export(f"u{n}@x.io"))
    bucket.before_download = closed("0.csv", "2.csv")
    scanned(tables, bucket, days={DAY})
    found = {file["key"]: (file["status"], file["reason"], file["accepted"]) for file in registry(tables)}
    assert found == {
        "0.csv": ("unreadable", "archived", 0),
        "1.csv": ("read", None, 1),
        "2.csv": ("unreadable", "archived", 0),
        "3.csv": ("read", None, 1),
        "4.csv": ("read", None, 1),
    }
    assert counted(tables) == 3


def test_runs_over_other_days_leave_an_unreadable_object_alone(bucket: Bucket, tables: Tables) -> None:
    next_day = DAY + timedelta(days=1)
    bucket.put("old.csv", export("a@x.io"))
    bucket.put("other.csv", export("b@x.io"))
    bucket.before_download = closed("old.csv")
    scanned(tables, bucket, days={DAY})
    bucket.put("new.csv", export("c@x.io", day=next_day), NOON + timedelta(days=1))
    bucket.downloads.clear()
    record_listing(tables, listing(bucket, next_day), datetime.now(UTC))
    captured(tables, bucket, days={next_day})
    assert bucket.downloads == ["new.csv"]
    assert counted(tables) == 2


def test_an_object_that_can_be_read_again_counts_with_the_next_run_over_its_day(bucket: Bucket, tables: Tables) -> None:
    item = bucket.put("old.csv", export("a@x.io"))
    bucket.put("other.csv", export("b@x.io"))
    bucket.before_download = closed("old.csv")
    scanned(tables, bucket, days={DAY})
    (unread,) = [file["file_id"] for file in registry(tables) if file["key"] == "old.csv"]
    assert file_id(item) == unread
    assert uncaptured_files(tables, [unread]) == {unread}, "the sensor asks for it"
    scanned(tables, bucket, days={DAY})
    assert counted(tables) == 1
    bucket.before_download = closed()
    scanned(tables, bucket, days={DAY})
    assert [file["status"] for file in registry(tables)] == ["read", "read"]
    assert counted(tables) == 2


def test_days_of_which_nothing_was_ever_readable_fail(bucket: Bucket, tables: Tables) -> None:
    bucket.put("old.csv", export("a@x.io"))
    bucket.before_download = closed("old.csv")
    with pytest.raises(StoreError, match=r"None of the 1 export files .* archive storage class"):
        scanned(tables, bucket, days={DAY})
    assert [file["status"] for file in registry(tables)] == ["unreadable"]


def test_reading_again_keeps_what_cannot_be_read_any_more(bucket: Bucket, tables: Tables) -> None:
    bucket.put("a.csv", export("a@x.io"))
    scanned(tables, bucket, days={DAY})
    bucket.before_download = closed("a.csv")
    said: list[str] = []
    scanned(tables, bucket, days={DAY}, renormalize={DAY}, warn=said.append)
    assert [file["status"] for file in registry(tables)] == ["read"]
    assert "what was captured of it before is kept" in "".join(said)
    assert counted(tables) == 1
