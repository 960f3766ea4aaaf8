"""Rows of a snapshot from CSV and newline-delimited JSON, record by record, so that none can fill the memory.

Both give texts alone: an ID such as 00123 stays what it is, and the contract knows the types.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import polars as pl
import pyarrow as pa

from sigma_impressions.delimiters import DECLARED_DELIMITER, likely_delimiters
from sigma_impressions.errors import ResourcesUnreadable
from sigma_impressions.lake.schemas import UTC_TIME
from sigma_impressions.upstream.contract import RESOURCES, ROWS_LIMIT, Contract, as_listed, as_text

T = TypeVar("T")

RECORD_LIMIT: Final = 2**20
"""Bytes that a record may have."""

COLUMN_LIMIT: Final = 1_000
"""Columns that a file may have."""

_BLOCK = 2**20

_CHUNK_ROWS = 20_000
"""Rows that are worth a frame: as Python's texts they take several times the memory."""

_NULLS = frozenset({"NULL", r"\N"})
"""What databases write into CSV for null; nothing is called so."""

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""By the first bytes, whatever the name is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def csv_frame(path: Path, limit: int, contract: Contract = RESOURCES) -> pl.DataFrame:
    """The columns of a CSV file of at most `limit` bytes, decompressed. Raises `ResourcesUnreadable`."""
    with _opened(path) as source:
        lines = _Lines(source, limit)
        # It is the process's: raised only, so that nobody else is disturbed.
        csv.field_size_limit(max(csv.field_size_limit(), RECORD_LIMIT))
        declaration, delimiter, header_line = _beginning(lines, contract)
        reader = csv.reader(chain([header_line], lines), delimiter=delimiter, strict=True)
        try:
            header = lines.next_of(reader) or []
            if len(header) > COLUMN_LIMIT:
                raise ResourcesUnreadable(f"its header has more than {COLUMN_LIMIT:,} columns")
            rows = _Rows(header, contract)
            places = [header.index(name) for name in rows.names]
            while (record := lines.next_of(reader)) is not None:
                if len(record) > len(header):
                    raise ResourcesUnreadable(f"row {rows.count + 1:,} has more fields than the header")
                if record:
                    fields = (record[at] if at < len(record) else None for at in places)
                    rows.add([None if field in _NULLS else field for field in fields])
        except csv.Error:
            line = len(declaration) + reader.line_num
            raise ResourcesUnreadable(f"the quoting at or before line {line:,} is malformed") from None
    return rows.frame(header)


def _beginning(lines: _Lines, contract: Contract) -> tuple[list[str], str, str]:
    """The line that declares the delimiter, if there is one, the delimiter, and the first line of the header.

    It is the delimiter under which that line has the required columns; of several, or of none, the likeliest.
    """
    first = lines.next_of(lines) or ""
    if declared := DECLARED_DELIMITER.fullmatch(first.rstrip("\r\n")):
        return [first], declared[1], lines.next_of(lines) or ""
    likely = likely_delimiters(first)
    # Of a header of several lines, or with malformed quotes, whoever reads it tells.
    headers = ((delimiter, next(csv.reader([first], delimiter=delimiter), [])) for delimiter in likely)
    return [], next((delimiter for delimiter, header in headers if {*contract.required} <= {*header}), likely[0]), first


def ndjson_frame(path: Path, limit: int, contract: Contract = RESOURCES) -> pl.DataFrame:
    """The columns of a file of one JSON object a line, of at most `limit` bytes, decompressed.

    Raises `ResourcesUnreadable`.
    """
    rows = _Rows(contract.schema, contract)
    found: dict[str, None] = {}
    with _opened(path) as source:
        lines = _Lines(source, limit)
        while (line := lines.next_of(lines)) is not None:
            if line.isspace():
                continue
            entry = _object(line, rows.count + 1)
            if not entry.keys() <= found.keys():
                found.update(dict.fromkeys(entry))
                if len(found) > COLUMN_LIMIT:
                    raise ResourcesUnreadable(f"its objects have more than {COLUMN_LIMIT:,} names")
            values = (entry.get(name) for name in rows.names)
            rows.add(
                [
                    value if value is None or (type(value) is str and value.isascii()) else _text(value, name, rows)
                    for name, value in zip(rows.names, values, strict=True)
                ]
            )
    return rows.frame(found)


