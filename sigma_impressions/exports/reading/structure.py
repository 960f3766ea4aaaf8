"""Where the records of well-formed CSV text begin and end, found with a few vector operations on its bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_LINE_FEED, _CARRIAGE_RETURN, _QUOTE, _SPACE = b'\n\r" '

_LEADS_OF_WHITE_SPACE = (b"\xc2", b"\xe1", b"\xe2", b"\xe3")
"""First bytes of all white space beyond ASCII: U+0085, U+00A0, U+1680, U+2000 to U+205F, U+3000."""

_BLOCK = 2**19
"""Bytes that are looked at together: what is found in more does not stay in the processor's cache."""

_Bytes = NDArray[np.uint8]
_Bits = NDArray[np.uint64]
"""One bit per byte of text, the first byte in the lowest bit of the first word; the last bit is never set."""


@dataclass(frozen=True)
class Records:
    """The records of a piece of text.

    Record i lies in the bytes `bounds[i]` to `bounds[i + 1]`, its line end included, and holds
    `delimiters[i]` delimiters outside quotes. `quoted` tells whether the text holds any quote, `padded` whether
    there may be white space at the beginning or end of a value.
    """

    bounds: NDArray[np.int64]
    delimiters: NDArray[np.int64]
    quoted: bool
    padded: bool

    def head(self, most: int) -> Records:
        """The first of them."""
        return replace(self, bounds=self.bounds[: most + 1], delimiters=self.delimiters[:most])


def find_records(text: bytes, delimiter: str, *, ends_here: bool) -> Records | None:
    r"""Find the complete records at the beginning of `text`, which begins where a record begins.

    If `ends_here`, the file ends with `text`, and its end closes the last record. The answer is None if the
    records cannot be told this way, which takes well-formed text: every quote is in a field that begins with
    one, and there doubled or at the field's end, and every `\r` outside quotes belongs to a `\r\n`.
    """
    data = np.frombuffer(text, np.uint8)
    delimiters = _bits(data, delimiter.encode())
    white = _white_space(data)
    codes = data[white]
    quoted = b'"' in text
    if not quoted:
        bounds = _bounds(white[codes == _LINE_FEED], len(data), ends_here)
        used = data[: bounds[-1]]
        white = white[: np.searchsorted(white, len(used))]
        is_outside = np.ones(len(white), np.bool_)
    else:
        quotes = _bits(data, b'"')
        inside = _odd_so_far(quotes)
        is_outside = ~_at(inside, white)
        bounds = _bounds(white[is_outside & (codes == _LINE_FEED)], len(data), ends_here)
        used = data[: bounds[-1]]
        # What lies behind belongs to a record that is looked at with the next piece of text.
        quotes, inside, delimiters = (_head(bits, len(used)) for bits in (quotes, inside, delimiters))
        delimiters &= ~inside
        field_ends = _bits(used, b"\n")
        field_ends &= ~inside
        field_ends |= delimiters
        if not _are_well_formed(quotes, inside, field_ends, used):
            return None
        white = white[: np.searchsorted(white, len(used))]
        is_outside = is_outside[: len(white)]
    codes = codes[: len(white)]
    is_separator = is_outside & (codes == _LINE_FEED)
    if not is_separator.all():
        is_return = is_outside & (codes == _CARRIAGE_RETURN)
        if not _are_followed_by_line_feeds(white[is_return], used):
            return None
        is_separator |= is_return | (is_outside & (codes == ord(delimiter)))
    padded = _holds_wide_white_space(text) or _touch_an_end(white[~is_separator], used, delimiter)
    return Records(bounds, np.diff(_counts_before(delimiters, bounds)), quoted, padded)


def _holds_wide_white_space(text: bytes) -> bool:
    """Whether there may be white space beyond ASCII."""
    return not text.isascii() and any(lead in text for lead in _LEADS_OF_WHITE_SPACE)


def _touch_an_end(white: NDArray[np.int64], data: _Bytes, delimiter: str) -> bool:
    """Whether any of the white space may be at the beginning or end of a value; a second one beside it may be."""
    if not len(white):
        return False
    if white[0] == 0 or white[-1] + 1 == len(data):
        return True
    beside = data[np.concatenate([white - 1, white + 1])]
    return bool(((beside <= _SPACE) | (beside == _QUOTE) | (beside == ord(delimiter))).any())


