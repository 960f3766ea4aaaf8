"""The usage of workbooks, pages and elements per day, user and in all, and what of it a catalog does not have yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sigma_impressions import metrics
from sigma_impressions.destinations import QUERIES
from sigma_impressions.lake import engine
from sigma_impressions.lake.engine import DEFAULT_LIMITS, Limits
from sigma_impressions.lake.schemas import DAILY_TABLES, SIGMA_RESOURCES, WORKBOOK_ALIASES
from sigma_impressions.lake.scratch import replacing, scratch_folder
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.metrics.fingerprints import built_event_dates, expected_as_of_dates
from sigma_impressions.publish.database import newest_as_of
from sigma_impressions.windows import window

if TYPE_CHECKING:
    import duckdb

PAGE: Final = "sigma_page"
"""What `resource_type` is of a page, which is no resource."""

_BATCH_ROWS = 2_000
_DIGESTS = "SELECT resource_type, entity_id, event_date, digest FROM entity_usage"


@dataclass(frozen=True)
class EntityUsage:
    """The usage as of the newest as-of date; valid inside the `with` of `entity_usage` that has made it.

    `rows` counts all rows, `unnamed` the workbooks without a `workbook_id`, which no catalog could name.
    """

    as_of: date
    rows: int
    unnamed: int
    _first: date
    _connection: duckdb.DuckDBPyConnection

    def changes(self, sent: Path | None) -> Iterator[list[Mapping[str, Any]]]:
        """Batches of the rows that differ from what was `remember`ed in the file `sent`; without it, of all rows.

        A row is the usage of a workbook, page or element (`resource_type`, `entity_id`) on an event date of the 60 days
        up to the as-of date, or without `event_date` its total over all days that are captured: `impressions`,
        `distinct_users`, `last_impression_at` (of a total only) and `used`, a list of `user_email` and
        `impressions` (of a day only).
        """
        is_known = sent is not None and sent.exists()
        remembered = f"FROM {engine.parquet([str(sent)])}" if is_known else f"{_DIGESTS} LIMIT 0"
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE sent AS {remembered}")
        changes = QUERIES.run(self._connection, "entity_usage_changes", first=self._first)
        for batch in changes.to_arrow_reader(_BATCH_ROWS):
            yield batch.to_pylist()

    def remember(self, sent: Path) -> None:
        """Note in a file that a catalog now has all of this."""
        with replacing(sent) as partial:
            engine.copy_to(self._connection, _DIGESTS, partial, "FORMAT parquet")


@contextmanager
def entity_usage(tables: Tables, limits: Limits = DEFAULT_LIMITS) -> Iterator[EntityUsage]:
    """Compute the usage as of the newest as-of date, and of the 60 days up to it.

    Raises `NothingComputed` if there is no as-of date yet, `InputsChanged` if another process restates days meanwhile.
    """
    as_of = newest_as_of(tables, datetime.now(UTC).date())
    days = {day: fingerprint for day, fingerprint in built_event_dates(tables).items() if day <= as_of}
    snapshot_id = expected_as_of_dates(tables, [as_of])[as_of].snapshot_id
    first = window(as_of)[0]
    with scratch_folder(tables.root / WORK_FOLDER) as scratch, engine.connect(scratch, limits) as connection:
        for table in DAILY_TABLES:
            engine.view_days(connection, tables.newest(table), "event_date", days)
        for table in (SIGMA_RESOURCES, WORKBOOK_ALIASES):
            engine.view(connection, tables.newest(table), "snapshot_id", [snapshot_id])
        QUERIES.execute(connection, "resources_of_workbooks")
        metrics.QUERIES.execute(connection, "exported_ids", "resource_ids")
        QUERIES.execute(connection, "entity_views", "entity_usage", first=first)
        rows, unnamed = QUERIES.frame(connection, "entity_counts").row(0)
        yield EntityUsage(as_of, rows, unnamed, first, connection)
