"""The column lineage names columns that exist, and leaves out none that is made from another table."""

from __future__ import annotations

import dagster as dg
import pytest

from sigma_impressions.defs.lineage import column_lineage
from sigma_impressions.lake.schemas import (
    DAILY_IMPRESSIONS,
    METRIC_TABLES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    SIGMA_RESOURCES,
    Table,
)

BEFORE = {table.name: table for table in (RAW_EXPORT_FILES, NORMALIZED_IMPRESSIONS, DAILY_IMPRESSIONS, SIGMA_RESOURCES)}
KEYS = {name: dg.AssetKey(["emea", name]) for name in BEFORE}
# Read from the export files, or written by the run itself.
FROM_NO_TABLE = {
    NORMALIZED_IMPRESSIONS.name: set(NORMALIZED_IMPRESSIONS.schema) - {"file_date", "file_id"},
}


@pytest.mark.parametrize("table", [NORMALIZED_IMPRESSIONS, DAILY_IMPRESSIONS, *METRIC_TABLES], ids=lambda one: one.name)
def test_every_column_that_is_made_from_another_table_says_so(table: Table) -> None:
    lineage = column_lineage(table, KEYS)["dagster/column_lineage"].deps_by_column
    expected = set(table.schema) - FROM_NO_TABLE.get(table.name, {"fingerprint"})
    assert set(lineage) == expected
    for deps in lineage.values():
        assert deps
        for dep in deps:
            prefix, name = dep.asset_key.path
            assert prefix == "emea"
            assert dep.column_name in BEFORE[name].schema
