"""Tables of the published database whose columns repeat few texts: these are written once per group of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sigma_impressions.publish import QUERIES

if TYPE_CHECKING:
    import duckdb

_REPEATED = {"resource_type", "workbook_url_id", "element_id"}
"""Columns of which a group of rows has few values. DuckDB takes a third longer to find out what suits them, and takes
twice the space for what it finds."""


def create_compact(connection: duckdb.DuckDBPyConnection, name: str, **values: object) -> None:
    """Make the table `published.<name>` of the result of the query `published_<name>`."""
    result = QUERIES.run(connection, f"published_{name}", **values)
    columns = ", ".join(
        f"{column} {dtype}" + (" USING COMPRESSION dictionary" if column in _REPEATED else "")
        for column, dtype in zip(result.columns, result.types, strict=True)
    )
    connection.execute(f"CREATE TABLE published.{name} ({columns})")
    result.insert_into(f"published.{name}")
