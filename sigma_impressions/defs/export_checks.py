"""The checks of the export assets: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.defs.metadata import table_of
from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, RAW_EXPORT_FILES, REJECTED_ROWS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.windows import LONGEST_WINDOW

RAW_KEY = dg.AssetKey(RAW_EXPORT_FILES.name)
NORMALIZED_KEY = dg.AssetKey(NORMALIZED_IMPRESSIONS.name)
FRESHNESS_CHECK = "source_is_fresh"
ROW_COUNTS = ("rows", "accepted", "rejected", "skipped")
_EXAMPLES = 10

RAW_SPECS = [
    dg.AssetCheckSpec(
        FRESHNESS_CHECK,
        asset=RAW_KEY,
        description=(
            "Warns when the newest export file is older than SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS (default: the days "
            "back), whatever days a run is over. If it is yellow: look whether Sigma's scheduled export still runs."
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
        description=(
            "Rows = accepted + rejected + skipped, for every file. Blocks what is downstream. If it is red: that is a "
            "fault of the program; please report it with the table."
        ),
    ),
    dg.AssetCheckSpec(
        "rows_are_good",
        asset=NORMALIZED_KEY,
        description=(
            "Yellow or red when more than the set shares of the rows of the run's days were rejected "
            "(SIGMA_IMPRESSIONS_REJECTED_WARN_PERCENT, …_ERROR_PERCENT): figures by reason and examples."
        ),
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


def newest_file_date(files: pl.DataFrame, newest_first: bool = True) -> date | None:
    """The newest (or oldest) file date, None if there are no files."""
    days: list[date] = files["file_date"].drop_nulls().sort(descending=newest_first).to_list()
    return days[0] if days else None


def freshness(newest: date | None, files: int, max_age_days: int, today: date) -> dg.AssetCheckResult:
    """Whether the newest export file of all days is younger than the largest age, today being one day."""
    fresh = newest is not None and newest > today - timedelta(days=max_age_days)
    return dg.AssetCheckResult(
        check_name=FRESHNESS_CHECK,
        passed=fresh,
        severity=dg.AssetCheckSeverity.WARN,
        description=None
        if fresh
        else f"The newest export file is of {newest or 'no day at all'}, today is {today} (UTC). Look whether Sigma's "
        "scheduled export still runs and writes under the prefix; if it runs less often, set "
        "SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS.",
        metadata={
            "newest_file_date": str(newest),
            "age_days": (today - newest).days if newest else -1,
            "max_age_days": max_age_days,
            "files": files,
        },
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
        description=f"{refused.height} of {files.height} files were refused, for example {refused['key'][0]}: "
        f"{refused['reason'][0]}. The check's table has more; mend the export in Sigma and export the days again."
        if refused.height
        else None,
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
        description=f"Rows of {wrong.height} of {files.height} files are lost or doubled, for example of "
        f"{wrong['key'][0]}. Nothing is published; please report this as a bug."
        if wrong.height
        else None,
        files=files.height,
        wrong=table_of(wrong.select(columns).to_dicts(), columns),
        **{name: int(files[name].sum()) for name in ROW_COUNTS},
    )


def rows_are_good(stored: Tables, files: pl.DataFrame, warn_percent: int, error_percent: int) -> dg.AssetCheckResult:
    """Whether the share of rejected rows of the run's days is at most the percentage to warn above."""
    # Without the text of the rows: it may hold e-mail addresses, and the tables have it.
    rejected = (
        stored.read(REJECTED_ROWS, "file_date", files["file_date"].unique().to_list())
        .join(files.lazy().select("file_id", "capture_id", "key"), on=["file_id", "capture_id"])
        .select("key", "row_number", "reason")
        .collect()
    )
    reasons = rejected.group_by("reason").agg(rows=pl.len()).sort("rows", "reason", descending=[True, False])
    columns = ["key", "row_number", "reason"]
    rows = int(files["rows"].sum())
    percent = 100 * rejected.height / rows if rows else 0.0
    return _result(
        "rows_are_good",
        percent <= warn_percent,
        dg.AssetCheckSeverity.ERROR if percent > error_percent else dg.AssetCheckSeverity.WARN,
        description=(
            f"{rejected.height:,} of {rows:,} rows ({percent:.2g} %) were rejected. The table rejected_rows has their "
            "text; mend the export in Sigma by the reasons below."
        )
        if percent > warn_percent
        else None,
        rejected_rows=rejected.height,
        rejected_percent=percent,
        warn_percent=warn_percent,
        error_percent=error_percent,
        reasons=table_of(reasons.to_dicts(), ["reason", "rows"]),
        examples=table_of(rejected.head(_EXAMPLES).to_dicts(), columns),
    )


def settings_are_uniform(files: pl.DataFrame, fingerprint: str) -> dg.AssetCheckResult:
    """Whether the files of the last 60 file dates were all read under the settings of now."""
    newest = newest_file_date(files)
    recent = files.filter(pl.col("file_date") > newest - timedelta(days=LONGEST_WINDOW)) if newest else files
    other = recent.filter((pl.col("status") == "read") & (pl.col("rules_fingerprint") != fingerprint))
    oldest = newest_file_date(other, newest_first=False)
    last = newest_file_date(other)
    remedy = (
        f"Run: sigma-impressions backfill --renormalize --from {oldest} --to {last}. Or in the Dagster UI: materialize "
        f"normalized_impressions and what is downstream of {oldest} to {last}, with renormalize: true in the launchpad."
    )
    return _result(
        "settings_are_uniform",
        other.is_empty(),
        dg.AssetCheckSeverity.ERROR,
        description=f"{other.height} files were read under other settings. {remedy}" if other.height else None,
        files=recent.height,
        files_of_other_settings=other.height,
    )
