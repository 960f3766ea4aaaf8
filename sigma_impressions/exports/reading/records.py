"""From decoded text to frames of raw strings, one row per record, by a fast and by an exact reader.

The fast reader takes whatever is well-formed (`structure.py`) at the speed of polars; the exact one is Python's
`csv` module and takes over, piece by piece, where the text is anything else. Both give the same frames.
"""

from __future__ import annotations

import codecs
import csv
import io
import mmap
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from sigma_impressions.delimiters import DECLARED_DELIMITER, DELIMITERS, likely_delimiters
from sigma_impressions.exports.reading.buffers import repeated
from sigma_impressions.exports.reading.decoding import DecodedText, holds_escaped_quotes, open_text, with_doubled_quotes
from sigma_impressions.exports.reading.headers import (
    COLUMNS,
    WHITE_SPACE,
    Header,
    other_format,
    read_header,
)
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.structure import Records, find_records
from sigma_impressions.exports.reading.values import values_of

Result = TypeVar("Result")

_Marks = NDArray[np.bool_]

FIELD_LIMIT = 2**20
"""Characters a field may have (docs/sigma-export.md, "Files")."""

RECORD_LIMIT = 32 * 2**20
"""Bytes a whole record may have: a line without end is refused before it fills the memory."""

PIECE = 8 * 2**20
"""Bytes of text that are best turned into one frame: smaller ones cost time, bigger ones only memory."""

PIECE_ROWS = 250_000
"""Rows a piece has at most: those of a few bytes each take a hundred times that in memory."""

_BLOCK = 256 * 2**10

RAW_SCHEMA = {
    "row_number": pl.Int64,
    "is_complete": pl.Boolean,
    **dict.fromkeys(COLUMNS, pl.String),
}
"""The frames of raw rows: `is_complete` tells whether a row has as many fields as the header; the columns are
values, null where one is absent, the file lacks the column or the row is not complete."""


@dataclass(frozen=True)
class Opened:
    """A decoded export file whose header is understood; its rows begin at byte `rows_start`."""

    path: Path
    header: Header
    rows_start: int
    warnings: tuple[str, ...]


def read_export(
    text: DecodedText,
    rules: ReadingRules,
    size: int,
    scratch: Path,
    use: Callable[[Opened, Iterator[Piece]], Result],
) -> Result:
    r"""Let `use` read the rows of a file, in pieces of about `size` bytes of text; what it makes of them is returned.

    It is called again, with all pieces from the first one on, if the file proves to be written in another way than
    its beginning looked like: with a delimiter behind the last field, or with `\"` for a quote.

    Raises RefusedFile, for the reasons of `open_export` and `pieces`.
    """
    try:
        return _read_rows(open_export(text, rules), size, use)
    except RefusedFile as refusal:
        if not _needs_doubled_quotes(text, rules, refusal):
            raise
        first = refusal
    try:
        return _read_rows(open_export(with_doubled_quotes(text, scratch), rules), size, use)
    except RefusedFile as refusal:
        raise (first if refusal.reason == first.reason else refusal) from None


def _read_rows(opened: Opened, size: int, use: Callable[[Opened, Iterator[Piece]], Result]) -> Result:
    """Let `use` read the rows; a delimiter behind the last field is looked for."""
    with_one_more = replace(opened, header=replace(opened.header, ends_in_delimiter=True))
    beginning = pieces(opened, size)
    first = next(beginning, None)
    if first is None:
        return use(opened, beginning)
    assumed = _is_usual(first.surplus, first.height)
    counted = _Counted(pieces(with_one_more, size) if assumed else chain((first,), beginning))
    del first
    result = use(with_one_more if assumed else opened, counted)
    if counted.is_surplus_usual == assumed:
        return result
    del result
    other = opened if assumed else with_one_more
    return use(other, pieces(other, size))


class _Counted:
    """Pieces, and while they go by the number of their rows and of those with an empty field too many."""

    def __init__(self, parts: Iterator[Piece]) -> None:
        self._parts = parts
        self._rows = 0
        self._surplus = 0

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        piece = next(self._parts)
        self._rows += piece.height
        self._surplus += piece.surplus
        return piece

    @property
    def is_surplus_usual(self) -> bool:
        return _is_usual(self._surplus, self._rows)


def _is_usual(surplus: int, rows: int) -> bool:
    return 2 * surplus > rows


