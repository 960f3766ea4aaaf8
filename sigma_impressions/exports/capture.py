"""From listed export files to captured ones: their normalized rows, and last their rows of the registry."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sigma_impressions.clouds.objects import ObjectStore
from sigma_impressions.errors import DamagedError, ObjectChanged, ObjectGone, ObjectUnreadable, StoreError
from sigma_impressions.exports.file_dates import KeyPattern, file_date
from sigma_impressions.exports.listing import ExportFile
from sigma_impressions.exports.manifest import (
    MISSING,
    NOT_CAPTURED,
    REFUSED,
    UNREADABLE,
    export_file,
    read_manifest,
    record_file,
)
from sigma_impressions.exports.reading.normalize import NormalizedFile, normalize_file
from sigma_impressions.exports.reading.parquet import scan_frame, write_frames
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.small_files import SmallFile, normalize_small_files
from sigma_impressions.lake.commits import StagedFile, append_files, replace_rows
from sigma_impressions.lake.inventory import captured_before, naming_damage
from sigma_impressions.lake.repair import drop_damaged_captures
from sigma_impressions.lake.schemas import CAPTURED_ROWS, EXPORT_FILES
from sigma_impressions.lake.scratch import scratch_folder
from sigma_impressions.lake.tables import WORK_FOLDER, Tables, retry_conflicts, scan
from sigma_impressions.users import without_address

Report = Callable[[str], None]
"""Where progress goes, or what somebody should look at: one line a call."""

_VERSIONS_TRIED = 5
"""How often a file may be overwritten while it is read, before it is left to the next run."""

_KINDS = tuple(CAPTURED_ROWS.values())

_READERS = 4
_READ_AHEAD = 8
_MEDIUM_BYTES = 4 * 1024 * 1024
"""Files up to this size are read by several threads, at most `_READ_AHEAD` groups of them ahead of the commit."""

_SMALL_BYTES = 256 * 1024
_GROUP_FILES = 64
"""Files up to this size are read in groups of this many, since most of their time is spent per query, not per row."""

_BATCH_FILES = 500
_BATCH_ROWS = 2_000_000
"""A batch of files is committed at once: small files cost little each, and a crash loses little work."""

_ROWS_OF_A_DATA_FILE = 500_000
"""Staged rows from which on they become a data file as they are, instead of being joined with others."""


@dataclass(frozen=True)
class _Pending:
    """A file to read; `again` if it was captured before and is read under new rules."""

    file: ExportFile
    again: bool


def capture_pending(
    tables: Tables,
    open_store: Callable[[], ObjectStore],
    rules: ReadingRules,
    *,
    pattern: KeyPattern | None,
    report: Report,
    warn: Report,
    days: Collection[date] = (),
    renormalize: Collection[date] = (),
) -> list[dict[str, Any]]:
    """Normalize every file of the manifest that is not registered yet, and register it.

    The files of the file dates in `days` come first, then those of other days, which an interrupted run had listed
    or another one is about to read. Files of the file dates in `renormalize` are read again where they still exist,
    and so are those of `days` that other rules have refused; a file that does not exist any more keeps what was
    captured of it, unless that is damaged. The new rows of the registry
    `export_files` are returned.

    The bucket is opened only if there is a file to read. A file that the store does not let read is registered as
    `UNREADABLE` and stops no other. Raises `StoreError` when the bucket cannot be read, or none of the files of `days`
    ever could; the files registered until then stay registered. Raises `DamagedError` at the end if rows are captured
    of a file that is not registered and that the bucket does not hold any more.
    """
    if renormalize:
        drop_damaged_captures(tables, renormalize, warn)
    with naming_damage(tables), scratch_folder(tables.root / WORK_FOLDER) as scratch:
        pending = _pending(tables, renormalize, days, rules.fingerprint())
        if not pending:
            # After the folders of dead processes were removed: this run may be the only one that gets here.
            return []
        reader = _Reader(tables, open_store(), rules, pattern, scratch, captured_before(tables))
        first = [item for item in pending if item.again or item.file.file_date in days]
        captured = _capture(reader, first, report, warn)
        if len(first) < len(pending):
            # Looked up again: of the runs of a backfill that are under way together, each reads its own days first.
            left = [item for item in _pending(tables) if item.file.file_date not in days]
            captured += _capture(reader, left, report, warn)
    _refuse_days_without_any(tables, days)
    if reader.lost:
        raise DamagedError(*sorted(reader.lost))
    return captured


def _refuse_days_without_any(tables: Tables, days: Collection[date]) -> None:
    """Raise `StoreError` if no file of some file dates could ever be read: that is not the fault of one file."""
    files = tables.read(EXPORT_FILES).filter(pl.col("file_date").is_in(list(days)) & (pl.col("status") != MISSING))
    found = files.select("status", "detail").collect()
    if found.height and (found["status"] == UNREADABLE).all():
        raise StoreError(f"None of the {found.height} export files of these days could be read. {found['detail'][0]}")


def _capture(reader: _Reader, pending: Sequence[_Pending], report: Report, warn: Report) -> list[dict[str, Any]]:
    """Normalize and register these files, in batches; the new rows of the registry."""
    captured: list[dict[str, Any]] = []
    batch = _Batch(reader.tables, reader.scratch)
    position = 0
    try:
        for outcome in _read_ahead(reader, _groups(pending)):
            for note in outcome.notes:
                warn(note)
            for row in batch.add(outcome):
                position += 1
                say = report if row["status"] == "read" else warn
                say(f"[{position}/{len(pending)}] {_sentence(row)}")
            if outcome.failure is not None:
                raise outcome.failure
            if batch.is_full():
                captured += batch.commit()
    except StoreError:
        # What was read until then is kept, so that one object without access does not cost the others.
        batch.commit()
        raise
    captured += batch.commit()
    return captured


def _pending(
    tables: Tables, renormalize: Collection[date] = (), days: Collection[date] = (), rules_fingerprint: str = ""
) -> list[_Pending]:
    manifest = read_manifest(tables)
    registered = tables.read(EXPORT_FILES).select("file_id", "status", "rules_fingerprint")
    # A refusal says which setting to write; nobody should have to ask for more than the next run then.
    is_refused_by_other_rules = (pl.col("status") == REFUSED) & (pl.col("rules_fingerprint") != rules_fingerprint)
    rows = (
        manifest.join(registered, on="file_id", how="left")
        .filter(
            pl.col("status").is_null()
            | (pl.col("file_date").is_in(list(renormalize)) & ~pl.col("status").is_in(NOT_CAPTURED))
            | (pl.col("file_date").is_in(list(days)) & is_refused_by_other_rules)
        )
        .sort("file_date", "key", "version")
        .collect()
    )
    return [_Pending(export_file(row), row["status"] is not None) for row in rows.iter_rows(named=True)]


def _groups(pending: Sequence[_Pending]) -> Iterator[list[_Pending]]:
    """The files, in order: small ones of the same file date together, any other by itself."""
    group: list[_Pending] = []
    for item in pending:
        fits = group and len(group) < _GROUP_FILES and item.file.file_date == group[0].file.file_date
        if group and not (fits and _is_small(group[0]) and _is_small(item)):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _is_small(item: _Pending) -> bool:
    return item.file.object.size <= _SMALL_BYTES


def _read_ahead(reader: _Reader, groups: Iterable[list[_Pending]]) -> Iterator[_Outcome]:
    """What comes of every group, in order; they are fetched and normalized side by side.

    A large file uses all cores by itself, and is read alone, so that memory does not add up.
    """
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read-export") as pool:
        ahead: deque[Future[_Outcome]] = deque()
        try:
            for group in groups:
                if group[0].file.object.size > _MEDIUM_BYTES:
                    while ahead:
                        yield ahead.popleft().result()
                    yield reader.read(group)
                    continue
                ahead.append(pool.submit(reader.read, group))
                if len(ahead) > _READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:
                waiting.cancel()


@dataclass(frozen=True)
class _Staged:
    """Rows that wait to be committed: `files` by kind, with the number of `rows` in each, of one file date."""

    file_date: date
    file_ids: frozenset[str]
    files: Mapping[str, Path]
    rows: Mapping[str, int]


@dataclass
class _Outcome:
    """What came of a group: rows for the registry, their normalized rows, and lines for the log.

    The lines are about files that were not there as listed. `failure` is why the rest of the group was not read.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    staged: list[_Staged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failure: StoreError | None = None


@dataclass(frozen=True)
class _Fetched:
    """A file that lies at `path`, at the version that the bucket held."""

    file: ExportFile
    path: Path


@dataclass(frozen=True)
class _Reader:
    """Fetches and normalizes groups of files; used by several threads at once.

    `captured` are the IDs of files that are not registered though rows of them are captured. Those of them that are
    gone from the bucket are noted in `lost`.
    """

    tables: Tables
    store: ObjectStore
    rules: ReadingRules
    pattern: KeyPattern | None
    scratch: Path
    captured: frozenset[str]
    lost: list[str] = field(default_factory=list)

    def read(self, group: Sequence[_Pending]) -> _Outcome:
        """Normalize files at the versions that were listed; where one is gone, the version that replaced it."""
        outcome = _Outcome()
        folder = self.scratch / uuid.uuid4().hex
        folder.mkdir()
        fetched: dict[str, _Fetched] = {}
        for number, pending in enumerate(group):
            try:
                found = self._fetch(pending, folder / f"{number}.download", outcome)
            except ObjectUnreadable as unreadable:
                self._note_unreadable(pending, unreadable, outcome)
                continue
            except StoreError as failure:
                outcome.failure = failure
                break
            if found is not None:
                fetched.setdefault(found.file.file_id, found)
        for day in sorted({found.file.file_date for found in fetched.values()}):
            self._normalize([found for found in fetched.values() if found.file.file_date == day], folder, outcome)
        for found in fetched.values():
            found.path.unlink(missing_ok=True)
        return outcome

    def _fetch(self, pending: _Pending, path: Path, outcome: _Outcome) -> _Fetched | None:
        """Download a file; what is to be said if it is not there as listed is added to the outcome."""
        file, lost, found = pending.file, "", None
        for _ in range(_VERSIONS_TRIED):
            try:
                self.store.download(file.object, path)
                found = _Fetched(file, path)
                break
            except ObjectGone:
                lost = f"{file.object.key}: deleted since it was listed"
                break
            except ObjectChanged:
                lost = f"{file.object.key}: overwritten since it was listed; the new version is read"
                try:
                    current = self.store.stat(file.object.key)
                except ObjectGone:
                    # Deleted after all: the next try says so.
                    continue
                file = record_file(self.tables, ExportFile(current, file_date(current, self.pattern)[0]))
        else:
            # Its newest version stands in the manifest and is read by the next run.
            key = pending.file.object.key
            outcome.notes.append(f"{key}: overwritten again and again while it was read; left to the next run")
            return None
        if lost and pending.again:
            outcome.notes.append(f"{lost}; what was captured of it before is kept")
        elif lost and pending.file.file_id in self.captured:
            fault = f"{pending.file.object.key} is captured, not registered any more, and not in the bucket"
            self.lost.append(f"export_files, file date {pending.file.file_date}: {fault}")
        elif lost:
            outcome.rows.append(
                self._row(pending.file, _NO_ROWS, MISSING, reason="changed before it was read", detail=lost)
            )
        return found

    def _note_unreadable(self, pending: _Pending, unreadable: ObjectUnreadable, outcome: _Outcome) -> None:
        """Register what cannot be read, with its reason; what was captured of it before is kept."""
        if pending.again:
            outcome.notes.append(f"{pending.file.object.key}: {unreadable}; what was captured of it before is kept")
        else:
            row = self._row(pending.file, _NO_ROWS, UNREADABLE, reason=unreadable.reason, detail=str(unreadable))
            outcome.rows.append(row)

    def _normalize(self, fetched: Sequence[_Fetched], folder: Path, outcome: _Outcome) -> None:
        """Normalize files of one file date, together if they are several, and add them to the outcome."""
        alone = list(fetched)
        if len(fetched) > 1:
            staged, labels = self._stage(folder)
            files = [SmallFile(each.path, each.file.object.last_modified, each.file.file_id) for each in fetched]
            results = normalize_small_files(
                files,
                rules=self.rules,
                accepted_to=staged["accepted"],
                rejected_to=staged["rejected"],
                scratch=folder,
                labels=labels,
            )
            read = list(zip(fetched, results, strict=True))
            self._add([(each.file, result) for each, result in read if result is not None], staged, labels, outcome)
            alone = [each for each, result in read if result is None]
        for each in alone:
            staged, labels = self._stage(folder)
            try:
                result: NormalizedFile | RefusedFile = normalize_file(
                    each.path,
                    last_modified=each.file.object.last_modified,
                    rules=self.rules,
                    accepted_to=staged["accepted"],
                    rejected_to=staged["rejected"],
                    scratch=folder,
                    labels={"file_id": each.file.file_id, **labels},
                )
            except RefusedFile as refusal:
                result = refusal
            self._add([(each.file, result)], staged, labels, outcome)

    def _stage(self, folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
        """Where rows of a new capture are written, and how they are labelled."""
        capture_id = uuid.uuid4().hex
        return {kind: folder / f"{capture_id}.{kind}.parquet" for kind in _KINDS}, {"capture_id": capture_id}

    def _add(
        self,
        results: Sequence[tuple[ExportFile, NormalizedFile | RefusedFile]],
        files: Mapping[str, Path],
        labels: Mapping[str, str],
        outcome: _Outcome,
    ) -> None:
        rows = [
            self._row(file, _NO_ROWS, REFUSED, reason=result.reason, detail=result.detail)
            if isinstance(result, RefusedFile)
            else self._row(file, result, "read")
            for file, result in results
        ]
        outcome.rows.extend({**row, **labels} for row in rows)
        if any(row["rows"] for row in rows):
            counts = {kind: sum(row[kind] for row in rows) for kind in _KINDS}
            ids = frozenset(row["file_id"] for row in rows)
            outcome.staged.append(_Staged(results[0][0].file_date, ids, files, counts))

    def _row(
        self,
        file: ExportFile,
        normalized: NormalizedFile,
        status: str,
        reason: str | None = None,
        detail: str | None = None,
    ) -> dict[str, Any]:
        # Of a file that was read: why nothing of it counts.
        why = detail or (normalized.skipped_example if not normalized.accepted else None)
        return {
            "file_id": file.file_id,
            "capture_id": None,
            "bucket": file.object.bucket,
            "key": file.object.key,
            "version": file.object.version,
            "size": file.object.size,
            "last_modified": file.object.last_modified,
            "file_date": file.file_date,
            "status": status,
            "reason": reason,
            "detail": why and without_address(why),
            "rows": normalized.rows,
            "accepted": normalized.accepted,
            "rejected": normalized.rejected,
            "skipped": normalized.skipped,
            "event_dates": list(normalized.event_dates),
            "warnings": list(normalized.warnings),
            "rules_fingerprint": self.rules.fingerprint(),
            "captured_at": datetime.now(UTC),
            "event_types": [
                {"event_type": name, "rows": rows, "accepted": accepted}
                for name, rows, accepted in normalized.event_types
            ],
            "unused_columns": list(normalized.unused_columns),
        }


def _sentence(row: dict[str, Any]) -> str:
    if row["status"] == MISSING:
        return str(row["detail"])
    if row["status"] != "read":
        return f"{row['key']}: {row['status']}: {row['reason']}. {row['detail']}"
    return (
        f"{row['key']}: {row['rows']:,} rows, {row['accepted']:,} accepted, {row['rejected']:,} rejected, "
        f"{row['skipped']:,} skipped"
    )


_NO_ROWS = NormalizedFile(0, 0, 0, 0, {}, (), (), ())


class _Batch:
    """Rows that wait to be committed together."""

    def __init__(self, tables: Tables, scratch: Path) -> None:
        self._tables = tables
        self._scratch = scratch
        self._known: set[str] = set()
        self._start()

    def _start(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._staged: list[_Staged] = []

    def is_full(self) -> bool:
        return len(self._rows) >= _BATCH_FILES or sum(row["rows"] for row in self._rows) >= _BATCH_ROWS

    def add(self, outcome: _Outcome) -> list[dict[str, Any]]:
        """Take what came of a group; its rows are returned.

        A file that was read before, as the version that replaced another one, is left out: no registry will
        name the capture that its rows are labelled with.
        """
        new = [row for row in outcome.rows if row["file_id"] not in self._known]
        ids = {row["file_id"] for row in new}
        self._known |= ids
        self._rows += new
        self._staged += [staged for staged in outcome.staged if staged.file_ids & ids]
        return new

    def commit(self) -> list[dict[str, Any]]:
        """Write the rows of the batch, then register its files; the registry's rows are returned."""
        if not self._rows:
            return []
        for table, kind in CAPTURED_ROWS.items():
            append_files(self._tables.open(table), list(self._merge(kind)))
        rows = self._rows
        retry_conflicts(lambda: self._register(rows))
        for staged in self._staged:
            for path in staged.files.values():
                path.unlink(missing_ok=True)
        self._start()
        return rows

    def _register(self, rows: list[dict[str, Any]]) -> None:
        registry = self._tables.open(EXPORT_FILES)
        # A file that this run could not read, or not any more, another run may have read.
        lost = [row["file_id"] for row in rows if row["status"] in NOT_CAPTURED]
        found = set(scan(registry).filter(pl.col("file_id").is_in(lost)).select("file_id").collect()["file_id"])
        rows = [row for row in rows if row["file_id"] not in found]
        if rows:
            ids = [row["file_id"] for row in rows]
            frame = pl.DataFrame(rows, schema=EXPORT_FILES.schema)
            replace_rows(registry, "file_id", ids, frame)

    def _merge(self, kind: str) -> Iterator[StagedFile]:
        """Large Parquet files as they are, the others joined, so that many small exports do not make many files."""
        for day in sorted({staged.file_date for staged in self._staged}):
            staged = [each for each in self._staged if each.file_date == day and each.rows[kind]]
            large = [each for each in staged if each.rows[kind] >= _ROWS_OF_A_DATA_FILE or len(staged) == 1]
            for each in large:
                yield StagedFile(each.files[kind], {"file_date": str(day)}, each.rows[kind])
            small = [each for each in staged if each not in large]
            if small:
                target = self._scratch / f"{uuid.uuid4().hex}.{kind}.parquet"
                paths = [each.files[kind] for each in small]
                frames = [scan_frame(path) for path in paths]
                write_frames((frame.collect() for frame in frames), frames[0].head(0).collect(), target)
                yield StagedFile(target, {"file_date": str(day)}, sum(each.rows[kind] for each in small))
