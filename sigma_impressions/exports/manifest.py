"""The manifest: which export files a listing has ever shown, kept for good."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.exports.listing import ExportFile, Listing
from sigma_impressions.exports.source import Source, claimed_manifest
from sigma_impressions.lake.commits import append_rows, replace_rows
from sigma_impressions.lake.inventory import naming_damage
from sigma_impressions.lake.schemas import EXPORT_FILES, RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables, retry_conflicts, scan, source_of
from sigma_impressions.windows import LONGEST_WINDOW

MISSING = "missing"
"""Status of a file that was listed, and deleted or overwritten before it could be read."""

UNREADABLE = "unreadable"
"""Status of a file that the store lists and does not let read; runs over its file date try again."""

REFUSED = "refused"
"""Status of a file that cannot be read as an export; runs over its file date read it again under other rules."""

NOT_CAPTURED = (MISSING, UNREADABLE)
"""The statuses of files that are registered and not captured."""

IS_CAPTURED = ~pl.col("status").is_in(NOT_CAPTURED)
"""Whether a file is captured: read, or refused with a reason."""

REMEDIES = {
    REFUSED: "Mend the export in Sigma and export the days again; after a change of settings, scan the days again.",
    UNREADABLE: "Make them readable, and scan their days again.",
}
"""What to do about files of a status."""

IS_RECENT = pl.col("file_date") > pl.col("file_date").max() - timedelta(days=LONGEST_WINDOW)
"""Whether a file is of the last 60 file dates, up to the newest one that there is."""

_OF_THE_OBJECT = ("bucket", "key", "version", "size", "last_modified")
"""The columns of the manifest that say which object an export file is."""


@dataclass(frozen=True)
class Recorded:
    """What a listing added to the manifest.

    `overwritten` are new files whose key the manifest knows at another version.
    """

    new: list[ExportFile]
    known: int
    overwritten: list[ExportFile]


def record_listing(tables: Tables, listing: Listing, now: datetime, source: Source | None = None) -> Recorded:
    """Add the listed export files that the manifest does not know yet.

    The first capture of a (key, version) fixes its file date and last-modified time: known files keep theirs. With
    `source`, whose exports were listed, it raises `OtherSource` if by now the tables hold those of another one.
    """
    # Another process may have created the table, or claimed it for its source, in the same moment.
    with naming_damage(tables):
        return retry_conflicts(lambda: _record(tables, listing, now, source))


def _record(tables: Tables, listing: Listing, now: datetime, source: Source | None) -> Recorded:
    manifest = tables.open(RAW_EXPORT_FILES) if source is None else claimed_manifest(tables, source)
    known = scan(manifest).select("file_id", "key").collect()
    known_ids, known_keys = set(known["file_id"]), set(known["key"])
    new = [file for file in listing.files if file.file_id not in known_ids]
    if new:
        append_rows(manifest, _manifest_rows(new, now), lambda: source is None or source_of(manifest) == source.uri)
    _unregister(tables, {file.file_id for file in listing.files}, pl.col("status").is_in(NOT_CAPTURED))
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
    return retry_conflicts(lambda: _forget(tables, listed, days))


def _forget(tables: Tables, listed: Collection[str], days: Collection[date]) -> list[str]:
    manifest = tables.open(RAW_EXPORT_FILES)
    lost = scan(manifest).filter(pl.col("file_date").is_in(list(days)) & ~pl.col("file_id").is_in(list(listed)))
    lost_files = lost.select("file_id", "key").collect()
    ids = set(lost_files["file_id"])
    if ids:
        replace_rows(manifest, "file_id", ids, RAW_EXPORT_FILES.no_rows())
        _unregister(tables, ids, pl.lit(True))
    return sorted(set(lost_files["key"]))


def uncaptured_files(tables: Tables, file_ids: Sequence[str]) -> frozenset[str]:
    """Those of the file IDs that are not captured: neither read, nor refused with a reason."""
    registry = tables.read(EXPORT_FILES).filter(~pl.col("status").is_in(NOT_CAPTURED)).select("file_id").collect()
    # A set needs less memory than a join, and of the registry only some IDs at a time become Python strings.
    missing = set(file_ids)
    missing.difference_update(registry["file_id"])
    return frozenset(missing)


def _unregister(tables: Tables, file_ids: Collection[str], condition: pl.Expr) -> None:
    """Take files out of the registry, so that they are read again if the manifest still holds them."""

    def attempt() -> None:
        registry = tables.open(EXPORT_FILES)
        found = scan(registry).filter(pl.col("file_id").is_in(list(file_ids)) & condition).select("file_id")
        ids = list(found.collect()["file_id"])
        if ids:
            replace_rows(registry, "file_id", ids, EXPORT_FILES.no_rows())

    retry_conflicts(attempt)


def _manifest_rows(files: Sequence[ExportFile], now: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "file_date": file.file_date,
                "file_id": file.file_id,
                **{name: getattr(file.object, name) for name in _OF_THE_OBJECT},
                "first_seen_at": now,
            }
            for file in files
        ]
    )


def record_file(tables: Tables, file: ExportFile) -> ExportFile:
    """Add one file to the manifest; the file as the manifest has it, if it was known already."""
    known = read_manifest(tables).filter(pl.col("file_id") == file.file_id).collect()
    if known.height:
        return export_file(known.row(0, named=True))
    append_rows(tables.open(RAW_EXPORT_FILES), _manifest_rows([file], datetime.now(UTC)))
    return file


def read_manifest(tables: Tables) -> pl.LazyFrame:
    """The manifest, one row per export file; of two that were added at the same time the first counts."""
    return tables.read(RAW_EXPORT_FILES).sort("first_seen_at").unique("file_id", keep="first", maintain_order=True)


def export_file(row: dict[str, Any]) -> ExportFile:
    """The export file of a row of the manifest."""
    return ExportFile(StoredObject(**{name: row[name] for name in _OF_THE_OBJECT}), row["file_date"])
