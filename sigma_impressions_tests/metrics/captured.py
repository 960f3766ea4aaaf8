"""Put accepted rows and resources into the tables, as if export files had been captured and Sigma been asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import polars as pl

from sigma_impressions.lake import engine
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import EXPORT_FILES, NORMALIZED_IMPRESSIONS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import publish_database
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.metrics.reference import Row


def discover(tables: Tables, resources: pl.DataFrame) -> None:
    """Take a snapshot of resources, before all that is counted."""
    capture_snapshot(tables, conform(resources, "the test"), "the test", datetime(2026, 1, 1, tzinfo=UTC))


def capture(
    tables: Tables,
    file_id: str,
    rows: list[Row],
    file_date: date = date(2026, 11, 20),
    last_modified: datetime | None = None,
) -> None:
    """Register a file that holds the rows."""
    capture_files(tables, [Captured(file_id, rows, file_date, last_modified)])


@dataclass(frozen=True)
class Captured:
    """An export file that was read, with the rows that it holds."""

    file_id: str
    rows: list[Row]
    file_date: date
    last_modified: datetime | None

    @property
    def days(self) -> list[date]:
        """The event dates that it holds, in order."""
        return sorted({row.request_time.date() for row in self.rows})


def capture_files(tables: Tables, files: list[Captured]) -> None:
    """Register files that hold rows."""
    accepted = [
        {
            **_origin(file),
            "row_number": number,
            "request_time": row.request_time,
            "event_date": row.request_time.date(),
            "user_email": row.user_email,
            "workbook_url_id": row.workbook_url_id,
            "element_id": row.element_id,
            "count": row.count,
            "event_id": row.event_id,
        }
        for file in files
        for number, row in enumerate(file.rows, 1)
    ]
    if accepted:
        frame = pl.DataFrame(accepted, schema=NORMALIZED_IMPRESSIONS.schema, infer_schema_length=None)
        append_rows(tables.open(NORMALIZED_IMPRESSIONS), frame)
    registered = [
        {
            **_origin(file),
            "key": f"exports/{file.file_id}.csv",
            "version": "1",
            "last_modified": file.last_modified,
            "status": "read",
            "rows": len(file.rows),
            "accepted": len(file.rows),
            "rejected": 0,
            "skipped": 0,
            "event_dates": file.days,
            "captured_at": datetime.now(UTC),
        }
        for file in files
    ]
    if registered:
        append_rows(tables.open(EXPORT_FILES), pl.DataFrame(registered, schema=EXPORT_FILES.schema))


def _origin(file: Captured) -> dict[str, date | str]:
    return {"file_date": file.file_date, "file_id": file.file_id, "capture_id": f"capture of {file.file_id}"}


def published_users(tables: Tables, as_of: date) -> pl.DataFrame:
    """The users of every resource as of a day, as they are published: flat, just as in the lists."""
    with engine.open_database(publish_database(tables, as_of).path) as connection:
        flat = connection.sql("FROM resource_users").pl()
        resource = "as_of_date, resource_type, workbook_url_id, element_id"
        unnested = f"SELECT {resource}, unnest(used) AS one FROM resource_impressions"
        lists = connection.sql(f"SELECT {resource}, unnest(one) FROM ({unnested})").pl()
    assert flat.equals(lists)
    return flat