def open_export(text: DecodedText, rules: ReadingRules) -> Opened:
    """Read the header line.

    Raises RefusedFile: "no header line", "not a CSV file", "malformed quoting", "field too large",
    "too many columns", "ambiguous header", "missing required column".
    """
    with open_text(text.path) as source:
        start, line, delimiters = _beginning(source, text.start)
        refusal: RefusedFile | None = None
        for delimiter in delimiters:
            try:
                record = next(_exact_records(source, start, delimiter, 0))
                header = read_header(
                    record.fields, delimiter, rules.extra_aliases, needs_event_type=bool(rules.event_types)
                )
            except RefusedFile as refused:
                refusal = refusal or refused  # that of the likeliest delimiter is told
            else:
                return Opened(text.path, header, record.end, (*text.warnings, *header.warnings))
    assert refusal is not None
    other = other_format(line) if refusal.reason == "malformed quoting" else None
    raise RefusedFile(refusal.reason, f"{refusal.detail} {other}") if other else refusal


class Piece(Protocol):
    """Consecutive records of a file; they are turned into rows by whoever wants them, in a thread of its own."""

    @property
    def height(self) -> int:
        """The number of rows."""
        ...

    @property
    def surplus(self) -> int:
        """How many of the rows have one field more than the header has cells, and that one empty."""
        ...

    def rows(self) -> pl.DataFrame:
        """The rows as a frame of RAW_SCHEMA, in order."""
        ...

    def texts(self, row_numbers: pl.Series) -> pl.Series:
        """Those rows as they are written in the file, with their line ends."""
        ...


def pieces(opened: Opened, size: int) -> Iterator[Piece]:
    """Cut the rows of a file into pieces of about `size` bytes of text.

    Blank lines give no row and no number. Raises RefusedFile: "malformed quoting", "field too large".
    """
    offset = opened.rows_start
    row_number = 1
    most = size
    with open_text(opened.path) as source:
        end = source.seek(0, os.SEEK_END)
        while (offset := _behind_blank_lines(source, offset, opened.header.delimiter)) < end:
            text = _lines_from(source, offset, most)
            piece: WellFormedPiece | ExactPiece | None = well_formed_piece(
                text, opened.header, row_number, ends_here=offset + len(text) == end
            )
            if piece is None:
                piece = exact_piece(source, offset, opened.header, row_number, size)
            offset += piece.size
            row_number += piece.height
            # Where rows or blank lines are so short that few bytes fill a piece, no more is looked at in vain.
            most = min(size, 2 * max(piece.size, _BLOCK))
            yield piece


def _lines_from(source: BinaryIO, offset: int, most: int) -> bytes:
    """At most so many bytes from an offset on: up to the end of the last line in there, if there is one near by.

    What is left of a record would be read again with the next piece, and what is before it would have to be copied.
    """
    size = min(_BLOCK, most)
    source.seek(offset + most - size)
    last = source.read(size)
    behind = size - 1 - last.rfind(b"\n") if len(last) == size and b"\n" in last else 0
    source.seek(offset)
    return source.read(most - behind)


# --- the fast reader


