"""The assets of the metrics: daily impressions, and usage as of a day."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from sigma_impressions.defs import metric_checks as checks
from sigma_impressions.defs.days import days_of, note_days
from sigma_impressions.defs.failures import clear_failures
from sigma_impressions.defs.lineage import column_lineage
from sigma_impressions.defs.logs import log_of
from sigma_impressions.defs.metadata import definition_metadata, location, preview
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.partitions import BACKFILL_POLICY
from sigma_impressions.defs.runs import more_follows
from sigma_impressions.defs.stored import tables_of
from sigma_impressions.errors import NothingComputed, Problem, SettingsError
from sigma_impressions.lake.schemas import (
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    NORMALIZED_IMPRESSIONS,
    RESOURCE_IMPRESSIONS,
    SIGMA_RESOURCES,
    UNMATCHED_IMPRESSIONS,
    USER_ACTIVITY,
    Table,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import read_as_of, refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import newest_as_of
from sigma_impressions.upkeep.drop_detail import late_files
from sigma_impressions.upkeep.future import left_in_future
from sigma_impressions.windows import WINDOW_DAYS
from sigma_impressions.wiring import query_limits

_DESCRIPTIONS = {
    RESOURCE_IMPRESSIONS.name: (
        "Usage of every workbook, data model and element as of the end of a day: impressions and distinct users of 14, "
        "30 and 60 days. Also for resources that nobody viewed. Updated by every run over the day, and whenever an "
        "event date among its 60 days has changed. If it is red: impressions were lost or doubled; nothing is "
        "published, and `sigma-impressions run` shows whether it lasts."
    ),
    USER_ACTIVITY.name: (
        "Who is active: impressions, workbooks, resources and active days of every user, as of the end of a day. "
        "Updated together with resource_impressions. If it fails: the message of the step `metrics` says what to do."
    ),
    UNMATCHED_IMPRESSIONS.name: (
        "Good impressions whose workbook or element no resource has, so that no number is lost. "
        "Updated together with resource_impressions. "
        "If it is yellow or grows: is sigma_resources up to date, and does it hold all workbooks?"
    ),
}


class AsOf(dg.Config):
    """The as-of date of one run, beside the days it covers."""

    as_of: str | None = None
    """A day as YYYY-MM-DD, not in the future; default: the days of the run, and the newest one is published."""

    def day(self) -> date | None:
        """The as-of date asked for, if one was. Raises `SettingsError` if it is no day, or one of the future."""
        if not self.as_of:
            return None
        today = datetime.now(UTC).date()
        try:
            day = date.fromisoformat(self.as_of)
        except ValueError:
            raise SettingsError(Problem("as_of", f"{self.as_of!r} is not a day; write YYYY-MM-DD")) from None
        if day > today:
            raise SettingsError(Problem("as_of", f"{day} lies in the future; today is {today} (UTC)"))
        return day


def build_metric_assets(
    partitions: dg.DailyPartitionsDefinition, resources_key: dg.AssetKey, names: Names = PLAIN_NAMES
) -> list[dg.AssetsDefinition]:
    """The assets `daily_impressions`, `resource_impressions`, `user_activity`, `unmatched_impressions`.

    `resources_key` is the asset that takes the snapshots of the resources.
    """
    normalized_key, daily_key = names.keys([NORMALIZED_IMPRESSIONS.name, DAILY_IMPRESSIONS.name])
    keys = {table.name: names.key(table.name) for table in METRIC_TABLES}

    @dg.asset(
        key=daily_key,
        required_resource_keys=names.resources_of_days,
        deps=[normalized_key],
        partitions_def=partitions,
        backfill_policy=BACKFILL_POLICY,
        kinds={"delta", "duckdb"},
        metadata=definition_metadata(DAILY_IMPRESSIONS),
        description=(
            "Impressions counted once, per event date, workbook, element and user: what is exported twice counts "
            "once. Every run rebuilds exactly the event dates whose files changed, also outside the days it covers. "
            "If it fails: run it again; what was there before stays until it succeeds."
        ),
        check_specs=[check.spec(daily_key) for check in checks.DAILY_CHECKS],
    )
    def daily_impressions(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            days = days_of(context, settings)
            stored = tables_of(context, settings)
            refreshed = refresh_daily_impressions(stored, settings.overlapping_exports, query_limits(settings))
        touched = {*days, *refreshed.built, *refreshed.dropped}
        event_dates = stored.read(EVENT_DATES).collect()
        export_files = stored.read(EXPORT_FILES).select("status", "last_modified").collect()
        note_days(context, daily_key, partitions, touched, _daily_figures(event_dates, touched, refreshed.built))
        log_of(context).info(f"{len(refreshed.built)} event dates rebuilt, {refreshed.current} up to date")
        late = late_files(stored)
        if late.height:
            log_of(context).warning(
                f"{late['key'].n_unique()} files hold rows of event dates whose single views were dropped before, "
                f"for example {late['key'][0]}, {late['event_date'][0]}. These rows do not count"
            )
        return dg.MaterializeResult(
            metadata={
                "rebuilt_event_dates": len(refreshed.built),
                "dropped_event_dates": len(refreshed.dropped),
                "current_event_dates": refreshed.current,
                "files_too_late_to_count": late["key"].n_unique(),
                "table": location(stored, DAILY_IMPRESSIONS),
                **column_lineage(DAILY_IMPRESSIONS, {NORMALIZED_IMPRESSIONS.name: normalized_key}),
            },
            check_results=[
                checks.files_are_covered(daily_key, event_dates.filter(pl.col("event_date").is_in(list(touched)))),
                checks.days_are_usual(daily_key, event_dates, export_files, settings.daily_change_percent),
            ],
        )

    @dg.multi_asset(
        name=names.name("metrics"),
        required_resource_keys=names.resources_of_days,
        specs=[
            dg.AssetSpec(
                keys[table.name],
                deps=[daily_key, resources_key],
                kinds={"delta", "duckdb"},
                metadata=definition_metadata(table),
                description=_DESCRIPTIONS[table.name],
            )
            for table in METRIC_TABLES
        ],
        partitions_def=partitions,
        backfill_policy=BACKFILL_POLICY,
        check_specs=[
            *(check.spec(keys[RESOURCE_IMPRESSIONS.name]) for check in checks.METRIC_CHECKS),
            checks.MATCHED.spec(keys[UNMATCHED_IMPRESSIONS.name]),
        ],
    )
    def metrics(context: dg.AssetExecutionContext, config: AsOf) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        with clear_failures():
            settings = names.settings_of(context.resources)
            days = days_of(context, settings)
            stored = tables_of(context, settings)
            asked = [*days, *([day] if (day := config.day()) else [])]
            restate = not more_follows(context.instance, context.run)
            stated = asked if restate else [*asked, *_published(stored)]
            refreshed = refresh_metrics(stored, stated, query_limits(settings), restate=restate)
        log_of(context).info(f"{len(refreshed.built)} as-of dates computed, {refreshed.current} up to date")
        if not restate:
            log_of(context).info("Another run follows, which restates the other as-of dates whose window has changed")
        touched = {*asked, *refreshed.built}
        as_of_dates = stored.read(AS_OF_DATES).filter(pl.col("as_of_date").is_in(list(touched))).collect()
        figures = _as_of_figures(as_of_dates)
        newest = max(asked)
        unmatched = read_as_of(stored, UNMATCHED_IMPRESSIONS, newest)
        results_key, unmatched_key = keys[RESOURCE_IMPRESSIONS.name], keys[UNMATCHED_IMPRESSIONS.name]
        results = {
            RESOURCE_IMPRESSIONS.name: [
                checks.impressions_are_conserved(results_key, as_of_dates),
                checks.clocks_are_right(results_key, left_in_future(stored, datetime.now(UTC))),
            ],
            UNMATCHED_IMPRESSIONS.name: [
                checks.impressions_are_matched(
                    unmatched_key,
                    unmatched,
                    as_of_dates.filter(pl.col("as_of_date") == newest),
                    settings.unmatched_warn_percent,
                )
            ],
        }
        for table in METRIC_TABLES:
            key = keys[table.name]
            note_days(context, key, partitions, touched, figures[table.name])
            yield dg.MaterializeResult(
                asset_key=key,
                metadata={
                    "preview": _preview(stored, table, newest),
                    "computed_as_of_dates": len(refreshed.built),
                    "table": location(stored, table),
                    **column_lineage(table, {DAILY_IMPRESSIONS.name: daily_key, SIGMA_RESOURCES.name: resources_key}),
                },
                check_results=results.get(table.name, []),
            )

    return [daily_impressions, metrics]


def _published(stored: Tables) -> list[date]:
    """The as-of date that is published if no newer one is computed; none before the first."""
    with suppress(NothingComputed):
        return [newest_as_of(stored, datetime.now(UTC).date())]
    return []


def _daily_figures(
    event_dates: pl.DataFrame, days: Iterable[date], built: Iterable[date]
) -> dict[date, dict[str, Any]]:
    rows = {row["event_date"]: row for row in event_dates.iter_rows(named=True)}
    rebuilt = set(built)
    return {
        day: {
            "impressions": rows.get(day, {}).get("impressions", 0),
            "active_users": rows.get(day, {}).get("distinct_users", 0),
            "export_files": rows.get(day, {}).get("export_files", 0),
            "rebuilt": day in rebuilt,
        }
        for day in days
    }


def _as_of_figures(as_of_dates: pl.DataFrame) -> dict[str, dict[date, dict[str, Any]]]:
    """Per metric table and as-of date: what the UI plots over time."""
    figures: dict[str, dict[date, dict[str, Any]]] = {table.name: {} for table in METRIC_TABLES}
    for row in as_of_dates.iter_rows(named=True):
        day = row["as_of_date"]
        figures[RESOURCE_IMPRESSIONS.name][day] = {
            "resources": row["resource_rows"],
            **{f"total_impressions_{days}d": row[f"matched_impressions_{days}d"] for days in WINDOW_DAYS},
        }
        figures[USER_ACTIVITY.name][day] = {"users_60d": row["user_rows"]}
        figures[UNMATCHED_IMPRESSIONS.name][day] = {
            "unmatched_resources": row["unmatched_rows"],
            **{f"unmatched_impressions_{days}d": row[f"unmatched_impressions_{days}d"] for days in WINDOW_DAYS},
        }
    return figures


_COLUMNS_OF_PREVIEW = {
    RESOURCE_IMPRESSIONS.name: [
        *("name", "resource_type", "workbook_url_id", "element_id"),
        # As everywhere else where a workbook is ranked: with its elements.
        *(f"total_impressions_with_elements_{days}d" for days in reversed(WINDOW_DAYS)),
        "distinct_impressions_users_with_elements_60d",
    ],
    USER_ACTIVITY.name: ["user_email", "total_impressions_60d", "distinct_workbooks_60d", "active_days_60d"],
    UNMATCHED_IMPRESSIONS.name: ["workbook_url_id", "element_id", "reason", "total_impressions_60d"],
}


def _preview(stored: Tables, table: Table, as_of: date) -> dg.MetadataValue:
    columns = _COLUMNS_OF_PREVIEW[table.name]
    ranked_by = next(name for name in columns if name.startswith("total_impressions_"))
    return preview(read_as_of(stored, table, as_of).sort(ranked_by, descending=True).select(columns))