def _bounds(line_feeds: NDArray[np.int64], size: int, ends_here: bool) -> NDArray[np.int64]:
    bounds = np.zeros(len(line_feeds) + 1, np.int64)
    np.add(line_feeds, 1, out=bounds[1:])
    return np.append(bounds, size) if ends_here and bounds[-1] < size else bounds


def _are_well_formed(quotes: _Bits, inside: _Bits, field_ends: _Bits, data: _Bytes) -> bool:
    """Whether every opening quote begins a field and every closing quote ends it.

    A doubled quote counts as a closing and an opening one side by side. `inside` is set from each opening quote
    to the byte before its closing one; `field_ends` are the delimiters and line feeds outside quotes.
    """
    if not len(data):
        return True
    last = len(data) - 1
    if _at(inside, np.array([last])).any():
        return False  # the last quote is never closed
    opening, closing = quotes & inside, quotes & ~inside
    field_begins = _next(field_ends)
    field_begins[0] |= np.uint64(1)
    if (opening & ~(field_begins | _next(closing))).any():
        return False
    may_follow = field_ends | opening | _bits(data, b"\r")
    may_follow[len(data) // 64] |= np.uint64(1) << np.uint64(len(data) % 64)  # so may the end of the text
    return not (_next(closing) & ~may_follow).any()


def _are_followed_by_line_feeds(at: NDArray[np.int64], data: _Bytes) -> bool:
    return not len(at) or bool(at[-1] + 1 < len(data) and (data[at + 1] == _LINE_FEED).all())


def _bits(data: _Bytes, byte: bytes) -> _Bits:
    """Where the text has a byte."""
    bits = np.zeros(len(data) // 64 + 1, np.uint64)
    for begin in range(0, len(data), _BLOCK):
        packed = np.packbits(data[begin : begin + _BLOCK] == ord(byte), bitorder="little")
        bits.view(np.uint8)[begin // 8 : begin // 8 + len(packed)] = packed
    return bits


def _white_space(data: _Bytes) -> NDArray[np.int64]:
    """The places of white space of one byte."""
    found = [np.flatnonzero(data[begin : begin + _BLOCK] <= _SPACE) + begin for begin in range(0, len(data), _BLOCK)]
    return np.concatenate([np.empty(0, np.int64), *found])


def _head(bits: _Bits, size: int) -> _Bits:
    """The bits of the first `size` bytes."""
    head = bits[: size // 64 + 1].copy()
    head[-1] &= np.uint64((1 << size % 64) - 1)
    return head


def _next(bits: _Bits) -> _Bits:
    """Every bit moved to the byte behind."""
    moved = bits << np.uint64(1)
    moved[1:] |= bits[:-1] >> np.uint64(63)
    return moved


def _odd_so_far(bits: _Bits) -> _Bits:
    """For every byte: whether the number of set bits up to and with it is odd."""
    odd = bits.copy()
    for distance in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(distance)
    odd_words = (odd >> np.uint64(63)).astype(np.bool_)
    odd_before = np.zeros(len(bits), np.bool_)
    np.logical_xor.accumulate(odd_words[:-1], out=odd_before[1:])
    odd[odd_before] ^= ~np.uint64(0)
    return odd


def _at(bits: _Bits, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    words, places = _in_words(positions)
    return ((bits[words] >> places) & np.uint64(1)).astype(np.bool_)


def _counts_before(bits: _Bits, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every position: how many bits before it are set."""
    before_word = np.zeros(len(bits), np.int64)
    np.cumsum(np.bitwise_count(bits[:-1]), out=before_word[1:])
    words, places = _in_words(positions)
    below = (np.uint64(1) << places) - np.uint64(1)
    return before_word[words] + np.bitwise_count(bits[words] & below)


def _in_words(positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The word of each position and its place in there; shifts, since divisions take several times as long."""
    return positions >> 6, (positions & 63).view(np.uint64)
