"""What the UI shows of an asset: column schemas, previews, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl
from polars.datatypes import DataTypeClass

from sigma_impressions.lake.columns import meaning
from sigma_impressions.lake.schemas import Table
from sigma_impressions.lake.tables import Tables
from sigma_impressions.texts import printable
from sigma_impressions.users import PLACES, shortened, without_address

GROUP = "sigma_impressions"
PREVIEW_ROWS = 10
EXAMPLES = 10
"""How many of what is wrong a table shows."""


def column_schema(table: Table) -> dg.TableSchema:
    """The columns of a table as Dagster shows them."""
    columns = table.schema.items()
    return dg.TableSchema([dg.TableColumn(name, _type_name(dtype), meaning(table, name)) for name, dtype in columns])


def _type_name(dtype: DataTypeClass | pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return "list of records" if dtype.inner == pl.Struct else f"list of {_type_name(dtype.inner)}s"
    return "timestamp (UTC)" if dtype == pl.Datetime else str(dtype).lower()


def definition_metadata(table: Table) -> dict[str, Any]:
    """Metadata that the asset of a table has before anything was materialized."""
    return {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": table.name,
        **documentation("tables-and-metrics.md"),
    }


def documentation(page: str) -> dict[str, Any]:
    """Metadata that leads from an asset to its page of the documentation, a file of the project."""
    return {"documentation": dg.MetadataValue.path(f"docs/{page}")}


def location(tables: Tables, table: Table) -> dg.MetadataValue:
    """Where the Delta table lies."""
    return dg.MetadataValue.path(tables.location(table))


def preview(rows: pl.DataFrame, most: int = PREVIEW_ROWS) -> dg.MetadataValue:
    """The first rows as a table; users are shortened, so that no event holds an e-mail address or a pseudonym.

    Whatever they look like: what an event holds stays when a user is forgotten.
    """
    shown = rows.head(most).with_columns(
        shortened(pl.col(name)) for name in rows.columns if name.endswith("_email") and rows.schema[name] == pl.String
    )
    return table_of(shown)


def table_of(rows: pl.DataFrame | Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> dg.MetadataValue:
    """A frame, or records with these columns, as a table that the UI shows as plain text, whatever they hold.

    Addresses are hidden, but in the columns that say where something lies.
    """
    records = rows.to_dicts() if isinstance(rows, pl.DataFrame) else rows
    columns = rows.columns if isinstance(rows, pl.DataFrame) else columns
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: _cell(name, record.get(name)) for name in columns}) for record in records],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in columns]),
    )


def _cell(name: str, value: Any) -> str | int | float | bool:
    if isinstance(value, int | float | bool):
        return value
    text = "" if value is None else str(value)
    return printable(text if name in PLACES else without_address(text))
