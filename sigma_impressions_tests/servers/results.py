"""Runs over generated exports in a bucket, and all that they leave behind, in a form that can be compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from polars.testing import assert_frame_equal

from sigma_impressions.demo.generate import FILE_DATE_PATTERN, PREFIX, export_period, resources
from sigma_impressions.exports.manifest import read_manifest
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DATA_FILES,
    EXPORT_FILES,
    MEMBER_SNAPSHOTS,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    REJECTED_ROWS,
    RESOURCE_HISTORY,
    RESOURCE_SNAPSHOTS,
    SIGMA_MEMBERS,
    SIGMA_RESOURCES,
    WORKBOOK_ALIASES,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.publish.database import published_database

# The demo's workbooks have no versions, and no members are read here: these tables are empty. Names of data files are
# those of one run.
DELTA_TABLES = tuple(
    table for table in ALL_TABLES if table not in (WORKBOOK_ALIASES, SIGMA_MEMBERS, MEMBER_SNAPSHOTS, DATA_FILES)
)
OF_A_RUN = {
    "capture_id",
    "fingerprint",
    "snapshot_id",
    "first_seen_at",
    "vanished_at",
    "captured_at",
    "built_at",
    "computed_at",
    "taken_at",
    "published_at",
    "made_from",
}
"""Columns that tell when and under which name a run made a row: they differ between runs over the same exports."""

DATABASE = "sigma_impressions.duckdb"
TODAY = datetime.now(UTC).date()
SECRET_KEY = "SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY"
KEY_ID = "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID"


def fill(bucket: Any, days: int) -> None:
    """The exports of the last days up to yesterday, one of them refused."""
    for key, data in export_period(TODAY - timedelta(days=1), days):
        bucket.put(key, data)


def settings(bucket: Any, folder: Path) -> dict[str, str]:
    """Settings for the bucket, the keys among them, with the generated resources."""
    folder.mkdir(exist_ok=True)
    where = folder / "sigma_resources.parquet"
    resources().write_parquet(where)
    found = bucket.environment()
    found[KEY_ID], found[SECRET_KEY] = found.pop("AWS_ACCESS_KEY_ID"), found.pop("AWS_SECRET_ACCESS_KEY")
    return {
        **found,
        "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}{PREFIX}",
        "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
        "SIGMA_IMPRESSIONS_RESOURCES": str(where),
    }


def contents(storage: Path | Tables) -> dict[str, pl.DataFrame]:
    """All Delta tables, as their registries name them, and all tables of the published database."""
    tables = storage if isinstance(storage, Tables) else Tables(storage)
    found = {table.name: tables.read(table).collect() for table in DELTA_TABLES}
    # Two runs at once may both list a file, write its rows, or store the same snapshot; one of them counts.
    found[RAW_EXPORT_FILES.name] = read_manifest(tables).collect()
    for name in (NORMALIZED_IMPRESSIONS.name, REJECTED_ROWS.name):
        found[name] = found[name].join(found[EXPORT_FILES.name], on=["file_id", "capture_id"], how="semi")
    # Where the snapshot was read from is another folder for each storage.
    found[RESOURCE_SNAPSHOTS.name] = found[RESOURCE_SNAPSHOTS.name].drop("read_from")
    compared = {name: _sorted(frame) for name, frame in found.items()}
    for table in (SIGMA_RESOURCES, RESOURCE_HISTORY, RESOURCE_SNAPSHOTS):
        compared[table.name] = compared[table.name].unique(maintain_order=True)
    with duckdb.connect(str(published_database(tables.storage)), read_only=True) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            frame = pl.from_arrow(connection.sql(f"FROM {name}").to_arrow_table())
            assert isinstance(frame, pl.DataFrame)
            compared[f"published {name}"] = _sorted(frame)
    return compared


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    kept = frame.select(column for column in frame.columns if column not in OF_A_RUN)
    return kept.sort([name for name, dtype in kept.schema.items() if not dtype.is_nested()], nulls_last=True)


def assert_same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    """Both hold the same rows in every table, and not none."""
    assert_same_so_far(one, other)
    may_be_empty = {f"published {name}" for name in ("sigma_members", "licence_usage", "team_usage", "page_usage")}
    empty = {name for name, rows in one.items() if not rows.height and not name.endswith("unmatched_impressions")}
    assert empty <= may_be_empty, f"nothing was compared of {sorted(empty)}"


def assert_same_so_far(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    """Both hold the same rows in every table; some may still be empty."""
    assert one.keys() == other.keys()
    for name, rows in one.items():
        try:
            assert_frame_equal(rows, other[name])
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def state(storage: Path) -> dict[str, object]:
    """The version of every table, and the identity of the published file."""
    versions: dict[str, object] = {table.name: Tables(storage).open(table).version() for table in DELTA_TABLES}
    found = (storage / DATABASE).stat()
    return {**versions, DATABASE: (found.st_ino, found.st_mtime_ns)}
