"""The checks of the export assets: what must hold, the figures, and what to do if it does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.defs.checks import ERROR, WARN, Check, largest
from sigma_impressions.defs.metadata import EXAMPLES, table_of
from sigma_impressions.errors import DamagedError
from sigma_impressions.exports.manifest import IS_RECENT, REFUSED, REMEDIES, UNREADABLE
from sigma_impressions.exports.reading.headers import is_of_header, likely_columns
from sigma_impressions.lake.inventory import Damage
from sigma_impressions.lake.schemas import REJECTED_ROWS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.conservation import ROW_COUNTS, lost_rows
from sigma_impressions.texts import percent, value
from sigma_impressions.users import shape_of, without_addresses

FRESH = Check(
    "source_is_fresh",
    "Warns when the newest export file is older than SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS (default: the days "
    "back), whatever days a run is over. If it is yellow: look whether Sigma's scheduled export still runs.",
)
READABLE = Check(
    "files_are_readable",
    "Red when an export file of the last 60 file dates was refused, or the store does not let it be read: its key and "
    "reason are listed. Mend the export in Sigma and export the day again, or restore the object; the other files are "
    "processed.",
    ERROR,
)
ALL_READ = Check(
    "objects_were_read",
    "Red when the store did not let an export file of the run's days be read: archived, denied, or broken off again "
    "and again. The others are counted; the next run over these days tries again.",
    ERROR,
    of_days=True,
)
ACCEPTED = Check(
    "rows_were_accepted",
    "Red when every row of an export file of the run's days was skipped or rejected: with the reason and an example. "
    "Look at the file's columns and values, and at the settings that skip rows.",
    ERROR,
    of_days=True,
)
CLEAR_HEADERS = Check(
    "headers_are_clear",
    "Warns when files of the run's days have columns that are ignored and look like ones that are read. If it is "
    "yellow: drop them from the export, or name them in SIGMA_IMPRESSIONS_HEADER_ALIASES.",
    of_days=True,
)
EVENT_TYPES = Check(
    "event_types_are_chosen",
    "Warns when views are counted for events of several types and SIGMA_IMPRESSIONS_EVENT_TYPES is not set. If it is "
    "yellow: set it to those that are views.",
    of_days=True,
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
    bound="SIGMA_IMPRESSIONS_REJECTED_WARN_PERCENT, and for red SIGMA_IMPRESSIONS_REJECTED_ERROR_PERCENT",
    of_days=True,
)
UNIFORM = Check(
    "settings_are_uniform",
    "Red while stored files of the last 60 days that can be read again were read under other settings than those of "
    "now, or by an earlier version: `sigma-impressions backfill --renormalize` does it. Yellow where none can.",
    ERROR,
)

INTACT = Check(
    "storage_is_intact",
    "Captured rows, snapshots of the resources, and days whose single views were dropped are in the storage as they "
    "were written. Nothing is published if they are not. If it is red: restore what the table names from a backup; or "
    "read the exports of these days again, `sigma-impressions backfill --renormalize`; or give up what is lost, "
    "`sigma-impressions maintain --drop-damaged`.",
    ERROR,
    blocking=True,
)

RAW_CHECKS = (FRESH,)
NORMALIZED_CHECKS = (INTACT, READABLE, ALL_READ, ADD_UP, GOOD_ROWS, ACCEPTED, CLEAR_HEADERS, EVENT_TYPES, UNIFORM)


def storage_is_intact(key: dg.AssetKey, damages: Sequence[Damage]) -> dg.AssetCheckResult:
    """Whether nothing that cannot be made again is missing or broken."""
    return INTACT.result(
        key,
        None if not damages else str(DamagedError(*map(str, damages))),
        damaged_places=len(damages),
        damages=table_of([{"damage": str(damage)} for damage in damages[:EXAMPLES]], ["damage"]),
    )


def freshness(
    key: dg.AssetKey, newest: date | None, files: int, max_age_days: int, today: date, *, instead: str = ""
) -> dg.AssetCheckResult:
    """Whether the newest export file of all days is younger than the largest age, today being one day.

    `instead` says what there is where no file was found under the prefix.
    """
    if newest is None:
        said: str | None = " ".join(
            filter(
                None,
                ["There is no export file yet.", instead, "Is the prefix right, and has Sigma's scheduled export run?"],
            )
        )
    elif newest > today - timedelta(days=max_age_days):
        said = None
    else:
        said = (
            f"The newest export file is of {newest}, today is {today} (UTC). Look whether Sigma's scheduled export "
            "still runs and writes under the prefix; if it runs less often, set SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS."
        )
    return FRESH.result(
        key,
        said,
        newest_file_date=str(newest),
        age_days=(today - newest).days if newest else -1,
        max_age_days=max_age_days,
        files=files,
    )


def readable(key: dg.AssetKey, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no export file of the last 60 file dates was refused, and all could be read."""
    files = files.filter(IS_RECENT)
    refused, unreadable = (files.filter(pl.col("status") == status) for status in (REFUSED, UNREADABLE))
    said = [
        f"{bad.height} of {files.height} files {what}, for example {bad['key'][0]}: {bad['reason'][0]}. "
        f"{bad['detail'][0].removesuffix('.') + '. ' if bad['detail'][0] else ''}{REMEDIES[status]}"
        for bad, what, status in ((refused, "were refused", REFUSED), (unreadable, "could not be read", UNREADABLE))
        if bad.height
    ]
    shown = pl.concat([refused, unreadable]).sort("file_date", descending=True).head(EXAMPLES)
    return READABLE.result(
        key,
        " ".join(said) or None,
        refused_files=refused.height,
        unreadable_files=unreadable.height,
        refused=table_of(shown.select("file_date", "key", "version", "status", "reason", "detail")),
    )


