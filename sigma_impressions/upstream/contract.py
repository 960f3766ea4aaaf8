"""What `sigma_resources` must look like (docs/tables-and-metrics.md, "The snapshot of sigma_resources")."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

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
REQUIRED = ("resource_type", "workbook_url_id")


@dataclass(frozen=True)
class Contract:
    """What a snapshot file must hold: its columns, those that it must have, and the setting that names the file.

    A column of lists is read as a text, `LISTED` before each part, or as people write it (`in_parts`).
    """

    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    required: tuple[str, ...]
    variable: str
    whose: str


RESOURCES: Final = Contract(SCHEMA, REQUIRED, "SIGMA_IMPRESSIONS_RESOURCES", "its resources")

LISTED: Final = "\x1f"
"""Stands before each part of a list in a text: nobody writes it."""

ROWS_LIMIT: Final = 2_000_000
"""Resources that a snapshot may have; a large organization has some hundred thousand."""

TEXT_LIMIT: Final = 10_000
"""Characters that a value may have."""

_EXAMPLES = 5
_COLUMNS_SHOWN = 20


def conform(frame: pl.DataFrame, read_from: str) -> pl.DataFrame:
    """The snapshot with the columns of the contract, in order and typed, sorted by its key.

    Columns that the contract does not name are left out, absent ones become null, and blank text is null.
    Raises `ResourcesRefused` for a missing column, an unreadable value, an unknown type, a missing required
    value, a duplicate key, an element whose workbook has no row, or more than ROWS_LIMIT rows; the message names the
    offending rows by number (1 is the first).
    """
    with no_value_told(read_from):
        return _conform(frame, read_from)


@contextmanager
def no_value_told(read_from: str) -> Iterator[None]:
    """Inside, an error of polars becomes a `ResourcesRefused` that tells only its kind."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # Its text may quote values.
        raise ResourcesRefused(f"{read_from} holds values that cannot be read ({type(error).__name__}).") from None


def as_text(value: object) -> str | None:
    """A value of a JSON document as text. Raises `ValueError` for a list or an object."""
    if value is None:
        return None
    if isinstance(value, str):
        # Half a surrogate pair, as programs leave that cut texts, is no text that could be stored.
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("not a text, number or truth value")


def as_listed(parts: Iterable[object]) -> str:
    """A list of a JSON document as text, `LISTED` before each part. Raises `ValueError` for a list or object in it."""
    return "".join(f"{LISTED}{part}" for part in map(as_text, parts) if part is not None) or LISTED


def typed_rows(frame: pl.DataFrame, contract: Contract, read_from: str) -> pl.DataFrame:
    """The columns of a contract, in order and typed, with the number of each `row`. Raises `ResourcesRefused`."""
    missing = [name for name in contract.required if name not in frame.columns]
    if missing:
        has = ", ".join(map(value, frame.columns[:_COLUMNS_SHOWN])) or "none"
        more = f" and {frame.width - _COLUMNS_SHOWN} more" if frame.width > _COLUMNS_SHOWN else ""
        raise ResourcesRefused(f"{read_from} lacks the column {' and '.join(missing)}. It has: {has}{more}.")
    if frame.height > ROWS_LIMIT:
        raise ResourcesRefused(f"{read_from} has {frame.height:,} rows, and more than {ROWS_LIMIT:,} are not accepted.")
    return _typed(frame, contract, read_from).with_row_index("row", offset=1)


def refuse_rows(problems: Mapping[str, pl.DataFrame], read_from: str, what: str, named: Sequence[str]) -> None:
    """Raise `ResourcesRefused` if there are rows with a problem; examples are told by number and some columns."""
    found = [f"{sentence}: {_examples(rows, named)}" for sentence, rows in problems.items() if rows.height]
    if found:
        raise ResourcesRefused(f"{read_from} cannot be used as {what}: {'; '.join(found)}.")


def in_parts(texts: pl.Series) -> pl.Series:
    """Lists of the distinct parts of texts, in order: what `LISTED` stands before, or what a list in JSON holds, or
    what is separated by semicolons or bars.
    """
    written = texts.filter(texts.str.starts_with("[")).unique()
    read = texts.replace(written, pl.Series(map(_from_json, written), dtype=pl.String))
    listed = pl.when(pl.first().str.starts_with(LISTED)).then(pl.first().str.strip_prefix(LISTED))
    parts = listed.otherwise(pl.first().str.replace_all(r"[;|]", LISTED)).str.split(LISTED)
    trimmed = parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))
    return read.to_frame().select(trimmed.list.unique().list.sort()).to_series()


def _from_json(written: str) -> str:
    """A list in JSON as `as_listed` has it; what is none stays as it is."""
    try:
        found = json.loads(written)
        return as_listed(found) if isinstance(found, list) else written
    except (ValueError, RecursionError):
        return written


def _conform(frame: pl.DataFrame, read_from: str) -> pl.DataFrame:
    typed = typed_rows(frame, RESOURCES, read_from)
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
    refuse_rows(problems, read_from, "sigma_resources", KEY)
    return known.drop("row").sort(KEY, nulls_last=False)


def counted(resources: pl.DataFrame, *, elements: bool = True) -> str:
    """How many resources there are of each kind, in words; data models only if there are any."""
    found = dict(resources.group_by("resource_type").len().iter_rows())
    words = {
        WORKBOOK: "workbook",
        **({DATA_MODEL: "data model"} if DATA_MODEL in found else {}),
        **({ELEMENT: "element"} if elements else {}),
    }
    counts = ((found.get(kind, 0), word) for kind, word in words.items())
    return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)


