"""The sensor `staleness`: what grows old while nothing runs is noticed too."""

from datetime import UTC, datetime

import dagster as dg
import polars as pl

from sigma_impressions.defs.export_checks import freshness
from sigma_impressions.defs.failures import tick
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.resource_checks import resource_age
from sigma_impressions.defs.upstream import resources_written
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES
from sigma_impressions.texts import plain
from sigma_impressions.wiring import tables

STALENESS_NAME = "staleness"

_SECONDS_BETWEEN_TICKS = 3600


def build_staleness(resources_key: dg.AssetKey, names: Names = PLAIN_NAMES) -> dg.SensorDefinition:
    """The sensor `staleness`; `resources_key` is the asset that takes the snapshots of the resources."""
    raw_key = names.key(RAW_EXPORT_FILES.name)

    @dg.sensor(
        name=names.name(STALENESS_NAME),
        required_resource_keys={names.resource},
        minimum_interval_seconds=_SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            "Every hour evaluates source_is_fresh and resources_are_fresh without a run: a run evaluates them too, but "
            "where nothing new is exported none may start. Starts no runs."
        ),
    )
    @tick
    def staleness(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings, now = names.settings_of(context.resources), datetime.now(UTC)
        files, newest = (
            tables(settings)
            .read(RAW_EXPORT_FILES)
            .select(files=pl.len(), newest=pl.col("file_date").max())
            .collect()
            .row(0)
        )
        max_age = settings.export_max_age_days or settings.days_back
        results = [freshness(raw_key, newest, files, max_age, now.date())]
        written = resources_written(context.instance, settings, resources_key)
        if written is not None:
            results.append(resource_age(resources_key, written, settings.resources_max_age_days, now))
        stale = [result for result in results if not result.passed]
        said = " ".join(plain(str(result.description)) for result in stale) or "Nothing is stale."
        return dg.SensorResult(asset_events=[_evaluation(result) for result in results], skip_reason=said)

    return staleness


def _evaluation(result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    assert result.asset_key is not None
    assert result.check_name is not None
    return dg.AssetCheckEvaluation(
        asset_key=result.asset_key,
        check_name=result.check_name,
        passed=bool(result.passed),
        metadata=result.metadata or {},
        severity=result.severity,
        description=result.description,
    )
