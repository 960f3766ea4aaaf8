"""From listed export files to captured ones: the manifest, the normalized rows, and last the registry."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sigma_impressions.exports.file_dates import file_date
from sigma_impressions.exports.listing import ExportFile, Listing
from sigma_impressions.exports.normalize import NormalizedFile, ReadingRules, normalize_file
from sigma_impressions.exports.objects import ObjectChanged, ObjectGone, ObjectStore, StoredObject
from sigma_impressions.exports.refused import RefusedFile
from sigma_impressions.scratch import scratch_folder
from sigma_impressions.tables import (
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    REJECTED_ROWS,
    WORK_FOLDER,
    StagedFile,
    Table,
    Tables,
    append_rows,
    retry_conflicts,
    scan,
)
from sigma_impressions.tables import (
    replace as replace_rows,
)

Report = Callable[[str], None]
"""Where progress goes: one line a call."""

MISSING = "missing"
"""Status of a file that was listed, and deleted or overwritten before it could be read."""

_VERSIONS_TRIED = 5
"""How often a file may be overwritten while it is read, before it is left to the next run."""

_BATCH_FILES = 500
_BATCH_ROWS = 2_000_000
"""A batch of files is committed at once: small files cost little each, and a crash loses little work."""


@dataclass(frozen=True)
class Recorded:
    """What a listing added to the manifest.

    `overwritten` are new files whose key the manifest knows at another version.
    """

    new: list[ExportFile]
    known: int
    overwritten: list[ExportFile]


def record_listing(tables: Tables, listing: Listing, now: datetime) -> Recorded:
    """Add the listed export files that the manifest does not know yet.

    The first capture of a (key, version) fixes its file date and last-modified time: known files keep theirs.
    """
    manifest = tables.open(RAW_EXPORT_FILES)
    known = scan(manifest).select("file_id", "key").collect()
    known_ids, known_keys = set(known["file_id"]), set(known["key"])
    new = [file for file in listing.files if file.file_id not in known_ids]
    if new:
        append_rows(manifest, RAW_EXPORT_FILES, _manifest_rows(new, now))
    _unregister(tables, {file.file_id for file in listing.files}, pl.col("status") == MISSING)
    return Recorded(
        new=new,
        known=len(listing.files) - len(new),
        overwritten=[file for file in new if file.object.key in known_keys],
    )


def forget_missing(tables: Tables, listing: Listing, days: Collection[date]) -> list[str]:
    """Drop the captured files of `days` that the listing does not show any more; their keys are returned.

    Nothing else ever drops a captured file: exports expire and are overwritten, and stay counted.
    """
    # A changed file_date_pattern moves a file to another day; as long as it is listed it is not missing.
    listed = {file.file_id for file in listing.files} | listing.other_days
    manifest = tables.open(RAW_EXPORT_FILES)
    lost = scan(manifest).filter(pl.col("file_date").is_in(list(days)) & ~pl.col("file_id").is_in(list(listed)))
    lost_files = lost.select("file_id", "key").collect()
    ids = set(lost_files["file_id"])
    if ids:
        replace_rows(manifest, RAW_EXPORT_FILES, "file_id", ids, RAW_EXPORT_FILES.schema.empty_table())
        _unregister(tables, ids, pl.lit(True))
    return sorted(set(lost_files["key"]))


def _unregister(tables: Tables, file_ids: Collection[str], condition: pl.Expr) -> None:
    """Take files out of the registry, so that they are read again if the manifest still holds them."""

    def attempt() -> None:
        registry = tables.open(EXPORT_FILES)
        found = scan(registry).filter(pl.col("file_id").is_in(list(file_ids)) & condition).select("file_id")
        ids = list(found.collect()["file_id"])
        if ids:
            replace_rows(registry, EXPORT_FILES, "file_id", ids, EXPORT_FILES.schema.empty_table())

    retry_conflicts(attempt)


def _manifest_rows(files: Sequence[ExportFile], now: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "file_date": file.file_date,
                "file_id": file.file_id,
                "bucket": file.object.bucket,
                "key": file.object.key,
                "version": file.object.version,
                "size": file.object.size,
                "last_modified": file.object.last_modified,
                "first_seen_at": now,
            }
            for file in files
        ]
    )


def read_manifest(tables: Tables) -> pl.LazyFrame:
    """The manifest, one row per export file; of two that were added at the same time the first counts."""
    return tables.read(RAW_EXPORT_FILES).sort("first_seen_at").unique("file_id", keep="first", maintain_order=True)


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
        batch = _Batch(tables, scratch, rules)
        for position, item in enumerate(pending, 1):
            for row in _read(batch, store, item, pattern, report):
                report(f"[{position}/{len(pending)}] {_sentence(row)}")
            if batch.is_full():
                captured += batch.commit()
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
    return [_Pending(_export_file(row), row["status"] is not None) for row in rows.iter_rows(named=True)]


def _export_file(row: dict[str, Any]) -> ExportFile:
    names = ("bucket", "key", "version", "size", "last_modified")
    return ExportFile(StoredObject(**{name: row[name] for name in names}), row["file_date"])


def _read(
    batch: _Batch,
    store: ObjectStore,
    pending: _Pending,
    pattern: re.Pattern[str] | None,
    report: Report,
) -> list[dict[str, Any]]:
    """Normalize one file at the version that was listed; if that is gone, the version that replaced it."""
    file, lost = pending.file, ""
    for _ in range(_VERSIONS_TRIED):
        try:
            found = [batch.add(store, file)]
            break
        except ObjectGone:
            lost = f"{file.object.key}: deleted since it was listed"
            found = []
            break
        except ObjectChanged:
            lost = f"{file.object.key}: overwritten since it was listed; the new version is read"
            try:
                current = store.stat(file.object.key)
            except ObjectGone:
                # Deleted after all: the next try says so.
                continue
            file = ExportFile(current, file_date(current, pattern)[0])
            manifest = batch.tables.open(RAW_EXPORT_FILES)
            append_rows(manifest, RAW_EXPORT_FILES, _manifest_rows([file], datetime.now(UTC)))
    else:
        # Its newest version stands in the manifest and is read by the next run.
        report(f"{pending.file.object.key}: overwritten again and again while it was read; left to the next run")
        return []
    if lost:
        report(f"{lost}; what was captured of it before is kept" if pending.again else lost)
        if not pending.again:
            found.append(batch.add_missing(pending.file, lost))
    return found


def _sentence(row: dict[str, Any]) -> str:
    if row["status"] != "read":
        return f"{row['key']}: {row['status']}: {row['reason']}"
    return (
        f"{row['key']}: {row['rows']:,} rows, {row['accepted']:,} accepted, {row['rejected']:,} rejected, "
        f"{row['skipped']:,} skipped"
    )


_NO_ROWS = NormalizedFile(0, 0, 0, 0, {}, (), (), ())


class _Batch:
    """Normalized files that wait to be committed together."""

    def __init__(self, tables: Tables, scratch: Path, rules: ReadingRules) -> None:
        self.tables = tables
        self._scratch = scratch
        self._rules = rules
        self._start()

    def _start(self) -> None:
        self._capture_id = uuid.uuid4().hex
        self._files: list[tuple[ExportFile, dict[str, Any]]] = []
        self._rows = 0

    def is_full(self) -> bool:
        return len(self._files) >= _BATCH_FILES or self._rows >= _BATCH_ROWS

    def add(self, store: ObjectStore, file: ExportFile) -> dict[str, Any]:
        """Read one file; its row of the registry is returned, and committed with the batch."""
        downloaded = self._scratch / "download"
        store.download(file.object, downloaded)
        try:
            normalized = normalize_file(
                downloaded,
                last_modified=file.object.last_modified,
                rules=self._rules,
                accepted_to=self._staged(file, "accepted"),
                rejected_to=self._staged(file, "rejected"),
                scratch=self._scratch,
            )
        except RefusedFile as refusal:
            return self._add(file, _NO_ROWS, status="refused", reason=refusal.reason, detail=refusal.detail)
        finally:
            downloaded.unlink()
        return self._add(file, normalized, status="read", reason=None, detail=None)

    def add_missing(self, file: ExportFile, detail: str) -> dict[str, Any]:
        """Note that a listed file could not be read any more."""
        return self._add(file, _NO_ROWS, status=MISSING, reason="changed before it was read", detail=detail)

    def _staged(self, file: ExportFile, kind: str) -> Path:
        return self._scratch / f"{file.file_id}.{kind}.parquet"

    def _add(
        self,
        file: ExportFile,
        normalized: NormalizedFile,
        status: str,
        reason: str | None,
        detail: str | None,
    ) -> dict[str, Any]:
        row: dict[str, Any] = {
            "file_id": file.file_id,
            "capture_id": self._capture_id,
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
            "rules_fingerprint": self._rules.fingerprint(),
            "captured_at": datetime.now(UTC),
        }
        self._files.append((file, row))
        self._rows += normalized.rows
        return row

    def commit(self) -> list[dict[str, Any]]:
        """Write the rows of the batch, then register its files; the registry's rows are returned."""
        if not self._files:
            return []
        self.tables.append(NORMALIZED_IMPRESSIONS, list(self._merge(NORMALIZED_IMPRESSIONS, "accepted")))
        self.tables.append(REJECTED_ROWS, list(self._merge(REJECTED_ROWS, "rejected")))
        rows = [row for _, row in self._files]
        retry_conflicts(lambda: self._register(rows))
        self._start()
        return rows

    def _register(self, rows: list[dict[str, Any]]) -> None:
        registry = self.tables.open(EXPORT_FILES)
        frame = pl.from_arrow(EXPORT_FILES.schema.empty_table())
        assert isinstance(frame, pl.DataFrame)
        replace_rows(
            registry,
            EXPORT_FILES,
            "file_id",
            [row["file_id"] for row in rows],
            pl.DataFrame(rows, schema=frame.schema),
        )

    def _merge(self, table: Table, kind: str) -> Iterator[StagedFile]:
        """One Parquet file per file date of the batch, so that many small exports do not make many files."""
        counts = Counter(dict.fromkeys({file.file_date for file, _ in self._files}, 0))
        for file, row in self._files:
            counts[file.file_date] += row[kind]
        for day, rows in sorted(counts.items()):
            parts = [file for file, row in self._files if file.file_date == day and row[kind]]
            if not parts:
                continue
            target = self._scratch / f"{self._capture_id}.{kind}.{day}.parquet"
            pl.concat([self._labelled(file, kind) for file in parts]).select(
                name for name in table.schema.names if name not in table.partition_by
            ).sink_parquet(target)
            for file in parts:
                self._staged(file, kind).unlink()
            yield StagedFile(target, {"file_date": str(day)}, rows)

    def _labelled(self, file: ExportFile, kind: str) -> pl.LazyFrame:
        return pl.scan_parquet(self._staged(file, kind)).with_columns(
            file_id=pl.lit(file.file_id), capture_id=pl.lit(self._capture_id)
        )
