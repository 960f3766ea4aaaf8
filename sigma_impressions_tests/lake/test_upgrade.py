"""A storage of the version before has no members, and resources without pages."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.lake import tables as tables_module
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.inventory import take_stock, verify
from sigma_impressions.lake.schemas import MEMBER_COLUMNS, PAGE_COLUMNS, RESOURCE_SNAPSHOTS, SIGMA_RESOURCES, Table
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upkeep.edit_users import forget_stored, pseudonymize_stored, refuse_stored_addresses
from sigma_impressions.upstream.contract import conform
from sigma_impressions.upstream.members_stored import members_as_of
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions.users import Pseudonyms

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


def test_a_storage_of_the_version_before_is_upgraded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {name: dtype for name, dtype in SIGMA_RESOURCES.schema.items() if name not in PAGE_COLUMNS}
    earlier = Table(SIGMA_RESOURCES.name, "", pl.Schema(columns), SIGMA_RESOURCES.partition_by)
    workbook = pl.DataFrame(
        [{"snapshot_id": "s", "resource_type": "sigma_workbook", "workbook_url_id": "w", "owner_email": "ann@x.org"}]
    )
    registered = pl.DataFrame([{"snapshot_id": "s", "taken_at": NOW, "workbooks": 1, "elements": 0}])
    with monkeypatch.context() as patched:
        patched.setattr(tables_module, "SCHEMA_VERSION", 5)
        before = Tables(tmp_path)
        append_rows(before.open(earlier), pl.concat([earlier.no_rows(), workbook], how="diagonal_relaxed"))
        registry = before.open(RESOURCE_SNAPSHOTS)
        append_rows(registry, pl.concat([RESOURCE_SNAPSHOTS.no_rows(), registered], how="diagonal_relaxed"))
    tables = Tables(tmp_path)
    assert tables.read(SIGMA_RESOURCES).collect().select("workbook_url_id", "page_id").rows() == [("w", None)]
    rows = [
        {"resource_type": "sigma_workbook", "workbook_url_id": "w", "element_id": None, "page_id": None},
        {"resource_type": "sigma_element", "workbook_url_id": "w", "element_id": "e", "page_id": "p"},
    ]
    assert capture_snapshot(tables, conform(pl.DataFrame(rows), "here"), "here", datetime.now(UTC)).is_new
    assert tables.read(SIGMA_RESOURCES).collect()["page_id"].drop_nulls().to_list() == ["p"]
    assert members_as_of(tables, NOW.date()).equals(pl.DataFrame(schema=MEMBER_COLUMNS))
    assert take_stock(tables) == verify(tables) == []
    forget_stored(tables, "ann@x.org", None, lambda line: None)
    pseudonymize_stored(tables, Pseudonyms("a key that nobody knows"), lambda line: None)
    refuse_stored_addresses(tables)
    assert "ann@x.org" not in tables.read(SIGMA_RESOURCES).collect()["owner_email"].to_list()
    assert take_stock(tables) == verify(tables) == []
