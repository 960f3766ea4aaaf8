"""What the Dagster UI says of a column is what the docs say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sigma_impressions.defs.build import build_definitions
from sigma_impressions.lake.schemas import SIGMA_RESOURCES

PAGE = Path(__file__).parents[2] / "docs" / "tables-and-metrics.md"
SCHEMA = "dagster/column_schema"
FROM_RESOURCES = "from `sigma_resources`"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _names(cell: str) -> list[str]:
    """The columns that a cell names; `_30d` behind `x_14d` is `x_30d`."""
    found: list[str] = []
    for name in re.findall(r"`([^`]+)`", cell):
        found.append(re.sub(r"_\d+d$", name, found[-1]) if name.startswith("_") else name)
    return found


def documented() -> dict[str, dict[str, str]]:
    """What the page says of the columns of each table: of the Delta tables, and before that of the DuckDB file's."""
    found: dict[str, dict[str, str]] = {}
    of_section: list[str] = []
    of_row: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            of_section = _names(line)
        cells = _cells(line) if line.startswith("|") else []
        if len(cells) == 3 and of_section:
            tables, columns, said = of_section, _names(cells[0]), cells[2]
        elif len(cells) == 4:
            of_row = _names(cells[0]) or of_row
            tables, columns, said = of_row, _names(cells[1]), cells[3]
        else:
            continue
        for table in tables:
            for column in columns:
                found.setdefault(table, {})[column] = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", said)
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
