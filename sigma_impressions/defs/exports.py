"""The assets of the exports: what lies in the bucket, and its rows."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.clock import refuse_behind
from sigma_impressions.defs import export_checks as checks
from sigma_impressions.defs.days import days_of, note_days
from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.lineage import column_lineage
from sigma_impressions.defs.logs import Log, log_of
from sigma_impressions.defs.metadata import EXAMPLES, definition_metadata, location, preview, table_of
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.partitions import BACKFILL_POLICY
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.exports.listing import Listing, file_id, not_yet_read, sort_out
from sigma_impressions.exports.manifest import REFUSED, Recorded, forget_missing, read_manifest, record_listing
from sigma_impressions.exports.near_prefixes import prefixes_instead_of
from sigma_impressions.exports.source import claim_tables, refuse_other_source
from sigma_impressions.lake.inventory import take_stock
from sigma_impressions.lake.schemas import EXPORT_FILES, NORMALIZED_IMPRESSIONS, RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.conservation import ROW_COUNTS
from sigma_impressions.settings.declared import Settings
from sigma_impressions.upkeep.edit_users import refuse_stored_addresses
from sigma_impressions.wiring import file_date_pattern, listed, object_store, reading_rules, source


class ListingOptions(dg.Config):
    """Options of one run for the listing."""

    forget_missing_files: bool = False
    """Drop captured files of the run's days that the bucket does not hold any more. They stop counting."""

    source_moved: bool = False
    """The exports have moved: take over the tables, which hold those of another bucket or prefix."""


class NormalizationOptions(dg.Config):
    """Options of one run for the normalization."""

    renormalize: bool = False
    """Read the files of the run's days again, where they still exist, under the settings of now."""


def build_export_assets(
    partitions: dg.DailyPartitionsDefinition, names: Names = PLAIN_NAMES
) -> list[dg.AssetsDefinition]:
    """The assets `raw_export_files` and `normalized_impressions`."""
    raw_key, normalized_key = names.keys([RAW_EXPORT_FILES.name, NORMALIZED_IMPRESSIONS.name])

    @dg.asset(
        key=raw_key,
        required_resource_keys=names.resources_of_days,
        partitions_def=partitions,
        backfill_policy=BACKFILL_POLICY,
        kinds={"delta", "csv"},
        metadata=definition_metadata(RAW_EXPORT_FILES),
        description=(
            "The export files that Sigma wrote to the bucket, by file date: key, version, size and time. "
            "Captured once and kept, also when the object is overwritten or expires later. "
            "Updated by every run over the day. If it fails: the message names the missing permission or setting."
        ),
        check_specs=[check.spec(raw_key) for check in checks.RAW_CHECKS],
    )
    def raw_export_files(context: dg.AssetExecutionContext, config: ListingOptions) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            days = days_of(context, settings)
            stored = tables_of(context, settings)
            claim_tables(stored, source(settings), moved=config.source_moved)
            listing = sort_out(listed(settings), set(days), file_date_pattern(settings))
            refuse_behind(listing.written_at, datetime.now(UTC))
            recorded = record_listing(stored, listing, datetime.now(UTC), source(settings))
            forgotten = forget_missing(stored, listing, days) if config.forget_missing_files else []
        log_of(context).info(
            f"{settings.bucket_uri}: {len(listing.files)} export files of {days[0]} to {days[-1]}, {len(recorded.new)} "
            f"of them new; {len(listing.other_days)} of other days, {len(listing.ignored)} ignored keys"
        )
        _warn_of_listing(log_of(context), listing, recorded, forgotten)
        manifest = read_manifest(stored).collect()
        note_days(context, raw_key, partitions, days, _files_per_day(manifest, days))
        return dg.MaterializeResult(
            metadata=_listing_metadata(stored, listing, recorded, forgotten),
            check_results=[
                checks.freshness(
                    raw_key,
                    _newest(listing, manifest),
                    manifest.height,
                    settings.export_max_age_days or settings.days_back,
                    datetime.now(UTC).date(),
                    instead=""
                    if manifest.height or listing.ignored
                    else prefixes_instead_of(settings.bucket_uri.prefix, object_store(settings)),
                )
            ],
        )

    @dg.asset(
        key=normalized_key,
        required_resource_keys=names.resources_of_days,
        deps=[raw_key],
        partitions_def=partitions,
        backfill_policy=BACKFILL_POLICY,
        kinds={"delta", "polars"},
        metadata=definition_metadata(NORMALIZED_IMPRESSIONS),
        description=(
            "The good rows of the export files, typed, each with its file and row number; rejected rows are kept "
            "beside them with their reason. Every run reads the files that are not captured yet, those of its days "
            "first. If a check is red: its table names the files or rows and the reason."
        ),
        check_specs=[check.spec(normalized_key) for check in checks.NORMALIZED_CHECKS],
    )
    def normalized_impressions(context: dg.AssetExecutionContext, config: NormalizationOptions) -> dg.MaterializeResult:  # type: ignore[type-arg]
        # Here, as a tick of the sensor, which is another process, has no need of all that reads files.
        from sigma_impressions.exports.capture import capture_pending

        with clear_failures():
            settings = names.settings_of(context.resources)
            days = days_of(context, settings)
            stored, rules = tables_of(context, settings), reading_rules(settings)
            refuse_other_source(stored, source(settings))
            if rules.pseudonyms is not None:
                refuse_stored_addresses(stored)
            captured = capture_pending(
                stored,
                partial(object_store, settings),
                rules,
                pattern=file_date_pattern(settings),
                report=log_of(context).info,
                warn=log_of(context).warning,
                days=days,
                renormalize=days if config.renormalize else (),
            )
            damages = take_stock(stored)
        files = stored.read(EXPORT_FILES).collect()
        touched = {*days, *(row["file_date"] for row in captured)}
        note_days(context, normalized_key, partitions, touched, _rows_per_day(files, touched))
        of_the_run = files.filter(pl.col("file_date").is_in(list(touched)))
        return dg.MaterializeResult(
            metadata={
                **_normalization_metadata(stored, captured, touched, is_intact=not damages),
                **column_lineage(NORMALIZED_IMPRESSIONS, {RAW_EXPORT_FILES.name: raw_key}),
            },
            check_results=[
                checks.storage_is_intact(normalized_key, damages),
                checks.readable(normalized_key, files),
                checks.objects_were_read(normalized_key, of_the_run),
                checks.rows_add_up(normalized_key, of_the_run),
                checks.rows_are_good(
                    normalized_key,
                    stored,
                    of_the_run,
                    settings.rejected_warn_percent,
                    settings.rejected_error_percent,
                ),
                checks.rows_were_accepted(normalized_key, stored, of_the_run),
                checks.headers_are_clear(normalized_key, of_the_run),
                checks.event_types_are_chosen(normalized_key, of_the_run, settings.event_types),
                checks.settings_are_uniform(normalized_key, files, rules.fingerprint(), partial(_listed, settings)),
            ],
        )

    return [raw_export_files, normalized_impressions]


