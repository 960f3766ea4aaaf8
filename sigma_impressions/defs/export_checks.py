"""The checks of the export assets: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.defs.metadata import table_of
from sigma_impressions.tables import NORMALIZED_IMPRESSIONS, RAW_EXPORT_FILES, REJECTED_ROWS, Tables
from sigma_impressions.windows import LONGEST_WINDOW

RAW_KEY = dg.AssetKey(RAW_EXPORT_FILES.name)
NORMALIZED_KEY = dg.AssetKey(NORMALIZED_IMPRESSIONS.name)
ROW_COUNTS = ("rows", "accepted", "rejected", "skipped")
_EXAMPLES = 10

RAW_SPECS = [
    dg.AssetCheckSpec(
        "source_is_fresh",
        asset=RAW_KEY,
        description=(
            "Warns when no export file is newer than the days back. If it is yellow: look whether "
            "Sigma's scheduled export still runs."
        ),
    )
]

NORMALIZED_SPECS = [
    dg.AssetCheckSpec(
        "files_are_readable",
        asset=NORMALIZED_KEY,
        description=(
            "Red when an export file of the run's days was refused: its key and reason are listed. Mend the "
            "export in Sigma and export the day again; the other files are processed."
        ),
    ),
    dg.AssetCheckSpec(
        "rows_add_up",
        asset=NORMALIZED_KEY,
        blocking=True,
        description="Rows = accepted + rejected + skipped, for every file. Blocks what is downstream.",
    ),
    dg.AssetCheckSpec(
        "rows_are_good",
        asset=NORMALIZED_KEY,
        description="Warns when rows of the run's days were rejected: figures by reason and examples.",
    ),
    dg.AssetCheckSpec(
        "settings_are_uniform",
        asset=NORMALIZED_KEY,
        description=(
            "Red while stored files of the last 60 days were read under other settings than those of now. "
            "`sigma-impressions backfill --renormalize` reads them again."
        ),
    ),
]


def _newest(files: pl.DataFrame, newest_first: bool = True) -> date | None:
    """The newest (or oldest) file date, None if there are no files."""
    days: list[date] = files["file_date"].drop_nulls().sort(descending=newest_first).to_list()
    return days[0] if days else None


def freshness(manifest: pl.DataFrame, days_back: int, today: date) -> dg.AssetCheckResult:
    """Whether an export file is of the last days back, today included."""
    newest = _newest(manifest)
    fresh = newest is not None and newest > today - timedelta(days=days_back)
    return dg.AssetCheckResult(
        check_name="source_is_fresh",
        passed=fresh,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if fresh else f"The newest export file is of {newest or 'no day at all'}, today is {today}.",
        metadata={"newest_file_date": str(newest), "days_back": days_back, "files": manifest.height},
    )


def _result(name: str, passed: bool, severity: dg.AssetCheckSeverity, **details: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=passed,
        severity=severity,
        description=details.pop("description", None),
        metadata=details,
    )


def readable(files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no export file of the run's days was refused."""
    refused = files.filter(pl.col("status") == "refused")
    columns = ["file_date", "key", "version", "reason", "detail"]
    return _result(
        "files_are_readable",
        refused.is_empty(),
        dg.AssetCheckSeverity.ERROR,
        description=f"{refused.height} of {files.height} files were refused." if refused.height else None,
        refused_files=refused.height,
        refused=table_of(refused.select(columns).head(_EXAMPLES).to_dicts(), columns),
    )


def rows_add_up(files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether rows = accepted + rejected + skipped, for every file."""
    wrong = files.filter(pl.col("rows") != pl.col("accepted") + pl.col("rejected") + pl.col("skipped"))
    columns = ["key", "version", *ROW_COUNTS]
    return _result(
        "rows_add_up",
        wrong.is_empty(),
        dg.AssetCheckSeverity.ERROR,
        files=files.height,
        wrong=table_of(wrong.select(columns).to_dicts(), columns),
        **{name: int(files[name].sum()) for name in ROW_COUNTS},
    )


def rows_are_good(stored: Tables, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no row of the run's days was rejected."""
    # Without the text of the rows: it may hold e-mail addresses, and the tables have it.
    rejected = (
        stored.read(REJECTED_ROWS, "file_date", files["file_date"].unique().to_list())
        .join(files.lazy().select("file_id", "capture_id", "key"), on=["file_id", "capture_id"])
        .select("key", "row_number", "reason")
        .collect()
    )
    reasons = Counter(rejected["reason"].to_list())
    columns = ["key", "row_number", "reason"]
    return _result(
        "rows_are_good",
        rejected.is_empty(),
        dg.AssetCheckSeverity.WARN,
        description=f"{rejected.height} rows were rejected; the table rejected_rows has their text."
        if rejected.height
        else None,
        rejected_rows=rejected.height,
        reasons=table_of([{"reason": r, "rows": n} for r, n in reasons.most_common()], ["reason", "rows"]),
        examples=table_of(rejected.head(_EXAMPLES).to_dicts(), columns),
    )


def settings_are_uniform(files: pl.DataFrame, fingerprint: str) -> dg.AssetCheckResult:
    """Whether the files of the last 60 file dates were all read under the settings of now."""
    newest = _newest(files)
    recent = files.filter(pl.col("file_date") > newest - timedelta(days=LONGEST_WINDOW)) if newest else files
    other = recent.filter((pl.col("status") == "read") & (pl.col("rules_fingerprint") != fingerprint))
    oldest = _newest(other, newest_first=False)
    command = f"sigma-impressions backfill --renormalize --from {oldest} --to {_newest(other)}"
    return _result(
        "settings_are_uniform",
        other.is_empty(),
        dg.AssetCheckSeverity.ERROR,
        description=f"{other.height} files were read under other settings. Run: {command}" if other.height else None,
        files=recent.height,
        files_of_other_settings=other.height,
    )