@dataclass(frozen=True)
class WellFormedPiece:
    """A piece whose records were found by their bytes: the fast reader's.

    `is_blank` marks the records that are blank lines; None if there is none. `height` is the number of rows,
    `surplus` that of those with an empty field too many.
    """

    text: bytes
    header: Header
    records: Records
    row_number: int
    height: int
    surplus: int
    is_blank: _Marks | None

    @property
    def size(self) -> int:
        """Bytes of the file that it takes."""
        return int(self.records.bounds[-1])

    def rows(self) -> pl.DataFrame:
        """The rows as a frame of RAW_SCHEMA."""
        is_complete = self.records.delimiters == self.header.fields - 1
        if is_complete.all():
            frame = self._parse(self.text[: self.size])  # all of a text is no copy
            if frame.height == self.height:
                are_complete = repeated(True, pl.Boolean, self.height).alias("is_complete")
                return frame.insert_column(0, self._row_numbers()).insert_column(1, are_complete)
        else:
            frame = self._parse(_join(self.text, self.records, is_complete))
            if frame.height == np.count_nonzero(is_complete):
                keys = pl.DataFrame([self._row_numbers(), pl.Series("is_complete", is_complete[self._is_row()])])
                complete, broken = keys.filter("is_complete"), keys.filter(~pl.col("is_complete"))
                both = pl.concat([pl.concat([complete, frame], how="horizontal"), broken], how="diagonal")
                return both.sort("row_number")
        # polars sees other records than the bytes show. No such text is known; the exact reader is always right.
        return self._read_exactly().rows()

    def texts(self, row_numbers: pl.Series) -> pl.Series:
        """Those rows as they are written in the file, with their line ends."""
        records = np.flatnonzero(self._is_row())[(row_numbers - self.row_number).to_numpy()]
        return _texts(self.text, self.records).gather(records)

    def _row_numbers(self) -> pl.Series:
        return pl.Series("row_number", np.arange(self.row_number, self.row_number + self.height))

    def _is_row(self) -> _Marks:
        return np.ones(self.height, np.bool_) if self.is_blank is None else ~self.is_blank

    def _read_exactly(self) -> ExactPiece:
        return exact_piece(io.BytesIO(self.text[: self.size]), 0, self.header, self.row_number, self.size)

    def _parse(self, text: bytes) -> pl.DataFrame:
        """The columns of records that all have the header's number of fields."""
        positions = self.header.positions
        names = [f"column_{i}" for i in range(self.header.fields)]  # polars wants this prefix where there is no header
        # At a file's very beginning polars takes some characters for a byte order mark or a compressed file. With a
        # line of our own in front it does not, but that is a copy of the text.
        line = b"" if text[:1] in _SAFE_BEGINNINGS else (self.header.delimiter.join(names) + "\n").encode()
        frame = pl.read_csv(
            line + text if line else text,
            has_header=bool(line),
            schema=dict.fromkeys(names, pl.String),
            columns=[names[i] for i in sorted(positions.values())],
            separator=self.header.delimiter,
            quote_char='"' if self.records.quoted else None,
            empty_string_is_null=True,
        )
        columns = pl.DataFrame([frame.get_column(names[at]).alias(name) for name, at in positions.items()])
        # polars parses in chunks; all that follows is quicker over one.
        return _values(columns.rechunk(), is_trimmed=not self.records.padded)


_SAFE_BEGINNINGS = frozenset(bytes([byte]) for byte in b'0123456789"')
"""Characters with which neither a byte order mark nor a compressed file begins."""


def well_formed_piece(text: bytes, header: Header, row_number: int, *, ends_here: bool) -> WellFormedPiece | None:
    """The complete records at the beginning of `text`; `ends_here` if the file ends with it.

    None if the text is not well-formed, holds no complete record, or a field might be over the limit.
    """
    records = find_records(text, header.delimiter, ends_here=ends_here)
    if records is None or len(records.bounds) < 2 or np.diff(records.bounds).max() > FIELD_LIMIT:
        return None
    records = records.head(PIECE_ROWS)
    height = len(records.delimiters)
    surplus = _count_surplus(text, records, header)
    single = np.flatnonzero(records.delimiters == 0)
    if not len(single):
        return WellFormedPiece(text, header, records, row_number, height, surplus, None)
    is_blank = np.zeros(height, np.bool_)
    # Most blank lines are nothing but a line end, which costs less to see.
    is_empty = np.isin(np.frombuffer(text, np.uint8)[records.bounds[single]], list(b"\r\n"))
    is_blank[single[is_empty]] = True
    others = single[~is_empty]
    if len(others):
        is_blank[others] = (_texts(text, records).gather(others).str.strip_chars() == "").to_numpy()
    return WellFormedPiece(text, header, records, row_number, height - int(is_blank.sum()), surplus, is_blank)


def _count_surplus(text: bytes, records: Records, header: Header) -> int:
    """How many records have one field more than the header has cells, and that one empty."""
    longer = np.flatnonzero(records.delimiters == header.width)
    if not len(longer):
        return 0
    data = np.frombuffer(text, np.uint8)
    last = records.bounds[longer + 1] - 1
    for line_end in b"\n\r":
        last -= data[last] == line_end
    ends_in_delimiter = data[last] == ord(header.delimiter)
    if ends_in_delimiter.all():
        return len(longer)
    others = _texts(text, records).gather(longer[~ends_in_delimiter])
    return int(ends_in_delimiter.sum()) + int(others.str.contains(_BLANK_LAST_FIELD[header.delimiter]).sum())


_BLANK_LAST_FIELD = {
    delimiter: rf'[{delimiter}](?:[{WHITE_SPACE}]*|"[{WHITE_SPACE}]*")(?:\r?\n)?\z' for delimiter in DELIMITERS
}
"""At the end of a record, by delimiter. Where quotes are well-formed, none of it can be within another field."""


