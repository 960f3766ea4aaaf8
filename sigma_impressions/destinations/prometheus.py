"""Metrics for operators: a file for the textfile collector of Prometheus' node_exporter (docs/metrics.md).

Times are stated as times, and not as ages: so what is old grows older on the server too while nothing runs. What
cannot be read is left out, and the rest is written all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

import polars as pl
from deltalake.exceptions import DeltaError
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from sigma_impressions.errors import MetricsNotWritten, NothingComputed, OperatorError
from sigma_impressions.exports.captured import read_captured, registered_files
from sigma_impressions.exports.manifest import IS_RECENT, MISSING, REFUSED, UNREADABLE
from sigma_impressions.lake.scratch import replacing
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.conservation import ROW_COUNTS
from sigma_impressions.publish.database import publication_figures, published_database
from sigma_impressions.report.read import read_publication

HELP: Final[Mapping[str, str]] = {
    "newest_export_timestamp_seconds": "When the newest export file that a listing has shown was last modified.",
    "resources_timestamp_seconds": "When the file of the resources was written, or they were last read from the API.",
    "members_timestamp_seconds": "When the members were last read with all of their teams.",
    "files": "Export files that are known, by status.",
    "files_60d": "Export files of the last 60 file dates, by status.",
    "rows": "Rows of the captured export files, by outcome.",
    "rows_60d": "Rows of the captured export files of the last 60 file dates, by outcome.",
    "published_timestamp_seconds": "When the published database was made: only where something had changed.",
    "as_of_timestamp_seconds": "The as-of date of the published database, its beginning.",
    "last_complete_day_timestamp_seconds": "The last complete day of the published database, its beginning.",
    "impressions_60d": "Impressions of the 60 days up to the as-of date, with and without a resource.",
    "unmatched_impressions_60d": "Impressions of the 60 days up to the as-of date that have no resource.",
    "unmatched_impressions_ratio": "Share of the impressions of the 60 days that have no resource, 0 to 1.",
    "users_60d": "Users of the 60 days up to the as-of date.",
    "resources": "Workbooks, data models and elements that are published.",
    "last_run_timestamp_seconds": "When the last run ended, or its last publishing step.",
    "last_run_duration_seconds": "How long the last run took.",
    "last_run_succeeded": "1 if the last run succeeded, 0 if it failed or was cancelled.",
    "last_success_timestamp_seconds": "When the last run that succeeded ended, or its last publishing step.",
}
"""What each metric is, by its name without the prefix."""

_LABELS: Final = {"files": "status", "files_60d": "status", "rows": "outcome", "rows_60d": "outcome"}
"""What tells the values of a metric apart, where it has several."""

_STATUSES: Final = ("read", REFUSED, UNREADABLE, MISSING)

_FOR_ALL: Final = 0o644
"""The collector runs as another user; what it reads are numbers, and the name of the source."""

_Value = datetime | date | float | Mapping[str, float] | None
"""That of a metric, or several by what tells them apart; None where nothing is known."""


@dataclass(frozen=True)
class LastRun:
    """The last run that has ended, or is about to; None where a time is not recorded."""

    started_at: datetime | None
    ended_at: datetime | None
    succeeded: bool


@dataclass(frozen=True)
class Recorded:
    """What is recorded elsewhere than in the tables; None where nothing is."""

    last_run: LastRun | None = None
    last_success_at: datetime | None = None
    resources_written_at: datetime | None = None
    members_read_at: datetime | None = None


def write_metrics(target: Path, source: str, tables: Tables, recorded: Recorded, report: Callable[[str], None]) -> None:
    """Write the file, in one piece; `source` is its name, a label of all, and `report` is told what cannot be read.

    Raises `MetricsNotWritten` if the file cannot be written.
    """
    registry = CollectorRegistry()
    for values in (_of_runs(recorded), _of_exports(tables), _of_publication(tables)):
        try:
            for name, value in values:
                _add(registry, source, name, value)
        except (OperatorError, DeltaError, OSError) as error:
            said = error if isinstance(error, OperatorError) else type(error).__name__
            report(f"Not all metrics for operators can be told: {said}")
    try:
        # Not by `write_to_textfile`: its file has the mode of the umask, and before that a name that can be foreseen.
        with replacing(target) as partial:
            partial.write_bytes(generate_latest(registry))
            partial.chmod(_FOR_ALL)
    except OSError as error:
        raise MetricsNotWritten(
            f"The metrics for operators cannot be written to {target}: {error.strerror}. Make its folder, and let the "
            "user who runs the pipeline write there; or name another file"
        ) from None


def _add(registry: CollectorRegistry, source: str, name: str, value: _Value) -> None:
    """Add a metric if anything is known of it."""
    if value is None:
        return
    label = _LABELS.get(name)
    names = ["source", label] if label else ["source"]
    gauge = Gauge(name, HELP[name], names, namespace="sigma_impressions", registry=registry)
    for kind, number in value.items() if isinstance(value, Mapping) else [(None, value)]:
        gauge.labels(*filter(None, [source, kind])).set(_number(number))


def _number(value: datetime | date | float) -> float:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min, UTC)
    return value.timestamp() if isinstance(value, datetime) else value


def _of_runs(recorded: Recorded) -> Iterator[tuple[str, _Value]]:
    yield "resources_timestamp_seconds", recorded.resources_written_at
    yield "members_timestamp_seconds", recorded.members_read_at
    yield "last_success_timestamp_seconds", recorded.last_success_at
    if (run := recorded.last_run) is not None:
        yield "last_run_timestamp_seconds", run.ended_at
        yield "last_run_succeeded", run.succeeded
        if run.started_at and run.ended_at:
            yield "last_run_duration_seconds", (run.ended_at - run.started_at).total_seconds()


def _of_exports(tables: Tables) -> Iterator[tuple[str, _Value]]:
    captured, files = read_captured(tables), registered_files(tables)
    recent = files.filter(IS_RECENT)
    yield "newest_export_timestamp_seconds", captured.newest_exported_at
    yield "files", {**_by_status(files), "not_captured": captured.not_captured}
    yield "files_60d", _by_status(recent)
    yield "rows", _by_outcome(files)
    yield "rows_60d", _by_outcome(recent)


def _by_status(files: pl.DataFrame) -> dict[str, float]:
    counts = Counter(files["status"])
    return {status: counts[status] for status in _STATUSES}


def _by_outcome(files: pl.DataFrame) -> dict[str, float]:
    _, *outcomes = ROW_COUNTS
    return files.select(pl.col(outcomes).sum()).row(0, named=True)


def _of_publication(tables: Tables) -> Iterator[tuple[str, _Value]]:
    import duckdb  # here, as the code location loads without it

    try:
        database = published_database(tables.storage)
    except NothingComputed:
        return
    yield "published_timestamp_seconds", read_publication(database).published_at
    try:
        held = publication_figures(database)
    except duckdb.ProgrammingError:
        # Published by an earlier version, which knew less.
        return
    impressions = held["matched"] + held["unmatched"]
    yield "as_of_timestamp_seconds", held["as_of_date"]
    yield "last_complete_day_timestamp_seconds", held["last_complete_day"]
    yield "impressions_60d", impressions
    yield "unmatched_impressions_60d", held["unmatched"]
    yield "unmatched_impressions_ratio", held["unmatched"] / impressions if impressions else 0
    yield "users_60d", held["users"]
    yield "resources", held["resources"]
