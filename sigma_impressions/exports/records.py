"""From decoded text to frames of raw strings, one row per record, by a fast and by an exact reader.

The fast reader takes whatever is well-formed (`structure.py`) at the speed of polars; the exact one is Python's
`csv` module and takes over, piece by piece, where the text is anything else. Both give the same frames.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa

from sigma_impressions.exports.decoding import DecodedText
from sigma_impressions.exports.headers import COLUMNS, WHITE_SPACE, Header, detect_delimiter, read_header
from sigma_impressions.exports.refused import RefusedFile
from sigma_impressions.exports.structure import Records, find_records

FIELD_LIMIT = 2**20
"""Characters a field may have (spec §3: 1 MiB)."""

RECORD_LIMIT = 32 * 2**20
"""Bytes a whole record may have: a line without end is refused before it fills the memory."""

PIECE = 16 * 2**20
"""Bytes of text that are turned into one frame."""

RAW_SCHEMA = {
    "row_number": pl.Int64,
    "is_complete": pl.Boolean,
    **dict.fromkeys(COLUMNS, pl.String),
    "text": pl.String,
}
"""The frames of raw rows: `is_complete` tells whether a row has as many fields as the header; the columns are as
they are written in the file, null where the file lacks them or the row is not complete; `text` is the row as it
is written, with its line end."""


@dataclass(frozen=True)
class Opened:
    """A decoded export file whose header is understood; its rows begin at byte `rows_start`."""

    path: Path
    header: Header
    rows_start: int


def open_export(text: DecodedText, extra_aliases: Mapping[str, Sequence[str]]) -> Opened:
    """Read the header line.

    Raises RefusedFile: "no header line", "malformed quoting", "field too large", "too many columns",
    "ambiguous header", "missing required column".
    """
    with text.path.open("rb") as source:
        start = _skip_blank_lines(source, text.start)
        delimiter = detect_delimiter(_header_line(source, start))
        record = next(iter(_exact_records(source, start, delimiter, "the header line")), None)
    if record is None:
        raise RefusedFile("no header line", "The file holds nothing but white space; export it again.")
    return Opened(text.path, read_header(record.fields, delimiter, extra_aliases), record.end)


def raw_rows(opened: Opened, piece: int = PIECE) -> Iterator[pl.DataFrame]:
    """The rows of a file as frames of RAW_SCHEMA, in order, each from about `piece` bytes of text.

    Blank lines give no row and no number. Raises RefusedFile: "malformed quoting", "field too large".
    """
    offset = opened.rows_start
    row_number = 1
    with opened.path.open("rb") as source:
        size = source.seek(0, 2)
        while offset < size:
            source.seek(offset)
            text = source.read(piece)
            fast = fast_rows(text, opened.header, row_number, ends_here=offset + len(text) == size)
            if fast is not None:
                frame, used = fast
                offset += used
            else:
                frame, offset = exact_rows(source, offset, opened.header, row_number, piece)
            row_number += frame.height
            if frame.height:
                yield frame


# --- the fast reader


def fast_rows(text: bytes, header: Header, row_number: int, *, ends_here: bool) -> tuple[pl.DataFrame, int] | None:
    """Read the complete records at the beginning of `text`; also returns how many bytes they take.

    None if the text is not well-formed, holds no complete record, or a field might be over the limit.
    """
    records = find_records(text, header.delimiter, ends_here=ends_here)
    if records is None or len(records.bounds) < 2 or np.diff(records.bounds).max() > FIELD_LIMIT:
        return None
    used = int(records.bounds[-1])
    texts = _texts(text, records)
    complete = records.delimiters == header.width - 1
    if complete.all():
        rows = _parse(memoryview(text)[:used], header, records.quoted)
        frame = rows.with_columns(
            pl.int_range(row_number, row_number + rows.height, dtype=pl.Int64).alias("row_number"),
            pl.lit(True).alias("is_complete"),
            texts,
        )
        expected = len(complete)
    else:
        blank = np.zeros(len(complete), np.bool_)
        single = np.flatnonzero(records.delimiters == 0)
        blank[single] = (texts.gather(single).str.strip_chars() == "").to_numpy()
        numbers = pl.Series("row_number", row_number - 1 + np.cumsum(~blank))
        whole, broken = pl.Series(complete), pl.Series(~complete & ~blank)
        rows = _parse(_join(text, records, complete), header, records.quoted)
        expected = int(complete.sum())
        if rows.height == expected:
            frame = pl.concat(
                [
                    rows.with_columns(numbers.filter(whole), pl.lit(True).alias("is_complete"), texts.filter(whole)),
                    pl.DataFrame([numbers.filter(broken), texts.filter(broken)]).with_columns(
                        pl.lit(False).alias("is_complete")
                    ),
                ],
                how="diagonal",
            ).sort("row_number")
    if rows.height != expected:
        return None  # polars sees other records than the bytes show: let the exact reader decide
    return frame.select(*RAW_SCHEMA), used


def _texts(text: bytes, records: Records) -> pl.Series:
    """The text of every record, without a copy."""
    array = pa.LargeStringArray.from_buffers(len(records.delimiters), pa.py_buffer(records.bounds), pa.py_buffer(text))
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series.alias("text")


def _join(text: bytes, records: Records, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> bytes:
    """The text of the wanted records; neighbours are copied together."""
    changes = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    edges = records.bounds[changes].tolist()
    return b"".join(text[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True))


def _parse(text: bytes | memoryview, header: Header, quoted: bool) -> pl.DataFrame:
    """The columns of records that all have the header's number of fields."""
    names = [f"field_{i}" for i in range(header.width)]
    # A header line of our own in front: at a file's very beginning polars would take some characters for a
    # byte order mark or a compressed file.
    source = b"".join(((header.delimiter.join(names) + "\n").encode(), text))
    frame = pl.read_csv(
        source,
        columns=[names[i] for i in sorted(header.positions.values())],
        separator=header.delimiter,
        quote_char='"' if quoted else None,
        infer_schema=False,
        empty_string_is_null=False,
    )
    return frame.select(
        pl.col(names[header.positions[column]]).alias(column)
        if column in header.positions
        else pl.lit(None, pl.String).alias(column)
        for column in COLUMNS
    )


