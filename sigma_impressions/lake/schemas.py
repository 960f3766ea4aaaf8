"""The schemas of the Delta Lake tables: what each table holds, its columns, and what a row means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from sigma_impressions.windows import WINDOW_DAYS

SCHEMA_VERSION = 6
"""Version of all table schemas; stored with each table, so that an older or newer one is recognised."""

UTC_TIME = pl.Datetime("us", "UTC")

_Type = pl.DataType | type[pl.DataType]


@dataclass(frozen=True)
class Table:
    """One Delta table: its name (also its folder), columns, partition columns and what a row means."""

    name: str
    description: str
    schema: pl.Schema = field(hash=False)
    partition_by: tuple[str, ...] = ()

    def no_rows(self) -> pl.DataFrame:
        """An empty frame with the table's columns."""
        return pl.DataFrame(schema=self.schema)


def _schema(**columns: _Type) -> pl.Schema:
    return pl.Schema(columns)


def _texts(*names: str) -> dict[str, _Type]:
    return dict.fromkeys(names, pl.String)


def _counts(*names: str) -> dict[str, _Type]:
    return dict.fromkeys(names, pl.Int64)


def _per_window(*prefixes: str) -> dict[str, _Type]:
    return _counts(*(f"{prefix}_{days}d" for days in WINDOW_DAYS for prefix in prefixes))


_OBJECT: dict[str, _Type] = {**_texts("bucket", "key", "version"), "size": pl.Int64, "last_modified": UTC_TIME}
_ROW_OF_A_FILE: dict[str, _Type] = {"file_date": pl.Date, **_texts("file_id", "capture_id"), "row_number": pl.Int64}
_IMPRESSIONS_AT: dict[str, _Type] = {"first_impression_at": UTC_TIME, "last_impression_at": UTC_TIME}


RAW_EXPORT_FILES = Table(
    "raw_export_files",
    "The manifest: one row per export file (key and version) that a listing has shown, kept for good.",
    _schema(file_date=pl.Date, file_id=pl.String, **_OBJECT, first_seen_at=UTC_TIME),
)
EXPORT_FILES = Table(
    "export_files",
    "Registry of captured export files: read or refused, with exact row counts and the event dates held.",
    _schema(
        **_texts("file_id", "capture_id"),
        **_OBJECT,
        file_date=pl.Date,
        **_texts("status", "reason", "detail"),
        **_counts("rows", "accepted", "rejected", "skipped"),
        event_dates=pl.List(pl.Date),
        warnings=pl.List(pl.String),
        rules_fingerprint=pl.String,
        captured_at=UTC_TIME,
        event_types=pl.List(pl.Struct({"event_type": pl.String, "rows": pl.Int64, "accepted": pl.Int64})),
        unused_columns=pl.List(pl.String),
    ),
)
NORMALIZED_IMPRESSIONS = Table(
    "normalized_impressions",
    "Accepted rows of the export files, typed, each with its file and row number.",
    _schema(
        **_ROW_OF_A_FILE,
        request_time=UTC_TIME,
        event_date=pl.Date,
        **_texts("user_email", "workbook_url_id", "element_id"),
        count=pl.Int64,
        event_id=pl.String,
    ),
    partition_by=("file_date",),
)
REJECTED_ROWS = Table(
    "rejected_rows",
    "Rows that cannot be an impression, each with its file, row number, reason and text.",
    _schema(**_ROW_OF_A_FILE, **_texts("reason", "text")),
    partition_by=("file_date",),
)


def columns_of_a_file(table: Table) -> dict[str, pl.DataType]:
    """The columns of a table of captured rows that come of the export file, without those that say which file it is."""
    return {name: dtype for name, dtype in table.schema.items() if name not in ("file_date", "file_id", "capture_id")}


