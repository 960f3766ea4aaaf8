"""How much is captured, for whoever only looks: nothing is made or upgraded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from sigma_impressions.exports.manifest import IS_CAPTURED, MISSING, REFUSED, UNREADABLE
from sigma_impressions.lake.schemas import EXPORT_FILES, RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables, scan


@dataclass(frozen=True)
class Captured:
    """The export files that are captured: read, or refused with a reason.

    Of the `unreadable` and `missing` ones the next run over their days tries again. `not_captured` are others that a
    listing has shown. `newest_exported_at` is when the newest listed file was written.
    """

    files: int
    refused: int
    unreadable: int
    missing: int
    not_captured: int
    newest_file_date: date | None
    newest_captured_at: datetime | None
    newest_exported_at: datetime | None


def registered_files(tables: Tables) -> pl.DataFrame:
    """The registry of the export files; no rows where there is none yet."""
    registry = tables.as_it_is(EXPORT_FILES)
    return scan(registry).collect() if registry else EXPORT_FILES.no_rows()


def read_captured(tables: Tables) -> Captured:
    """What is captured."""
    manifest, files = tables.as_it_is(RAW_EXPORT_FILES), registered_files(tables)
    listed = scan(manifest).select("file_id", "last_modified").collect() if manifest else RAW_EXPORT_FILES.no_rows()
    statuses = Counter(files["status"])
    captured = files.filter(IS_CAPTURED)
    newest = captured.sort("file_date", "captured_at").tail(1)
    return Captured(
        files=captured.height,
        refused=statuses[REFUSED],
        unreadable=statuses[UNREADABLE],
        missing=statuses[MISSING],
        not_captured=len(set(listed["file_id"]) - set(files["file_id"])),
        newest_file_date=newest["file_date"].item() if newest.height else None,
        newest_captured_at=newest["captured_at"].item() if newest.height else None,
        newest_exported_at=listed["last_modified"].max(),  # type: ignore[arg-type]  # a column of times
    )
