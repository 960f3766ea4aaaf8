"""What the Dagster UI says of a column is what the docs say."""

from __future__ import annotations

import pytest

from sigma_impressions.defs.build import build_definitions
from sigma_impressions.lake.schemas import SIGMA_RESOURCES
from sigma_impressions_tests.documented import delta_columns, documented_tables

PAGE = "tables-and-metrics.md"
SCHEMA = "dagster/column_schema"
FROM_RESOURCES = "from `sigma_resources`"


def documented() -> dict[str, dict[str, str]]:
    """What the page says of the columns of each table: of the Delta tables, and before that of the DuckDB file's."""
    tables = documented_tables(PAGE)
    found = {name: {column: said.meaning for column, said in table.columns.items()} for name, table in tables.items()}
    for name, column, said in delta_columns(PAGE):
        found.setdefault(name, {})[column] = said
    return found


@pytest.mark.parametrize("resources", ["own", "external"])
def test_every_column_of_an_asset_is_described_as_in_the_docs(resources: str) -> None:
    graph = build_definitions(environ={"SIGMA_IMPRESSIONS_RESOURCES_ASSET": resources}).resolve_asset_graph()
    said = documented()
    shown = [graph.get(key).metadata for key in graph.get_all_asset_keys() if SCHEMA in graph.get(key).metadata]
    assert len(shown) == 7
    for metadata in shown:
        table = metadata["dagster/table_name"]
        for column in metadata[SCHEMA].columns:
            expected = said[table][column.name]
            if expected == FROM_RESOURCES:
                expected = said[SIGMA_RESOURCES.name][column.name]
            assert (table, column.name, column.description) == (table, column.name, expected)
