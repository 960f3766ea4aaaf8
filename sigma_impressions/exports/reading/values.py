"""From the text of a field to its value: white space and a pair of quotes go, and some words stand for no value.

The rules: docs/sigma-export.md, "Values".
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sigma_impressions.exports.reading.buffers import are_there, lengths_and_bytes
from sigma_impressions.exports.reading.headers import WHITE_SPACE

ABSENT_VALUES = (
    *("", r"\n", r"\\n", "null", "(null)", "<null>", "none", "nan"),
    *("n/a", "#n/a", "undefined", "-"),
)
"""What stands for no value, in lower case; so does a text of nothing but NUL characters."""

_LONGEST_ABSENT = max(map(len, ABSENT_VALUES))

_BEGINS_ABSENT = np.zeros(256, np.bool_)
for _word in ABSENT_VALUES:
    _BEGINS_ABSENT[[*_word[:1].encode(), *_word[:1].upper().encode()]] = True


def values_of(texts: pl.Series) -> pl.Series:
    """The values of a column of trimmed texts; null where one stands for no value."""
    # Hardly a value needs more than a look at its first byte and its length, which is a tenth of the work.
    lengths, first = _beginnings(texts)
    at = np.flatnonzero((first == ord('"')) | (first == ord("'")))
    if len(at):
        texts = _replaced(texts, at, _WITHOUT_QUOTES)
        lengths, first = _beginnings(texts)
    is_short = lengths - np.uint32(1) < _LONGEST_ABSENT  # wraps: nulls have no length
    may_be_absent = np.zeros(len(texts), np.bool_) if len(texts) and first.all() else first == 0
    if is_short.any():
        words = np.flatnonzero(is_short & (first - np.uint8(ord("0")) > 9))  # a digit begins none
        may_be_absent[words] |= _BEGINS_ABSENT[first[words]]
    may_be_absent &= are_there(texts)
    at = np.flatnonzero(may_be_absent)
    return _replaced(texts, at, _NULL_IF_ABSENT) if len(at) else texts


_TEXT = pl.col("text")


def _is_in(quote: str) -> pl.Expr:
    return (_TEXT.str.len_bytes() >= 2) & _TEXT.str.starts_with(quote) & _TEXT.str.ends_with(quote)


_WITHOUT_QUOTES = (
    pl.when(_is_in('"'))
    .then(_TEXT.str.strip_prefix('"').str.strip_suffix('"').str.strip_chars())
    .when(_is_in("'"))
    .then(_TEXT.str.strip_prefix("'").str.strip_suffix("'").str.strip_chars())
    .otherwise(_TEXT)
)
_IS_ABSENT = _TEXT.str.to_lowercase().is_in(ABSENT_VALUES) | (_TEXT.str.strip_chars("\0") == "")
_NULL_IF_ABSENT = pl.when(~_IS_ABSENT).then(_TEXT)


def _replaced(texts: pl.Series, at: NDArray[np.int64], expression: pl.Expr) -> pl.Series:
    """The texts with those at some places replaced by what an expression over `text` gives for them."""
    if len(at) == len(texts):
        return texts.to_frame("text").select(expression.alias(texts.name)).to_series()
    # The series itself would be changed.
    return texts.clone().scatter(at, texts.gather(at).to_frame("text").select(expression).to_series())


def value_of(text: str) -> str | None:
    """The value of one text; None if it stands for none."""
    value = text.strip(WHITE_SPACE)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip(WHITE_SPACE)
    return None if value.lower() in ABSENT_VALUES or not value.strip("\0") else value


def _beginnings(texts: pl.Series) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """How many bytes each text has, and the first of them; 0 for both if there is none."""
    lengths, characters = lengths_and_bytes(texts)
    return lengths, characters[:, 0].copy()