def objects_were_read(key: dg.AssetKey, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether the store let all files of the run's days be read."""
    unreadable = files.filter(pl.col("status") == UNREADABLE).sort("key")
    shown = unreadable.select("key", "reason").head(5)
    named = ", ".join(f"{value(name)} ({reason})" for name, reason in shown.iter_rows())
    return ALL_READ.result(
        key,
        f"{unreadable.height} of {files.height} files could not be read: {named}. {unreadable['detail'][0]}. The next "
        "run over their days tries again."
        if unreadable.height
        else None,
        unreadable_files=unreadable.height,
        unreadable=table_of(unreadable.select("file_date", "key", "reason", "detail").head(EXAMPLES)),
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
    rejected_percent = 100 * rejected.height / rows if rows else 0.0
    return GOOD_ROWS.result(
        key,
        f"{rejected.height:,} of {rows:,} rows ({percent(rejected.height, rows)}) were rejected: "
        f"{largest(reasons.rows())}. Mend the export in Sigma; the table rejected_rows has the text of each row."
        if rejected_percent > warn_percent
        else None,
        severity=ERROR if rejected_percent > error_percent else WARN,
        rejected_rows=rejected.height,
        rejected_percent=rejected_percent,
        warn_percent=warn_percent,
        error_percent=error_percent,
        reasons=table_of(reasons),
        examples=table_of(rejected.head(EXAMPLES)),
    )


def rows_were_accepted(key: dg.AssetKey, stored: Tables, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether every export file of the run's days that has rows has an accepted one."""
    without = files.filter((pl.col("status") == "read") & (pl.col("rows") > 0) & (pl.col("accepted") == 0)).sort("key")
    shown = without.head(EXAMPLES)
    reasons = _first_reasons(stored, shown)
    examples = [_why_nothing(file, reasons.get(file["file_id"])) for file in shown.iter_rows(named=True)]
    return ACCEPTED.result(
        key,
        f"No row of {without.height} of {files.height} files was accepted, for example of {examples[0]['key']}: "
        f"{examples[0]['why']}. Look at the file's columns and values, and at the settings that skip rows."
        if examples
        else None,
        files_without_accepted_rows=without.height,
        files=table_of(examples, ["key", "rows", "why"]),
    )


def _first_reasons(stored: Tables, files: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """By file ID, why most of its rejected rows are rejected, with the shape of one: a record is kept for good."""
    reasons = (
        stored.read(REJECTED_ROWS, "file_date", files["file_date"].unique().to_list())
        .join(files.lazy().select("file_id", "capture_id"), on=["file_id", "capture_id"], maintain_order="left")
        .group_by("file_id", "reason")
        .agg(rows=pl.len(), example=shape_of(pl.col("text").first()).str.head(200))
        .sort("rows", "reason", descending=[True, False])
        .unique("file_id", keep="first", maintain_order=True)
        .collect()
    )
    return {row["file_id"]: row for row in reasons.iter_rows(named=True)}


def _why_nothing(file: Mapping[str, Any], rejected: Mapping[str, Any] | None) -> dict[str, Any]:
    """Why no row of a file was accepted: what most of them were, with an example."""
    if rejected is not None and rejected["rows"] >= file["skipped"]:
        shape = f"{rejected['example']!r} (x is a letter, 0 a digit)"
        why = f"{rejected['rows']:,} rows are {rejected['reason']}, such as {shape}"
    else:
        why = f"{file['skipped']:,} rows are skipped (of the first one, {file['detail']})"
    return {"key": file["key"], "rows": file["rows"], "why": why}


def headers_are_clear(key: dg.AssetKey, files: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether no column of the run's files is ignored that could be meant for one that is read."""
    found = []
    for file in files.filter(pl.col("status") == "read").sort("key").iter_rows(named=True):
        found += [{"key": file["key"], "what": warning} for warning in file["warnings"] or () if is_of_header(warning)]
        if likely := likely_columns(file["unused_columns"] or ()):
            found.append({"key": file["key"], "what": f"not used: {likely}"})
    return CLEAR_HEADERS.result(
        key,
        f"The headers of {len({row['key'] for row in found})} of {files.height} files leave a choice, for example of "
        f"{found[0]['key']}: {found[0]['what']}."
        if found
        else None,
        headers=table_of(found[:EXAMPLES], ["key", "what"]),
    )


def event_types_are_chosen(key: dg.AssetKey, files: pl.DataFrame, chosen: Collection[str]) -> dg.AssetCheckResult:
    """Whether the views of the run's files are of one event type, or of those that are set."""
    types = (
        files.select(pl.col("event_types").explode().drop_nulls())
        .unnest("event_types")
        .with_columns(without_addresses(pl.col("event_type")))
        .group_by("event_type")
        .agg(pl.col("rows", "accepted").sum())
        .sort("accepted", "rows", "event_type", descending=[True, True, False])
    )
    views = types.filter(pl.col("accepted") > 0)
    named = ", ".join(
        f"{value(name) or '(none)'} ({rows:,})" for name, rows in views.select("event_type", "accepted").iter_rows()
    )
    line = f"SIGMA_IMPRESSIONS_EVENT_TYPES={','.join(filter(None, views['event_type']))}"
    return EVENT_TYPES.result(
        key,
        f"Events of {views.height} types are counted as views: {named}. If not all of them are, write into .env those "
        f"that are: {line}; then run sigma-impressions backfill --renormalize over the days."
        if views.height > 1 and not chosen
        else None,
        event_types=table_of(types.head(100)),
    )


def settings_are_uniform(
    key: dg.AssetKey, files: pl.DataFrame, fingerprint: str, listed: Callable[[], Collection[str]]
) -> dg.AssetCheckResult:
    """Whether the files of the last 60 file dates were all read under the settings of now.

    `listed` gives the IDs of the files that still are in the bucket; it is asked only if there are others.
    """
    recent = files.filter(IS_RECENT)
    other = recent.filter((pl.col("status") == "read") & (pl.col("rules_fingerprint") != fingerprint))
    again = other.filter(pl.col("file_id").is_in(list(listed()))) if other.height else other
    days = sorted(again["file_date"].to_list()) or [None]
    remedy = (
        f"Run: sigma-impressions backfill --renormalize --from {days[0]} --to {days[-1]}. Or in the Dagster UI: "
        f"materialize normalized_impressions and what is downstream of {days[0]} to {days[-1]}, with renormalize: true "
        "in the launchpad."
        if again.height
        else "None of them is in the bucket any more, so they keep what was read of them."
    )
    return UNIFORM.result(
        key,
        f"{other.height} files were read under other settings or by an earlier version; {again.height} of them can be "
        f"read again. {remedy}"
        if other.height
        else None,
        severity=ERROR if again.height else WARN,
        files=recent.height,
        files_of_other_settings=other.height,
        files_to_read_again=again.height,
    )