def _texts(text: bytes, records: Records) -> pl.Series:
    """The text of every record, without a copy."""
    array = pa.LargeStringArray.from_buffers(len(records.delimiters), pa.py_buffer(records.bounds), pa.py_buffer(text))
    # As a batch: the conversion of a single array imports all of pyarrow's functions, which takes longer than a file.
    frame = pl.from_arrow(pa.RecordBatch.from_arrays([array], ["text"]))
    assert isinstance(frame, pl.DataFrame)
    return frame.to_series()


def _values(fields: pl.DataFrame, *, is_trimmed: bool) -> pl.DataFrame:
    """The values of some of COLUMNS, as RAW_SCHEMA says, from what stands in the fields; the others are added."""
    trimmed = fields if is_trimmed else fields.select(pl.all().str.strip_chars())
    columns = dict(zip(trimmed.columns, map(values_of, trimmed), strict=True))
    lacking = repeated(None, pl.String, fields.height)
    return pl.DataFrame([columns.get(column, lacking.alias(column)) for column in COLUMNS])


def _join(text: bytes, records: Records, wanted: _Marks) -> bytes:
    """The text of the wanted records; neighbours are copied together."""
    changes = np.flatnonzero(np.diff(wanted, prepend=False, append=False))
    edges = records.bounds[changes].tolist()
    return b"".join(text[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True))


# --- the exact reader


class _Record(NamedTuple):
    """A record, its text with its line end, and the offset behind it."""

    fields: list[str]
    text: str
    end: int

    @property
    def is_blank(self) -> bool:
        return len(self.fields) <= 1 and not self.text.strip(WHITE_SPACE)


@dataclass(frozen=True)
class ExactPiece:
    """A piece that is read already: the exact reader's. It takes `size` bytes of the file.

    `surplus` is the number of rows with an empty field too many.
    """

    frame: pl.DataFrame
    written: pl.Series
    row_number: int
    size: int
    surplus: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.frame.height

    def rows(self) -> pl.DataFrame:
        """The rows as a frame of RAW_SCHEMA."""
        return self.frame

    def texts(self, row_numbers: pl.Series) -> pl.Series:
        """Those rows as they are written in the file, with their line ends."""
        return self.written.gather(row_numbers - self.row_number)


def exact_piece(source: BinaryIO, offset: int, header: Header, row_number: int, size: int) -> ExactPiece:
    """Read the records from byte `offset` on until they fill `size` bytes or the file ends.

    Raises RefusedFile: "malformed quoting", "field too large".
    """
    end = offset
    surplus = 0
    texts: list[str] = []
    is_complete: list[bool] = []
    complete: list[list[str] | None] = []
    for record in _exact_records(source, offset, header.delimiter, row_number):
        end = record.end
        if len(record.fields) == header.fields or not record.is_blank:
            texts.append(record.text)
            surplus += len(record.fields) == header.width + 1 and not record.fields[-1].strip(WHITE_SPACE)
            is_complete.append(len(record.fields) == header.fields)
            complete.append(record.fields if is_complete[-1] else None)
        if end - offset >= size or len(texts) == PIECE_ROWS:
            break
    else:
        end = source.seek(0, os.SEEK_END)  # behind the blank lines that follow the last record
    fields = {
        column: [None if record is None else record[at] for record in complete]
        for column, at in header.positions.items()
    }
    keys = {"row_number": range(row_number, row_number + len(texts)), "is_complete": is_complete}
    values = _values(pl.DataFrame(fields, dict.fromkeys(fields, pl.String)), is_trimmed=False)
    frame = pl.concat([pl.DataFrame(keys, {name: RAW_SCHEMA[name] for name in keys}), values], how="horizontal")
    return ExactPiece(frame, pl.Series(texts, dtype=pl.String), row_number, end - offset, surplus)


