"""The bytes behind a column of texts, for questions that a few vector operations on them answer.

None of these functions is a query, as many of polars' own are: over the rows of a piece, making one takes longer.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from polars._typing import PolarsDataType


def value_bytes(texts: pl.Series) -> NDArray[np.uint8]:
    """The UTF-8 bytes of all values, one after the other; nulls have none."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int64)
    return np.frombuffer(data, np.uint8)[bounds[array.offset] : bounds[array.offset + len(array)]]


SHORT = 12
"""Bytes of a text that `lengths_and_bytes` has as a whole."""


def lengths_and_bytes(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """How many bytes each text has, and SHORT of them: all of a SHORT one, before zeros, or the first 4 of another.

    Of a null they are anything.
    """
    return _in_views(texts.to_arrow(compat_level=pl.CompatLevel.newest()))


def bytes_among(texts: pl.Series) -> list[NDArray[np.uint8]]:
    """All bytes of all values but zeros, in any order, and maybe others; without the copy that `value_bytes` is."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    lengths, characters = _in_views(array)
    is_short = lengths <= SHORT
    short = characters[is_short] if is_short.any() else characters[:0]
    # Behind the buffer of the views are those of the texts that are not short.
    return [short[short > 0], *(np.frombuffer(data, np.uint8) for data in array.buffers()[2:])]


def _in_views(array: pa.Array) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """See `lengths_and_bytes`: a view of a text begins with its length, in four bytes."""
    views = np.frombuffer(array.buffers()[1] or b"", np.uint8).reshape(-1, 16)[array.offset :][: len(array)]
    return views.view(np.uint32)[:, 0], views[:, 4:]


def are_there(values: pl.Series) -> NDArray[np.bool_]:
    """Which values are not null."""
    return values.is_not_null().to_numpy() if values.has_nulls() else np.ones(len(values), np.bool_)


def repeated(value: object, dtype: PolarsDataType, height: int) -> pl.Series:
    """A column of one value."""
    return pl.Series([value], dtype=dtype).new_from_index(0, height)
