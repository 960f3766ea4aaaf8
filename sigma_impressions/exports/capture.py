"""From listed export files to captured ones: their normalized rows, and last their rows of the registry."""

from __future__ import annotations

import re
import shutil
import uuid
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sigma_impressions.exports.file_dates import file_date
from sigma_impressions.exports.listing import ExportFile
from sigma_impressions.exports.manifest import MISSING, export_file, read_manifest, record_file
from sigma_impressions.exports.normalize import NormalizedFile, ReadingRules, normalize_file
from sigma_impressions.exports.objects import ObjectChanged, ObjectGone, ObjectStore, StoreError
from sigma_impressions.exports.refused import RefusedFile
from sigma_impressions.scratch import scratch_folder
from sigma_impressions.tables import (
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    WORK_FOLDER,
    StagedFile,
    Table,
    Tables,
    polars_schema,
    retry_conflicts,
    scan,
)
from sigma_impressions.tables import (
    replace as replace_rows,
)

Report = Callable[[str], None]
"""Where progress goes: one line a call."""

_VERSIONS_TRIED = 5
"""How often a file may be overwritten while it is read, before it is left to the next run."""

_KINDS = ("accepted", "rejected")

_READERS = 4
_READ_AHEAD = 16
_SMALL_BYTES = 4 * 1024 * 1024
"""Files up to this size are read by several threads, at most `_READ_AHEAD` of them ahead of the commit."""

_BATCH_FILES = 500
_BATCH_ROWS = 2_000_000
"""A batch of files is committed at once: small files cost little each, and a crash loses little work."""


@dataclass(frozen=True)
class _Pending:
    """A file to read; `again` if it was captured before and is read under new rules."""

    file: ExportFile
    again: bool


def capture_pending(
    tables: Tables,
    store: ObjectStore,
    rules: ReadingRules,
    *,
    pattern: re.Pattern[str] | None,
    report: Report,
    renormalize: Collection[date] = (),
) -> list[dict[str, Any]]:
    """Normalize every file of the manifest that is not registered yet, and register it.

    That includes files of other days that an interrupted run had listed. Files of the file dates in
    `renormalize` are read again where they still exist; a file that does not keeps what was captured of it.
    The new rows of the registry `export_files` are returned.

    Raises `StoreError` when the bucket cannot be read; the files registered until then stay registered.
    """
    captured: list[dict[str, Any]] = []
    pending = _pending(tables, renormalize)
    with scratch_folder(tables.root / WORK_FOLDER) as scratch:
        reader = _Reader(tables, store, rules, pattern, scratch)
        batch = _Batch(tables, scratch)
        try:
            for position, outcome in enumerate(_read_ahead(reader, pending), 1):
                if outcome.note:
                    report(outcome.note)
                for reading in outcome.readings:
                    if batch.add(reading):
                        report(f"[{position}/{len(pending)}] {_sentence(reading.row)}")
                if batch.is_full():
                    captured += batch.commit()
        except StoreError:
            # What was read until then is kept, so that one object without access does not cost the others.
            batch.commit()
            raise
        captured += batch.commit()
    return captured


def _pending(tables: Tables, renormalize: Collection[date]) -> list[_Pending]:
    manifest = read_manifest(tables)
    registered = tables.read(EXPORT_FILES).select("file_id", "status")
    rows = (
        manifest.join(registered, on="file_id", how="left")
        .filter(
            pl.col("status").is_null() | (pl.col("file_date").is_in(list(renormalize)) & (pl.col("status") != MISSING))
        )
        .sort("file_date", "key", "version")
        .collect()
    )
    return [_Pending(export_file(row), row["status"] is not None) for row in rows.iter_rows(named=True)]


def _read_ahead(reader: _Reader, pending: Sequence[_Pending]) -> Iterator[_Outcome]:
    """What comes of every file, in order; small files are fetched and normalized side by side.

    A large file uses all cores by itself, and is read alone, so that memory does not add up.
    """
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read-export") as pool:
        ahead: deque[Future[_Outcome]] = deque()
        try:
            for item in pending:
                if item.file.object.size > _SMALL_BYTES:
                    while ahead:
                        yield ahead.popleft().result()
                    yield reader.read(item)
                    continue
                ahead.append(pool.submit(reader.read, item))
                if len(ahead) > _READ_AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for waiting in ahead:
                waiting.cancel()


@dataclass(frozen=True)
class _Reading:
    """A file that was read: its row of the registry, and the Parquet files with its rows by kind."""

    file: ExportFile
    row: dict[str, Any]
    staged: Mapping[str, Path]


@dataclass(frozen=True)
class _Outcome:
    """What came of a pending file: its readings, and a line for the log if it was not there as listed."""

    readings: list[_Reading]
    note: str