class _Lines:
    r"""The lines of a file from an offset on, for `csv.reader`; remembers those of the current record.

    A line ends with `\n`, `\r\n` or, as in every spreadsheet, a lone `\r`. Blank lines between records are passed
    over many at once: there may be a gigabyte of them.
    """

    def __init__(self, source: BinaryIO, offset: int, delimiter: str) -> None:
        source.seek(offset)
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._white = _WHITE[delimiter]
        self._text = ""
        self._at = 0
        self.offset = offset
        self.record: list[str] = []
        self.record_size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        searched = self._at
        while (found := _LINE_END.search(self._text, searched)) is None:
            left = len(self._text) - self._at
            if left > RECORD_LIMIT:
                raise _RecordTooLarge
            if not self._read_on():
                break
            searched = left
        text = self._take(found.end() if found else len(self._text))
        if not text:
            raise StopIteration
        if self.record_size > RECORD_LIMIT:
            raise _RecordTooLarge
        self.record.append(text)
        return text

    def next_record(self) -> None:
        """Go behind the blank lines that follow; a line that goes on for longer than a block is left."""
        # Nearly every record begins at once: to match takes a quarter of the time of reading one.
        while self._text[self._at : self._at + 1] in WHITE_SPACE:
            white = self._white.match(self._text, self._at)
            end = white.end() if white else self._at
            self._take(1 + max(self._text.rfind(line_end, self._at, end) for line_end in "\r\n") or self._at)
            if end < len(self._text) or end - self._at > _BLOCK or not self._read_on():
                break
        self.record = []
        self.record_size = 0

    def _take(self, end: int) -> str:
        taken = self._text[self._at : end]
        self._at = end
        size = len(taken.encode())
        self.offset += size
        self.record_size += size
        return taken

    def _read_on(self) -> bool:
        r"""Read more of the file behind what is left of the text, never one half of `\r\n`; false at the file's end."""
        rest = self._text[self._at :]
        block = self._source.read(max(_BLOCK, len(rest)))
        if block.endswith(b"\r"):
            following = self._source.read(1)
            if following == b"\n":
                block += following
            else:
                self._source.seek(-len(following), os.SEEK_CUR)
        self._text, self._at = rest + self._decoder.decode(block, not block), 0
        return bool(block)


_LINE_END = re.compile(r"\r\n?|\n")

_WHITE = {delimiter: re.compile(f"[{WHITE_SPACE.replace(delimiter, '')}]*+") for delimiter in DELIMITERS}
"""White space that is no delimiter, by delimiter."""


def _behind_blank_lines(source: BinaryIO, offset: int, delimiter: str) -> int:
    """The offset behind the blank lines at `offset`, where a record would begin."""
    lines = _Lines(source, offset, delimiter)
    lines.next_record()
    return lines.offset


class _RecordTooLarge(Exception):
    """A record is over RECORD_LIMIT."""


