"""What stands in `workbook_url_id`: IDs and URLs in many forms, of which only the ID is kept.

The rules: docs/sigma-export.md, "Values". What stands behind the `?` or `#` of a URL, and the credentials in one, are
nobody's business: they are neither stored nor shown, also where a row could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from urllib.parse import unquote

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sigma_impressions.exports.reading.buffers import bytes_among, repeated
from sigma_impressions.exports.reading.headers import WHITE_SPACE
from sigma_impressions.exports.reading.values import value_of, values_of

HIDDEN = "…"
"""What stands in the text of a rejected row for what nobody is to see."""

_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URL_ID = re.compile("[0-9A-Za-z]{21,22}")

ID = f"^(?:{_URL_ID.pattern}|{_UUID.pattern})$"
"""What an ID of a workbook looks like. Python and polars read it alike."""

_MARK = re.compile("[?#]")
_ENCODED_MARK = re.compile("[?#]|%3[fF]|%23")
_CREDENTIALS = re.compile("((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?([^/]*:[^/]*@)")
_URL_AT = re.compile(r"""(://[^\s,;|"'?#]*[?#])[^\s,;|"']+""")
_CREDENTIALS_AT = re.compile(r"""[^\s/,;|"']*:[^\s/,;|"']*@""")
_ENCODED_CREDENTIALS_AT = re.compile(r"""(%2[fF]%2[fF])(?:(?!%2[fF])[^\s/,;|"'])*%40""")
_MAY_HIDE = r"""[?#]|%3[fF]|%23|%40|:[^\s/,;|"']*@"""

_LONGEST_REMEMBERED = 300
_ELEMENT = "/element/"


def reduce_references(texts: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """What values stand for: the ID of a workbook, "" if nothing is left; and the elements that URLs name.

    Where a look at the bytes shows that there is no URL, None stands for the second.
    """
    characters = bytes_among(texts)
    # Of what stands below the digits in ASCII `#`, `%`, `-` and `/` matter, of what stands behind them `?` and `@`.
    if not any((some < ord("0")).any() or (some - np.uint8(ord("?")) < 2).any() for some in characters):
        return texts, None
    # There are few workbooks, and a view of one differs from the next in what is cut off, or in the element.
    are_encoded = texts.str.contains("%2[fF]") if _is_among("%", characters) else repeated(False, pl.Boolean, 1)
    cut = _cut(texts, characters, are_encoded)
    parts = cut.str.splitn(_ELEMENT, 2).struct.unnest()
    element = parts.get_column("field_1").str.splitn("/", 2).struct.field("field_0")
    names_element = ((element != "") & ~are_encoded).fill_null(False)
    if not names_element.any():
        return _reduce_distinct(cut)
    usual = pl.select(
        pl.when(names_element).then(parts.get_column("field_0") + f"{_ELEMENT}x").otherwise(cut)
    ).to_series()
    ids, elements = _reduce_distinct(usual)
    # Elsewhere it is part of a host, or of a URL that is left as it is: no ID holds a `/`.
    is_element = names_element & (elements == "x").fill_null(False) & ~ids.str.contains("/", literal=True)
    elements = pl.select(pl.when(is_element).then(values_of(element.str.strip_chars())).otherwise(elements)).to_series()
    if at := (names_element & ~is_element).arg_true().to_list():
        some_ids, some_elements = _reduce_distinct(cut.gather(at))
        ids, elements = ids.scatter(at, some_ids), elements.scatter(at, some_elements)
    return ids.alias(texts.name), elements


def _is_among(character: str, characters: list[NDArray[np.uint8]]) -> bool:
    return any((some == ord(character)).any() for some in characters)


def _cut(texts: pl.Series, characters: list[NDArray[np.uint8]], are_encoded: pl.Series) -> pl.Series:
    """The texts without what stands behind the first mark. One that is encoded is still encoded then."""
    cut = _before(texts, [mark for mark in "?#" if _is_among(mark, characters)])
    if at := are_encoded.arg_true().to_list():
        encoded = _before(cut.gather(at), ["%3F", "%3f", "%23"])
        cut = cut.clone().scatter(at, encoded + "?%2F")  # the series itself would be changed
    return cut.alias(texts.name)


def _before(texts: pl.Series, marks: Iterable[str]) -> pl.Series:
    """What stands before the first of the marks."""
    for mark in marks:
        texts = texts.str.splitn(mark, 2).struct.field("field_0")
    return texts


def _reduce_distinct(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    encoded = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    found = [_remembered(text) if len(text) < _LONGEST_REMEMBERED else reduced(text) for text in distinct]
    at = pl.Series(encoded.indices)
    columns = (pl.Series(texts.name, [pair[part] for pair in found], pl.String) for part in (0, 1))
    ids, elements = (column.gather(at) for column in columns)
    return ids, elements


def reduced(reference: str) -> tuple[str, str | None]:
    """What a text stands for: an ID of a workbook or what else is left of it, and the element that a URL names."""
    if _UUID.fullmatch(reference):
        return reference, None
    bare = _MARK.split(_decoded(reference), maxsplit=1)[0].strip(WHITE_SPACE)
    if credentials := _CREDENTIALS.match(bare):
        bare = bare[: credentials.start(2)] + bare[credentials.end() :]
    if "/" not in bare:
        _, dash, tail = bare.rpartition("-")
        return (tail if dash and _URL_ID.fullmatch(tail) else bare), None
    segments = list(filter(None, bare.split("://", 1)[-1].split("/")))
    if not bare.split("://", 1)[-1].startswith("/"):
        del segments[:1]  # the host
    element = None
    if "element" in segments[:-1]:
        at = segments.index("element")
        segments, element = segments[:at], value_of(segments[at + 1])
    for segment in reversed(segments):
        tail = segment.rpartition("-")[2]
        if _UUID.fullmatch(segment):
            return segment, element
        if _URL_ID.fullmatch(tail):
            return tail, element
    for before, segment in reversed(list(pairwise(segments))):
        if before in ("workbook", "b"):
            return segment.rpartition("-")[2], element
    return bare, element


_remembered = lru_cache(20_000)(reduced)


def _is_encoded(reference: str) -> bool:
    return "%2f" in reference.lower()


def _decoded(reference: str) -> str:
    return unquote(reference) if _is_encoded(reference) else reference


# --- the texts of rejected rows


def hide_secrets(texts: pl.Series, references: pl.Series, are_complete: pl.Series) -> pl.Series:
    """Texts of rows without what nobody is to see of their references; null for that of a row without one.

    Of a row that is not complete nobody knows what the reference is: its text ends behind the first `?` or `#`.
    """
    # The credentials of a reference may hold what ends those in a text, as delimiters and white space.
    may_hide = texts.str.contains(_MAY_HIDE) | references.str.contains("@", literal=True).fill_null(False)
    at = may_hide.arg_true()
    if not len(at):
        return texts
    rows = zip(*(column.gather(at) for column in (texts, references, are_complete)), strict=True)
    return texts.clone().scatter(at, pl.Series([_shown(*row) for row in rows], dtype=pl.String))


def _shown(text: str, reference: str | None, is_complete: bool) -> str:
    if not is_complete and (mark := _mark_in(text)):
        text = text[: mark.end()] + (HIDDEN if mark.end() < len(text) else "")
    for secret, shown in _secrets(reference or ""):
        # In a quoted field, quotes are doubled.
        text = text.replace(secret.replace('"', '""'), shown).replace(secret, shown)
    text = _ENCODED_CREDENTIALS_AT.sub(rf"\1{HIDDEN}%40", _CREDENTIALS_AT.sub(f"{HIDDEN}@", text))
    return _URL_AT.sub(rf"\1{HIDDEN}", text)


def _secrets(reference: str) -> list[tuple[str, str]]:
    """Parts of a reference that nobody is to see, each with what is shown instead."""
    if _UUID.fullmatch(reference):
        return []
    found = []
    mark = _mark_in(reference)
    bare = reference[: mark.start()] if mark else reference
    if mark and mark.end() < len(reference):
        found.append((reference[mark.start() :], mark[0] + HIDDEN))
    if credentials := _CREDENTIALS.match((unquote(bare) if _is_encoded(reference) else bare).strip(WHITE_SPACE)):
        found.append((bare, HIDDEN) if _is_encoded(reference) else (credentials[2], f"{HIDDEN}@"))
    return found


def _mark_in(text: str) -> re.Match[str] | None:
    """The first `?` or `#`, as the text is read."""
    return (_ENCODED_MARK if _is_encoded(text) else _MARK).search(text)
