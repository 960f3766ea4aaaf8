"""The bytes behind a column of texts, for questions that a few vector operations on them answer."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray


def value_bytes(texts: pl.Series) -> NDArray[np.uint8]:
    """The UTF-8 bytes of all values, one after the other; nulls have none."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int64)
    return np.frombuffer(data, np.uint8)[bounds[array.offset] : bounds[array.offset + len(array)]]