def _exact_records(source: BinaryIO, offset: int, delimiter: str, row_number: int) -> Iterator[_Record]:
    """The records from byte `offset` on; `row_number` is that of the first, 0 for the header line."""
    if csv.field_size_limit() < FIELD_LIMIT:
        csv.field_size_limit(FIELD_LIMIT)  # it is the process's; raised only, so that nobody else is disturbed
    lines = _Lines(source, offset, delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.next_record()
        begin = lines.offset
        try:
            fields = next(reader, None)
        except csv.Error as error:
            is_too_large = "field limit" in str(error) and not _is_never_closed(source, begin, delimiter)
            raise (_too_large if is_too_large else _malformed)(begin, row_number) from error
        except _RecordTooLarge as error:
            raise _too_large(begin, row_number) from error
        if fields is None:
            return
        record = _Record(fields, "".join(lines.record), lines.offset)
        if len(record.text) > FIELD_LIMIT and max(map(len, fields)) > FIELD_LIMIT:
            raise _too_large(begin, row_number)
        yield record
        row_number += not record.is_blank


def _is_never_closed(source: BinaryIO, begin: int, delimiter: str) -> bool:
    """Whether the first field over the limit, of the record at byte `begin`, has a quote that is never closed."""
    ends = rb"%s\r\n" % re.escape(delimiter.encode())
    # A field of so few bytes has as few characters; most are skipped like this, many at once.
    short_plain_fields = re.compile(rb'(?:(?:[^"%s][^%s]{0,%d}+)?+[%s])*+' % (ends, ends, FIELD_LIMIT - 1, ends))
    plain_field = re.compile(rb'[^"%s][^%s]*+' % (ends, ends))
    quoted_field = re.compile(rb'"(?:[^"]++|"")*+')
    with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while True:
            short = short_plain_fields.match(data, begin)
            begin = short.end() if short else begin
            if quoted := quoted_field.match(data, begin):
                if quoted.end() == len(data):
                    return True
                start, end, next_field = begin + 1, quoted.end(), quoted.end() + 2
            elif plain := plain_field.match(data, begin):
                start, end, next_field = begin, plain.end(), plain.end() + 1
            else:
                return False
            # More bytes than so many characters can have need no copy.
            if end - start > 4 * FIELD_LIMIT:
                return False
            field = data[start:end].replace(b'""', b'"') if quoted else data[start:end]
            if len(field.decode("utf-8", "replace")) > FIELD_LIMIT:
                return False
            begin = next_field


def _too_large(begin: int, row_number: int) -> RefusedFile:
    return RefusedFile(
        "field too large",
        f"{_place(begin, row_number)} has a field of more than {FIELD_LIMIT:,} characters, or more than "
        f"{RECORD_LIMIT:,} bytes in all; shorten the field or leave its column out of the export.",
    )


def _malformed(begin: int, row_number: int) -> RefusedFile:
    return RefusedFile(
        "malformed quoting",
        f"In {_place(begin, row_number).lower()} a quote is never closed, or text follows a closing quote; a field "
        "that begins with a quote must end with one, and quotes within it must be doubled.",
    )


def _place(begin: int, row_number: int) -> str:
    return (
        f"{f'Row {row_number:,}' if row_number else 'The header line'}, which begins at byte {begin + 1:,} of the text,"
    )


# --- where standard quoting fails


def _needs_doubled_quotes(text: DecodedText, rules: ReadingRules, refusal: RefusedFile) -> bool:
    r"""Whether a file was refused that is to be read with `\"` for a quote: one whose quoting is malformed."""
    if refusal.reason in ("no header line", "not a CSV file") or not holds_escaped_quotes(text):
        return False
    if refusal.reason == "malformed quoting":
        return True
    # A quote that is taken for another one may also have made a field too large, or hidden a column.
    try:
        opened = open_export(text, rules)
        start, delimiter = opened.rows_start, opened.header.delimiter
    except RefusedFile:
        with text.path.open("rb") as source:
            start, _, (delimiter, *_) = _beginning(source, text.start)
    return not _is_well_quoted(text.path, start, delimiter)


def _is_well_quoted(path: Path, start: int, delimiter: str) -> bool:
    """Whether every quote that begins a field is closed, at the field's end."""
    ends = rb"%s\r\n" % re.escape(delimiter.encode())
    field = rb'(?:"(?:[^"]++|"")*+"|[^"%s][^%s]*+)?+' % (ends, ends)
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.compile(rb"(?:%s[%s])*+%s" % (field, ends, field)).match(data, start)
        return found is not None and found.end() == len(data)


# --- the header line


def _beginning(source: BinaryIO, start: int) -> tuple[int, str, list[str]]:
    """Where the header line begins, its text, and the delimiters that it may have, the likeliest first.

    Raises RefusedFile: "no header line", "not a CSV file".
    """
    start = _skip_blank_lines(source, start)
    text = _text_from(source, start)
    declared = DECLARED_DELIMITER.match(text)
    if declared:
        start = _skip_blank_lines(source, start + declared.end())
        text = _text_from(source, start)
    if not text:
        raise RefusedFile("no header line", "The file holds nothing but white space; export it again.")
    line = _header_line(text)
    if "\0" in line:
        raise RefusedFile(
            "not a CSV file",
            "Its header line holds NUL bytes, which no text has: it is packed, or in another format; choose CSV as "
            "the format of the export, compressed with gzip or not at all.",
        )
    return start, line, [declared[1]] if declared else likely_delimiters(line)


def _text_from(source: BinaryIO, start: int) -> str:
    """The beginning of the text behind byte `start`, as much as a header line may have."""
    source.seek(start)
    return source.read(FIELD_LIMIT).decode("utf-8", "replace")


def _skip_blank_lines(source: BinaryIO, start: int) -> int:
    """Offset of the first line that holds more than white space, or of the file's end.

    There may be a gigabyte of blank lines before it, hence not line by line.
    """
    source.seek(start)
    decoder = codecs.getincrementaldecoder("utf-8")()
    line_start = offset = start
    while block := source.read(_BLOCK):
        text = decoder.decode(block)
        white = text[: len(text) - len(text.lstrip(WHITE_SPACE))]
        last_line = max(white.rfind("\n"), white.rfind("\r")) + 1
        if last_line:
            line_start = offset + len(white[:last_line].encode())
        if len(white) < len(text):
            return line_start
        offset += len(text.encode())
    return offset


def _header_line(text: str) -> str:
    """The first line; it goes on behind a line end that is inside quotes."""
    quotes = begin = 0
    for line_end in re.finditer(r"[\r\n]|\Z", text):
        quotes += text.count('"', begin, line_end.start())
        if quotes % 2 == 0:
            return text[: line_end.start()]
        begin = line_end.start()
    return re.split(r"[\r\n]", text, maxsplit=1)[0]  # a quote that is never closed: the reader will say so
