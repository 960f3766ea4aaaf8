"""The checks of the export assets: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.defs.checks import ERROR, WARN, Check
from sigma_impressions.defs.metadata import EXAMPLES, table_of
from sigma_impressions.lake.schemas import REJECTED_ROWS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.conservation import ROW_COUNTS, lost_rows
from sigma_impressions.windows import LONGEST_WINDOW

FRESH = Check(
    "source_is_fresh",
    "Warns when the newest export file is older than SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS (default: the days "
    "back), whatever days a run is over. If it is yellow: look whether Sigma's scheduled export still runs.",
)
READABLE = Check(
    "files_are_readable",
    "Red when an export file of the run's days was refused: its key and reason are listed. Mend the "
    "export in Sigma and export the day again; the other files are processed.",
    ERROR,
)
ADD_UP = Check(
    "rows_add_up",
    "Rows = accepted + rejected + skipped, for every file. Blocks what is downstream. If it is red: that is a "
    "fault of the program; please report it with the table.",
    ERROR,
    blocking=True,
)
GOOD_ROWS = Check(
    "rows_are_good",
    "Yellow or red when more than the set shares of the rows of the run's days were rejected "
    "(SIGMA_IMPRESSIONS_REJECTED_WARN_PERCENT, …_ERROR_PERCENT): figures by reason and examples.",
)
UNIFORM = Check(
    "settings_are_uniform",
    "Red while stored files of the last 60 days were read under other settings than those of now. "
    "`sigma-impressions backfill --renormalize` reads them again.",
    ERROR,
)

RAW_CHECKS = (FRESH,)
NORMALIZED_CHECKS = (READABLE, ADD_UP, GOOD_ROWS, UNIFORM)


def freshness(key: dg.AssetKey, newest: date | None, files: int, max_age_days: int, today: date) -> dg.AssetCheckResult:
    """Whether the newest export file of all days is younger than the largest age, today being one day."""
    is_fresh = newest is not None and newest > today - timedelta(days=max_age_days)
    return FRESH.result(
        key,
        None
        if is_fresh
        else f"The newest export file is of {newest or 'no day at all'}, today is {today} (UTC). Look whether Sigma's "
        "scheduled export still runs and writes under the prefix; if it runs less often, set "
        "SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS.",
        newest_file_date=str(newest),
        age_days=(today - newest).days if newest else -1,
        max_age_days=max_age_days,
        files=files,
    )


def readable(key: dg.AssetKey, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no export file of the run's days was refused."""
    refused = files.filter(pl.col("status") == "refused")
    return READABLE.result(
        key,
        f"{refused.height} of {files.height} files were refused, for example {refused['key'][0]}: "
        f"{refused['reason'][0]}. The check's table has more; mend the export in Sigma and export the days again."
        if refused.height
        else None,
        refused_files=refused.height,
        refused=table_of(refused.select("file_date", "key", "version", "reason", "detail").head(EXAMPLES)),
    )


def rows_add_up(key: dg.AssetKey, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether rows = accepted + rejected + skipped, for every file."""
    wrong = lost_rows(files)
    counts: dict[str, Any] = {name: int(files[name].sum()) for name in ROW_COUNTS}
    return ADD_UP.result(
        key,
        f"Rows of {wrong.height} of {files.height} files are lost or doubled, for example of "
        f"{wrong['key'][0]}. Nothing is published; please report this as a bug."
        if wrong.height
        else None,
        files=files.height,
        wrong=table_of(wrong.select("key", "version", *ROW_COUNTS)),
        **counts,
    )


def rows_are_good(
    key: dg.AssetKey, stored: Tables, files: pl.DataFrame, warn_percent: int, error_percent: int
) -> dg.AssetCheckResult:
    """Whether the share of rejected rows of the run's days is at most the percentage to warn above."""
    # Without the text of the rows: it may hold e-mail addresses, and the tables have it.
    rejected = (
        stored.read(REJECTED_ROWS, "file_date", files["file_date"].unique().to_list())
        .join(files.lazy().select("file_id", "capture_id", "key"), on=["file_id", "capture_id"])
        .select("key", "row_number", "reason")
        .collect()
    )
    reasons = rejected.group_by("reason").agg(rows=pl.len()).sort("rows", "reason", descending=[True, False])
    rows = int(files["rows"].sum())
    percent = 100 * rejected.height / rows if rows else 0.0
    return GOOD_ROWS.result(
        key,
        f"{rejected.height:,} of {rows:,} rows ({percent:.2g} %) were rejected. The table rejected_rows has their "
        "text; mend the export in Sigma by the reasons below."
        if percent > warn_percent
        else None,
        severity=ERROR if percent > error_percent else WARN,
        rejected_rows=rejected.height,
        rejected_percent=percent,
        warn_percent=warn_percent,
        error_percent=error_percent,
        reasons=table_of(reasons),
        examples=table_of(rejected.head(EXAMPLES)),
    )


def settings_are_uniform(key: dg.AssetKey, files: pl.DataFrame, fingerprint: str) -> dg.AssetCheckResult:
    """Whether the files of the last 60 file dates were all read under the settings of now."""
    recent = files.filter(pl.col("file_date") > pl.col("file_date").max() - timedelta(days=LONGEST_WINDOW))
    other = recent.filter((pl.col("status") == "read") & (pl.col("rules_fingerprint") != fingerprint))
    days = sorted(other["file_date"].to_list()) or [None]
    remedy = (
        f"Run: sigma-impressions backfill --renormalize --from {days[0]} --to {days[-1]}. Or in the Dagster UI: "
        f"materialize normalized_impressions and what is downstream of {days[0]} to {days[-1]}, with renormalize: true "
        "in the launchpad."
    )
    return UNIFORM.result(
        key,
        f"{other.height} files were read under other settings. {remedy}" if other.height else None,
        files=recent.height,
        files_of_other_settings=other.height,
    )