# --- the exact reader


@dataclass(frozen=True)
class _Record:
    fields: list[str]
    text: str
    end: int


def exact_rows(source: BinaryIO, offset: int, header: Header, row_number: int, piece: int) -> tuple[pl.DataFrame, int]:
    """Read the records from byte `offset` on until they fill `piece` bytes or the file ends.

    Returns their frame and the offset behind them. Raises RefusedFile: "malformed quoting", "field too large".
    """
    positions = [header.positions.get(column) for column in COLUMNS]
    stop = offset + piece
    rows: list[tuple[int, bool, *tuple[str | None, ...]]] = []
    for record in _exact_records(source, offset, header.delimiter, f"row {row_number:,} or behind it"):
        offset = record.end
        if len(record.fields) == header.width:
            fields = record.fields
            values = [None if at is None else fields[at] for at in positions]
            rows.append((row_number, True, *values, record.text))
            row_number += 1
        elif len(record.fields) > 1 or record.text.strip(WHITE_SPACE):
            rows.append((row_number, False, *([None] * len(positions)), record.text))
            row_number += 1
        if offset >= stop:
            break
    return pl.DataFrame(rows, schema=RAW_SCHEMA, orient="row"), offset


class _Lines:
    r"""The lines of a file from an offset on, for `csv.reader`; remembers those of the current record.

    A line ends with `\n`, `\r\n` or, as in every spreadsheet, a lone `\r`.
    """

    def __init__(self, source: BinaryIO, offset: int) -> None:
        source.seek(offset)
        self._lines = chain.from_iterable(map(_split, iter(lambda: source.readline(RECORD_LIMIT + 1), b"")))
        self.offset = offset
        self.record: list[str] = []
        self.record_size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, size = next(self._lines)
        self.offset += size
        self.record_size += size
        if self.record_size > RECORD_LIMIT:
            raise RefusedFile(
                "field too large",
                f"The record before byte {self.offset:,} is longer than {RECORD_LIMIT:,} bytes; if a quote was "
                "opened there by mistake, close it.",
            )
        self.record.append(line)
        return line

    def next_record(self) -> None:
        self.record = []
        self.record_size = 0


def _split(line: bytes) -> Iterator[tuple[str, int]]:
    text = line.decode("utf-8", "replace")  # only a line that is too long, and refused, can be cut in a character
    if "\r" not in text.removesuffix("\r\n"):
        yield text, len(line)
        return
    for part in re.split(r"(?<=\r)(?!\n)", text):
        if part:
            yield part, len(part.encode())


def _exact_records(source: BinaryIO, offset: int, delimiter: str, where: str) -> Iterator[_Record]:
    if csv.field_size_limit() < FIELD_LIMIT:
        csv.field_size_limit(FIELD_LIMIT)  # it is the process's; raised only, so that nobody else is disturbed
    lines = _Lines(source, offset)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begin = lines.offset
        lines.next_record()
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise _refused(source, begin, error, where) from error
        if fields is None:
            return
        text = "".join(lines.record)
        if len(text) > FIELD_LIMIT and max(map(len, fields)) > FIELD_LIMIT:
            raise _too_large(begin, where)
        yield _Record(fields, text, lines.offset)


def _too_large(begin: int, where: str) -> RefusedFile:
    return RefusedFile(
        "field too large",
        f"The record that begins at byte {begin + 1:,} ({where}) has a field of more than {FIELD_LIMIT:,} "
        "characters; shorten it or leave its column out of the export.",
    )


def _refused(source: BinaryIO, begin: int, error: csv.Error, where: str) -> RefusedFile:
    if "field limit" in str(error):
        return _too_large(begin, where)
    return RefusedFile(
        "malformed quoting",
        f"In the record that begins at byte {begin + 1:,} ({where}) a quote is never closed or text follows a "
        f"closing quote ({error}); a field with quotes must be quoted and its quotes doubled.",
    )


# --- the header line


def _skip_blank_lines(source: BinaryIO, start: int) -> int:
    lines = _Lines(source, start)
    for line in lines:
        if line.strip(WHITE_SPACE):
            break
        lines.next_record()
        start = lines.offset
    return start


def _header_line(source: BinaryIO, start: int) -> str:
    """The header line; it goes on behind a line end that is inside quotes."""
    source.seek(start)
    text = source.read(FIELD_LIMIT).decode("utf-8", "replace")
    line_ends = [match.start() for match in re.finditer(r"[\r\n]", text)]
    first = text[: line_ends[0]] if line_ends else text
    quotes = 0
    begin = 0
    for end in [*line_ends, len(text)]:
        quotes += text.count('"', begin, end)
        if quotes % 2 == 0:
            return text[:end]
        begin = end
    return first  # a quote that is never closed: the reader will say so