@dataclass(frozen=True)
class _Reader:
    """Fetches and normalizes single files; used by several threads at once."""

    tables: Tables
    store: ObjectStore
    rules: ReadingRules
    pattern: re.Pattern[str] | None
    scratch: Path

    def read(self, pending: _Pending) -> _Outcome:
        """Normalize one file at the version that was listed; if that is gone, the version that replaced it."""
        file, lost = pending.file, ""
        for _ in range(_VERSIONS_TRIED):
            try:
                found = [self._normalize(file)]
                break
            except ObjectGone:
                lost = f"{file.object.key}: deleted since it was listed"
                found = []
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
            return _Outcome([], f"{key}: overwritten again and again while it was read; left to the next run")
        if lost and pending.again:
            return _Outcome(found, f"{lost}; what was captured of it before is kept")
        if lost:
            row = self._row(pending.file, _NO_ROWS, status=MISSING, reason="changed before it was read", detail=lost)
            found.append(_Reading(pending.file, row, {}))
        return _Outcome(found, lost)

    def _normalize(self, file: ExportFile) -> _Reading:
        folder = self.scratch / uuid.uuid4().hex
        folder.mkdir()
        downloaded = folder / "download"
        staged = {kind: folder / f"{kind}.parquet" for kind in _KINDS}
        try:
            self.store.download(file.object, downloaded)
            normalized = normalize_file(
                downloaded,
                last_modified=file.object.last_modified,
                rules=self.rules,
                accepted_to=staged["accepted"],
                rejected_to=staged["rejected"],
                scratch=folder,
            )
        except RefusedFile as refusal:
            row = self._row(file, _NO_ROWS, status="refused", reason=refusal.reason, detail=refusal.detail)
            return _Reading(file, row, {})
        finally:
            downloaded.unlink(missing_ok=True)
        return _Reading(file, self._row(file, normalized, status="read", reason=None, detail=None), staged)

    def _row(
        self, file: ExportFile, normalized: NormalizedFile, status: str, reason: str | None, detail: str | None
    ) -> dict[str, Any]:
        return {
            "file_id": file.file_id,
            "bucket": file.object.bucket,
            "key": file.object.key,
            "version": file.object.version,
            "size": file.object.size,
            "last_modified": file.object.last_modified,
            "file_date": file.file_date,
            "status": status,
            "reason": reason,
            "detail": detail,
            "rows": normalized.rows,
            "accepted": normalized.accepted,
            "rejected": normalized.rejected,
            "skipped": normalized.skipped,
            "event_dates": list(normalized.event_dates),
            "warnings": list(normalized.warnings),
            "rules_fingerprint": self.rules.fingerprint(),
            "captured_at": datetime.now(UTC),
        }


def _sentence(row: dict[str, Any]) -> str:
    if row["status"] != "read":
        return f"{row['key']}: {row['status']}: {row['reason']}"
    return (
        f"{row['key']}: {row['rows']:,} rows, {row['accepted']:,} accepted, {row['rejected']:,} rejected, "
        f"{row['skipped']:,} skipped"
    )


_NO_ROWS = NormalizedFile(0, 0, 0, 0, {}, (), (), ())


class _Batch:
    """Readings that wait to be committed together."""

    def __init__(self, tables: Tables, scratch: Path) -> None:
        self._tables = tables
        self._scratch = scratch
        self._known: set[str] = set()
        self._start()

    def _start(self) -> None:
        self._capture_id = uuid.uuid4().hex
        self._readings: list[_Reading] = []
        self._rows = 0

    def is_full(self) -> bool:
        return len(self._readings) >= _BATCH_FILES or self._rows >= _BATCH_ROWS

    def add(self, reading: _Reading) -> bool:
        """Take a reading; False if the file was read before, as the version that replaced another one."""
        if reading.file.file_id in self._known:
            return False
        self._known.add(reading.file.file_id)
        self._readings.append(reading)
        self._rows += reading.row["rows"]
        return True

    def commit(self) -> list[dict[str, Any]]:
        """Write the rows of the batch, then register its files; the registry's rows are returned."""
        if not self._readings:
            return []
        self._tables.append(NORMALIZED_IMPRESSIONS, list(self._merge(NORMALIZED_IMPRESSIONS, "accepted")))
        self._tables.append(REJECTED_ROWS, list(self._merge(REJECTED_ROWS, "rejected")))
        rows = [{**reading.row, "capture_id": self._capture_id} for reading in self._readings]
        retry_conflicts(lambda: self._register(rows))
        for reading in self._readings:
            for path in reading.staged.values():
                shutil.rmtree(path.parent, ignore_errors=True)
        self._start()
        return rows

    def _register(self, rows: list[dict[str, Any]]) -> None:
        registry = self._tables.open(EXPORT_FILES)
        # A file that this run could not read any more, another run may have read in time.
        lost = [row["file_id"] for row in rows if row["status"] == MISSING]
        found = set(scan(registry).filter(pl.col("file_id").is_in(lost)).select("file_id").collect()["file_id"])
        rows = [row for row in rows if row["file_id"] not in found]
        if rows:
            ids = [row["file_id"] for row in rows]
            frame = pl.DataFrame(rows, schema=polars_schema(EXPORT_FILES))
            replace_rows(registry, EXPORT_FILES, "file_id", ids, frame)

    def _merge(self, table: Table, kind: str) -> Iterator[StagedFile]:
        """One Parquet file per file date of the batch, so that many small exports do not make many files."""
        columns = [name for name in table.schema.names if name not in table.partition_by]
        for day in sorted({reading.file.file_date for reading in self._readings}):
            parts = [r for r in self._readings if r.file.file_date == day and r.row[kind]]
            if parts:
                target = self._scratch / f"{self._capture_id}.{kind}.{day}.parquet"
                pl.concat([self._labelled(part, kind) for part in parts]).select(columns).sink_parquet(target)
                yield StagedFile(target, {"file_date": str(day)}, sum(part.row[kind] for part in parts))

    def _labelled(self, reading: _Reading, kind: str) -> pl.LazyFrame:
        return pl.scan_parquet(reading.staged[kind]).with_columns(
            file_id=pl.lit(reading.file.file_id), capture_id=pl.lit(self._capture_id)
        )