def _object(line: str, row: int) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise ResourcesUnreadable(f"row {row:,} is no JSON object; write one a line")
    return entry


def _text(value: object, name: str, rows: _Rows) -> str | None:
    try:
        if isinstance(value, int) and rows.contract.schema[name] == UTC_TIME:
            return (_EPOCH + timedelta(microseconds=value)).isoformat()
        if isinstance(value, list) and isinstance(rows.contract.schema[name], pl.List):
            return as_listed(value)
        return as_text(value)
    except (ValueError, OverflowError):
        raise ResourcesUnreadable(
            f"{name} of row {rows.count + 1:,} is no text, number or truth value that can be read"
        ) from None


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


@contextmanager
def _opened(path: Path) -> Iterator[_Source]:
    """The content of a file, decompressed."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        compression = next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)
        yield pa.CompressedInputStream(file, compression) if compression else file


class _Lines:
    """The lines of a source, at most ROWS_LIMIT of `limit` bytes in all, and records of at most RECORD_LIMIT bytes.

    Raises `ResourcesUnreadable` for more.

    A reader that makes records of them is read by `next_of`, so that a record of many lines is seen as one.
    """

    def __init__(self, source: _Source, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._buffer = b""
        self._at = 0
        self._number = 0
        self._size = 0
        self._record_size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        while (end := self._buffer.find(b"\n", self._at) + 1) == 0:
            rest = self._buffer[self._at :]
            self._check(self._record_size + len(rest))
            block = self._source.read(_BLOCK)
            self._size += len(block)
            if self._size > self._limit:
                raise ResourcesUnreadable(f"it holds more than the {self._limit:,} bytes that are read")
            self._buffer, self._at = rest + block, 0
            if not block:
                end = len(rest)
                break
        line = self._buffer[self._at : end]
        if not line:
            raise StopIteration
        self._at = end
        self._number += 1
        if self._number > ROWS_LIMIT:
            raise ResourcesUnreadable(f"it has more than the {ROWS_LIMIT:,} lines that are read")
        self._record_size += len(line)
        self._check(self._record_size)
        try:
            return (line.removeprefix(codecs.BOM_UTF8) if self._number == 1 else line).decode()
        except UnicodeDecodeError:
            raise ResourcesUnreadable(f"line {self._number:,} is not valid UTF-8") from None

    def next_of(self, records: Iterator[T]) -> T | None:
        """The next record; None at the end."""
        self._record_size = 0
        return next(records, None)

    def _check(self, record_size: int) -> None:
        if record_size > RECORD_LIMIT:
            raise ResourcesUnreadable(f"the record at line {self._number + 1:,} has more than {RECORD_LIMIT:,} bytes")


class _Rows:
    """Rows that are collected: texts of those of the given columns that the contract knows."""

    def __init__(self, columns: Iterable[str], contract: Contract) -> None:
        self.contract = contract
        self.names = [name for name in contract.schema if name in set(columns)]
        self.count = 0
        self._waiting: list[Sequence[str | None]] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, row: Sequence[str | None]) -> None:
        """One more row, with a text for each of `names`."""
        self.count += 1
        self._waiting.append(row)
        if len(self._waiting) >= _CHUNK_ROWS:
            self._collect()

    def frame(self, found: Iterable[str]) -> pl.DataFrame:
        """The rows, with those columns that the file has; a file without any column is an empty snapshot."""
        present = list(found) or list(self.contract.required)
        if not set(self.contract.required) <= set(present):
            return pl.DataFrame(schema=dict.fromkeys(present, pl.String))  # the contract says what is missing
        self._collect()
        frame = pl.concat(self._frames, how="diagonal")
        lacking = [name for name in self.names if name in set(present) and name not in frame.columns]
        return frame.with_columns(pl.lit(None, pl.String).alias(name) for name in lacking)

    def _collect(self) -> None:
        columns = (
            dict(zip(self.names, map(list, zip(*self._waiting, strict=True)), strict=True)) if self._waiting else {}
        )
        # A column of nothing takes memory too.
        filled = {
            name: texts
            for name, texts in columns.items()
            if name in self.contract.required or any(map(_is_there, texts))
        }
        self._frames.append(pl.DataFrame(filled, dict.fromkeys((*self.contract.required, *filled), pl.String)))
        self._waiting = []


def _is_there(text: str | None) -> bool:
    return text is not None
