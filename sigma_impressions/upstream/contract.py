"""What `sigma_resources` must look like (docs/tables-and-metrics.md, "The snapshot of sigma_resources")."""

from __future__ import annotations

import polars as pl

from sigma_impressions.errors import ResourcesRefused
from sigma_impressions.lake.schemas import ALIAS_COLUMNS, PAGE_COLUMNS, RESOURCE_COLUMNS, UTC_TIME
from sigma_impressions.texts import value
from sigma_impressions.users import without_address

WORKBOOK = "sigma_workbook"
DATA_MODEL = "sigma_data_model"
"""To its elements it is what a workbook is: what has elements is whatever is no element."""

ELEMENT = "sigma_element"

_TYPES = {WORKBOOK: WORKBOOK, DATA_MODEL: DATA_MODEL, ELEMENT: ELEMENT, "sigma_workbook_element": ELEMENT}
"""Accepted resource types, and what each is stored as."""

SCHEMA = RESOURCE_COLUMNS | PAGE_COLUMNS
"""The columns of a snapshot that obeys the contract: those of a stored resource."""

ALIASES = ALIAS_COLUMNS
"""Those of the other IDs of the workbooks."""

KEY = ("resource_type", "workbook_url_id", "element_id")
_REQUIRED = ("resource_type", "workbook_url_id")
_EXAMPLES = 5
_COLUMNS_SHOWN = 20


def conform(frame: pl.DataFrame, read_from: str) -> pl.DataFrame:
    """The snapshot with the columns of the contract, in order and typed, sorted by its key.

    Columns that the contract does not name are left out, absent ones become null, and blank text is null.
    Raises `ResourcesRefused` for a missing column, an unreadable value, an unknown type, a missing required
    value, a duplicate key, or an element whose workbook has no row; the message names the offending rows by
    number (1 is the first).
    """
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        has = ", ".join(map(value, frame.columns[:_COLUMNS_SHOWN])) or "none"
        more = f" and {frame.width - _COLUMNS_SHOWN} more" if frame.width > _COLUMNS_SHOWN else ""
        raise ResourcesRefused(f"{read_from} lacks the column {' and '.join(missing)}. It has: {has}{more}.")
    typed = _typed(frame, read_from).with_row_index("row", offset=1)
    known = typed.with_columns(resource_type=pl.col("resource_type").replace(_TYPES))
    is_unknown = ~pl.col("resource_type").is_in(list(_TYPES)) | pl.col("resource_type").is_null()
    is_element = pl.col("resource_type") == ELEMENT
    workbooks = known.filter(~is_element)
    repeated_id = pl.col("workbook_id").is_not_null() & pl.col("workbook_id").str.to_lowercase().is_duplicated()
    problems = {
        f"resource_type is none of {', '.join(_TYPES)}": typed.filter(is_unknown),
        "workbook_url_id is missing": typed.filter(pl.col("workbook_url_id").is_null()),
        "element_id is missing": known.filter(is_element & pl.col("element_id").is_null()),
        # A workbook's own row has no element; an ID that was left there would hide it from the impressions.
        "a workbook's row has an element_id": workbooks.filter(pl.col("element_id").is_not_null()),
        # A workbook and a data model of one URL ID would both have its impressions.
        "the same resource is there twice": known.filter(
            pl.struct(is_element.alias("is_element"), "workbook_url_id", "element_id").is_duplicated()
        ),
        "two workbooks have the same workbook_id": workbooks.filter(repeated_id),
        "the element's workbook has no row": (
            known.filter(is_element).join(workbooks, on="workbook_url_id", how="anti").sort("row")
        ),
    }
    found = [f"{sentence}: {_examples(rows)}" for sentence, rows in problems.items() if rows.height]
    if found:
        raise ResourcesRefused(f"{read_from} cannot be used as sigma_resources: {'; '.join(found)}.")
    return known.drop("row").sort(KEY, nulls_last=False)


def counted(resources: pl.DataFrame) -> str:
    """How many resources there are of each kind, in words; data models only if there are any."""
    found = dict(resources.group_by("resource_type").len().iter_rows())
    words = {WORKBOOK: "workbook", **({DATA_MODEL: "data model"} if DATA_MODEL in found else {}), ELEMENT: "element"}
    counts = ((found.get(kind, 0), word) for kind, word in words.items())
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def _typed(frame: pl.DataFrame, read_from: str) -> pl.DataFrame:
    return frame.select(
        _as_type(frame[name], dtype, read_from).alias(name)
        if name in frame.columns
        else pl.lit(None, dtype).alias(name)
        for name, dtype in SCHEMA.items()
    )


def _as_type(column: pl.Series, dtype: pl.DataType | type[pl.DataType], read_from: str) -> pl.Series:
    if column.dtype == dtype:
        result = column
    elif dtype == UTC_TIME:
        result = _as_time(column)
    elif dtype == pl.Boolean and column.dtype == pl.String:
        words = {**dict.fromkeys(("true", "t", "1", "yes"), True), **dict.fromkeys(("false", "f", "0", "no"), False)}
        result = _blank_as_null(column).str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    else:
        result = column.cast(dtype, strict=False)
    if dtype == pl.String:
        return _blank_as_null(result)
    present = _blank_as_null(column) if column.dtype == pl.String else column
    unreadable = (result.is_null() & present.is_not_null()).arg_true()
    if len(unreadable):
        rows = ", ".join(str(row + 1) for row in unreadable.head(_EXAMPLES))
        raise ResourcesRefused(f"{read_from}: {column.name} cannot be read as {dtype} in row {rows}.")
    return result


def _as_time(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        text = pl.first().str
        aware = text.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False)
        naive = (
            text.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False),
            text.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False),
            text.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
        )
        times = pl.coalesce(aware, *(time.dt.replace_time_zone("UTC") for time in naive))
        return _blank_as_null(column).to_frame().select(times).to_series()
    if isinstance(column.dtype, pl.Datetime):
        zoned = column if column.dtype.time_zone else column.dt.replace_time_zone("UTC")
        return zoned.dt.convert_time_zone("UTC").cast(UTC_TIME)
    return column.cast(pl.Datetime("us"), strict=False).dt.replace_time_zone("UTC")


def _blank_as_null(column: pl.Series) -> pl.Series:
    trimmed = column.str.strip_chars()
    return trimmed.to_frame().select(pl.when(pl.first() != "").then(pl.first())).to_series()


def _examples(rows: pl.DataFrame) -> str:
    named = [
        f"row {row['row']} ({', '.join(value(str(row[name])) for name in KEY)})"
        for row in rows.head(_EXAMPLES).iter_rows(named=True)
    ]
    more = f" and {rows.height - _EXAMPLES} more" if rows.height > _EXAMPLES else ""
    return without_address(f"{', '.join(named)}{more}")