DAILY_IMPRESSIONS = Table(
    "daily_impressions",
    "Impressions counted once, per event date, workbook, element and user; without a user they are of nobody.",
    _schema(
        event_date=pl.Date,
        **_texts("fingerprint", "workbook_url_id", "element_id", "user_email"),
        impressions=pl.Int64,
        **_IMPRESSIONS_AT,
    ),
    partition_by=("event_date", "fingerprint"),
)
DAILY_TOTALS = Table(
    "daily_totals",
    "Totals of daily_impressions per event date: of each workbook and element viewed, and of each user.",
    _schema(
        event_date=pl.Date,
        **_texts("fingerprint", "workbook_url_id", "element_id", "user_email"),
        **_counts("impressions", "distinct_users"),
    ),
    partition_by=("event_date", "fingerprint"),
)
"""A row is of a workbook or element (`user_email` is null) or of a user (`workbook_url_id` is null).

The impressions of nobody are in those of workbooks and elements only.
"""

DAILY_TABLES = (DAILY_IMPRESSIONS, DAILY_TOTALS)

EVENT_DATES = Table(
    "event_dates",
    "Registry of the event dates in daily_impressions, with the fingerprint of what each was built from, and the "
    "impressions that its largest export file has alone.",
    _schema(
        event_date=pl.Date,
        fingerprint=pl.String,
        **_counts("export_files", "rows", "impressions", "distinct_users", "largest_claim"),
        built_at=UTC_TIME,
        detail_dropped_at=UTC_TIME,
    ),
)
RESOURCE_COLUMNS: dict[str, _Type] = {
    **_texts("resource_type", "workbook_id", "workbook_url_id", "element_id"),
    **_texts("name", "workbook_name", "path", "url", "owner_email"),
    "created_at": UTC_TIME,
    "updated_at": UTC_TIME,
    "is_archived": pl.Boolean,
    "is_deleted": pl.Boolean,
}
"""The columns of a resource that the metrics have too (docs/tables-and-metrics.md, "sigma_resources")."""

PAGE_COLUMNS: dict[str, _Type] = {"page_id": pl.String, "page_name": pl.String}
"""The page that an element is on, as far as it is known."""

SIGMA_RESOURCES = Table(
    "sigma_resources",
    "Workbooks, data models and elements that the upstream Sigma integration discovered, one set per snapshot.",
    _schema(snapshot_id=pl.String, **RESOURCE_COLUMNS, **PAGE_COLUMNS),
    partition_by=("snapshot_id",),
)
RESOURCE_SNAPSHOTS = Table(
    "resource_snapshots",
    "Registry of the snapshots in sigma_resources: when each was taken and a digest of what it holds.",
    _schema(
        snapshot_id=pl.String,
        taken_at=UTC_TIME,
        content_digest=pl.String,
        **_counts("workbooks", "elements"),
        read_from=pl.String,
    ),
)
RESOURCE_HISTORY = Table(
    "resource_history",
    "When each resource of a snapshot was first seen, and since when it is gone from Sigma.",
    _schema(
        **_texts("snapshot_id", "resource_type", "workbook_url_id", "element_id"),
        first_seen_at=UTC_TIME,
        vanished_at=UTC_TIME,
    ),
    partition_by=("snapshot_id",),
)
ALIAS_COLUMNS = _texts("alias_id", "workbook_url_id", "tag_name")
"""Other IDs under which a workbook is viewed, those of its tagged versions: a UUID in lower case, or a URL ID."""

WORKBOOK_ALIASES = Table(
    "workbook_aliases",
    "Other IDs under which the workbooks of a snapshot are viewed: those of their tagged versions.",
    _schema(snapshot_id=pl.String, **ALIAS_COLUMNS, vanished_at=UTC_TIME),
    partition_by=("snapshot_id",),
)

MEMBER_COLUMNS: dict[str, _Type] = {
    **_texts("member_id", "user_email", "name", "account_type", "kind"),
    "teams": pl.List(pl.String),
    "created_at": UTC_TIME,
    "is_active": pl.Boolean,
    "first_seen_at": UTC_TIME,
    "is_deleted": pl.Boolean,
}
"""What is known of a member of the Sigma organization. `user_email` is as the impressions have it, a pseudonym where
those have pseudonyms, and `name` is null then; `teams` are names in order, null where teams are not known."""