def _typed(frame: pl.DataFrame, contract: Contract, read_from: str) -> pl.DataFrame:
    return frame.select(
        _as_type(frame[name], dtype, read_from).alias(name)
        if name in frame.columns
        else pl.lit(None, _as_read(dtype)).alias(name)
        for name, dtype in contract.schema.items()
    )


def _as_read(dtype: pl.DataType | type[pl.DataType]) -> pl.DataType | type[pl.DataType]:
    return pl.String if isinstance(dtype, pl.List) else dtype


def _as_type(column: pl.Series, dtype: pl.DataType | type[pl.DataType], read_from: str) -> pl.Series:
    # A list of nothing is known to be empty.
    blank, dtype, present = LISTED if isinstance(dtype, pl.List) else None, _as_read(dtype), column
    if column.dtype in (pl.Binary, pl.Categorical, pl.Enum):
        column = column.cast(pl.String, strict=False)
    if column.dtype == pl.String:
        _check_length(column, read_from)
        column = present = _trimmed(column, blank)
    if dtype == UTC_TIME:
        result = as_time(column)
    elif dtype == pl.Boolean and column.dtype == pl.String:
        words = {**dict.fromkeys(("true", "t", "1", "yes"), True), **dict.fromkeys(("false", "f", "0", "no"), False)}
        result = column.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    elif column.dtype == dtype or column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        result = column.cast(dtype, strict=False)
    else:
        result = pl.Series(column.name, [None], dtype).new_from_index(0, column.len())
    unreadable = (result.is_null() & present.is_not_null()).arg_true()
    if len(unreadable):
        wanted, form = _FORMS[dtype]
        # What is no text may be beyond what can be shown.
        example = (
            f"the first one is '{value(without_address(column[unreadable[0]])[:_SHOWN])}'"
            if column.dtype == pl.String
            else f"it has the type {column.dtype.base_type()}"
        )
        raise ResourcesRefused(
            f"{read_from}: {column.name} cannot be read as {wanted} in row {_numbers(unreadable)}; {example}. "
            f"Write {form}."
        )
    return result


_FORMS: Mapping[pl.DataType | type[pl.DataType], tuple[str, str]] = {
    UTC_TIME: ("a time", "ISO 8601, such as 2026-11-24T10:00:00Z"),
    pl.Boolean: ("Boolean", "true or false"),
    pl.String: ("String", "text"),
}
"""What a value cannot be read as, and how it is written instead."""

_SHOWN = 60
"""Characters of a value that a message shows."""


def _check_length(texts: pl.Series, read_from: str) -> None:
    too_long = (texts.str.len_chars() > TEXT_LIMIT).arg_true()
    if len(too_long):
        raise ResourcesRefused(
            f"{read_from}: {texts.name} has more than {TEXT_LIMIT:,} characters in row {_numbers(too_long)}."
        )


def _numbers(rows: pl.Series) -> str:
    return ", ".join(str(row + 1) for row in rows.head(_EXAMPLES))


_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = ((moment - _EPOCH) // timedelta(microseconds=1) for moment in (datetime.min, datetime.max))
"""The times that everybody can express, in microseconds of Unix time: the years 1 to 9999."""

_MICROSECONDS = {"us": 1, "ms": 1000, "d": 86_400 * 10**6}
"""How many there are in a unit of time."""


def as_time(column: pl.Series) -> pl.Series:
    """The times in UTC, null where there is none within the years 1 to 9999."""
    if column.dtype == pl.String:
        text = pl.first().str
        formats = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f")
        times = (
            text.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False).cast(pl.Int64),
            *(text.to_datetime(form, time_unit="us", strict=False).cast(pl.Int64) for form in formats),
            text.to_date("%Y-%m-%d", strict=False).cast(pl.Int64) * _MICROSECONDS["d"],
        )
        numbers = column.to_frame().select(pl.coalesce(times)).to_series()
    elif isinstance(column.dtype, pl.Datetime):
        numbers = _scaled(column.cast(pl.Int64), column.dtype.time_unit)
    elif column.dtype == pl.Date:
        numbers = _scaled(column.cast(pl.Int64), "d")
    elif column.dtype.is_numeric() or column.dtype == pl.Null:
        numbers = column.cast(pl.Int64, strict=False)
    else:
        numbers = pl.Series([None], dtype=pl.Int64).new_from_index(0, column.len())
    in_bounds = pl.when(pl.first().is_between(_FIRST, _LAST)).then(pl.first())
    return numbers.to_frame().select(in_bounds).to_series().cast(UTC_TIME)


def _scaled(numbers: pl.Series, unit: str) -> pl.Series:
    """Numbers of a unit as microseconds; null where these would be out of bounds, and out of 64 bits perhaps."""
    if unit == "ns":
        return numbers // 1000
    times = _MICROSECONDS[unit]
    return numbers.set((numbers < _FIRST // times) | (numbers > _LAST // times), None) * times


def _trimmed(column: pl.Series, blank: str | None) -> pl.Series:
    """The texts without white space around them; for those of nothing else `blank` stands."""
    trimmed = column.str.strip_chars().to_frame()
    filled = pl.when(pl.first() == "").then(pl.lit(blank, pl.String)).otherwise(pl.first())
    return trimmed.select(filled.alias(column.name)).to_series()


def _examples(rows: pl.DataFrame, named: Sequence[str]) -> str:
    shown = [
        f"row {row['row']}" + (f" ({', '.join(value(str(row[name])) for name in named)})" if named else "")
        for row in rows.head(_EXAMPLES).iter_rows(named=True)
    ]
    more = f" and {rows.height - _EXAMPLES} more" if rows.height > _EXAMPLES else ""
    return without_address(f"{', '.join(shown)}{more}")