def _newest(listing: Listing, manifest: pl.DataFrame) -> date | None:
    """The newest file date that is known: also of files that a run over other days has yet to note."""
    known = manifest["file_date"].to_list()
    if listing.last_day is not None and not_yet_read(listing.last_day, datetime.now(UTC).date()) is None:
        known.append(listing.last_day)
    return max(known, default=None)


def _listed(settings: Settings) -> set[str]:
    """The IDs of the export files that are in the bucket now."""
    with clear_failures():
        return {file_id(item) for item in listed(settings)}


def _warn_of_listing(log: Log, listing: Listing, recorded: Recorded, forgotten: Sequence[str]) -> None:
    if listing.undated:
        log.warning(
            f"{len(listing.undated)} keys do not match SIGMA_IMPRESSIONS_FILE_DATE_PATTERN; their last-modified day "
            f"is taken, for example {listing.undated[0]}"
        )
    if later := not_yet_read(listing.last_day, datetime.now(UTC).date()):
        log.warning(later)
    if recorded.overwritten:
        log.warning(
            f"{len(recorded.overwritten)} exports were overwritten, for example {recorded.overwritten[0].object.key}. "
            'What was captured before is kept and counted. Tick "Prefix file name with the current date and time" in '
            "the export's settings in Sigma, so that no export is lost before it is read."
        )
    if forgotten:
        log.warning(f"{len(forgotten)} files that the bucket does not hold any more are forgotten")


def _listing_metadata(stored: Tables, listing: Listing, recorded: Recorded, forgotten: Sequence[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "new_files": len(recorded.new),
        "known_files": recorded.known,
        "files_of_other_days": len(listing.other_days),
        "ignored_keys": len(listing.ignored),
        "table": location(stored, RAW_EXPORT_FILES),
    }
    for name, keys in (
        ("ignored_keys_examples", listing.ignored),
        ("undated_keys_examples", listing.undated),
        ("overwritten_keys_examples", [file.object.key for file in recorded.overwritten]),
        ("forgotten_keys_examples", forgotten),
    ):
        if keys:
            metadata[name] = table_of([{"key": key} for key in keys[:EXAMPLES]], ["key"])
    return metadata


def _files_per_day(manifest: pl.DataFrame, days: Iterable[date]) -> dict[date, dict[str, Any]]:
    found = {}
    for day in days:
        files = manifest.filter(pl.col("file_date") == day)
        found[day] = {
            "files": files.height,
            "bytes": int(files["size"].sum()),
            "preview": preview(files.select("key", "version", "size", "last_modified")),
        }
    return found


def _rows_per_day(files: pl.DataFrame, days: Iterable[date]) -> dict[date, dict[str, Any]]:
    found: dict[date, dict[str, Any]] = {}
    for day in days:
        of_day = files.filter(pl.col("file_date") == day)
        figures = {name: int(of_day[name].sum()) for name in ROW_COUNTS}
        found[day] = {
            "files": of_day.height,
            "refused_files": of_day.filter(pl.col("status") == REFUSED).height,
            **figures,
            "rejected_share": figures["rejected"] / figures["rows"] if figures["rows"] else 0.0,
        }
    return found


def _normalization_metadata(
    stored: Tables, captured: Sequence[dict[str, Any]], days: Iterable[date], *, is_intact: bool
) -> dict[str, Any]:
    # Where something is damaged the check says so, and these rows may be what is.
    first_rows = (
        stored.read(NORMALIZED_IMPRESSIONS, "file_date", days).head(10).collect()
        if is_intact
        else NORMALIZED_IMPRESSIONS.no_rows()
    )
    return {
        "captured_files": len(captured),
        "captured_rows": sum(row["rows"] for row in captured),
        "preview": preview(first_rows.drop("file_id", "capture_id")),
        "table": location(stored, NORMALIZED_IMPRESSIONS),
    }