SIGMA_MEMBERS = Table(
    "sigma_members",
    "Members of the Sigma organization and their teams, one set per snapshot.",
    _schema(snapshot_id=pl.String, **MEMBER_COLUMNS, vanished_at=UTC_TIME),
    partition_by=("snapshot_id",),
)
MEMBER_SNAPSHOTS = Table(
    "member_snapshots",
    "Registry of the snapshots in sigma_members: when each was taken and a digest of what it holds.",
    _schema(
        snapshot_id=pl.String,
        taken_at=UTC_TIME,
        content_digest=pl.String,
        members=pl.Int64,
        read_from=pl.String,
    ),
)

RESOURCE_IMPRESSIONS = Table(
    "resource_impressions",
    "Usage of every workbook, data model and element as of the end of a day, also of those that nobody viewed.",
    _schema(
        as_of_date=pl.Date,
        fingerprint=pl.String,
        **RESOURCE_COLUMNS,
        **_per_window("total_impressions", "distinct_impressions_users"),
        **_per_window("total_impressions_with_elements", "distinct_impressions_users_with_elements"),
        total_impressions_prior_14d=pl.Int64,
        **_IMPRESSIONS_AT,
        anonymous_impressions_60d=pl.Int64,
    ),
    partition_by=("as_of_date", "fingerprint"),
)
USER_ACTIVITY = Table(
    "user_activity",
    "Activity of every user of the last 60 days as of the end of a day.",
    _schema(
        as_of_date=pl.Date,
        **_texts("fingerprint", "user_email"),
        **_per_window("total_impressions", "distinct_workbooks", "distinct_resources", "active_days"),
        **_IMPRESSIONS_AT,
    ),
    partition_by=("as_of_date", "fingerprint"),
)
UNMATCHED_IMPRESSIONS = Table(
    "unmatched_impressions",
    "Good impressions of the last 60 days whose workbook or element no resource has.",
    _schema(
        as_of_date=pl.Date,
        **_texts("fingerprint", "workbook_url_id", "element_id", "reason"),
        **_counts("total_impressions_60d", "distinct_impressions_users_60d"),
        **_IMPRESSIONS_AT,
    ),
    partition_by=("as_of_date", "fingerprint"),
)
AS_OF_DATES = Table(
    "as_of_dates",
    "Registry of the as-of dates whose metric tables are complete, with the figures of the conservation check.",
    _schema(
        as_of_date=pl.Date,
        **_texts("fingerprint", "snapshot_id"),
        **_per_window("impressions", "matched_impressions", "unmatched_impressions"),
        **_counts("resource_rows", "user_rows", "unmatched_rows"),
        computed_at=UTC_TIME,
    ),
)

DATA_FILES = Table(
    "data_files",
    "What should be there: the data files of all that cannot be made again, with the captures whose rows they hold.",
    _schema(
        **_texts("table_name", "partition", "file"),
        **_counts("size_bytes", "rows"),
        captures=pl.List(pl.String),
        noted_at=UTC_TIME,
    ),
)

CAPTURED_ROWS = {NORMALIZED_IMPRESSIONS: "accepted", REJECTED_ROWS: "rejected"}
"""The tables with rows of export files, each with the column of `export_files` that counts them."""

SNAPSHOT_TABLES = (SIGMA_RESOURCES, RESOURCE_HISTORY, WORKBOOK_ALIASES)
"""What a snapshot of the resources holds, in partitions of its own."""

SNAPSHOTS: Mapping[Table, tuple[Table, ...]] = {
    RESOURCE_SNAPSHOTS: SNAPSHOT_TABLES,
    MEMBER_SNAPSHOTS: (SIGMA_MEMBERS,),
}
"""The registries of snapshots, each with the tables that its snapshots have rows in.

A registry counts the rows that were found, which are in the first of its tables.
"""

METRIC_TABLES = (RESOURCE_IMPRESSIONS, USER_ACTIVITY, UNMATCHED_IMPRESSIONS)

ALL_TABLES = (
    RAW_EXPORT_FILES,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    *DAILY_TABLES,
    EVENT_DATES,
    *SNAPSHOT_TABLES,
    RESOURCE_SNAPSHOTS,
    SIGMA_MEMBERS,
    MEMBER_SNAPSHOTS,
    *METRIC_TABLES,
    AS_OF_DATES,
    DATA_FILES,
)
