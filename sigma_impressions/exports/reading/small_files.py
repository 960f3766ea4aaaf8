"""Many small export files at once: a query over all their rows takes hardly longer than one over a single file's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain
from pathlib import Path

import numpy as np
import polars as pl
from polars._typing import PolarsDataType

from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA, Classified, classify
from sigma_impressions.exports.reading.decoding import decode
from sigma_impressions.exports.reading.normalize import (
    REJECTED_SCHEMA,
    NormalizedFile,
    Tally,
    with_texts,
)
from sigma_impressions.exports.reading.parquet import write_frames
from sigma_impressions.exports.reading.records import (
    PIECE,
    RAW_SCHEMA,
    Opened,
    Piece,
    WellFormedPiece,
    read_export,
    well_formed_piece,
)
from sigma_impressions.exports.reading.refused import RefusedFile
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.lake.schemas import UTC_TIME

SMALL_TEXT = 2**20
"""Bytes of text up to which files are read together."""


@dataclass(frozen=True)
class SmallFile:
    """An export file whose bytes are at `path`; its rows are labelled with `file_id`."""

    path: Path
    last_modified: datetime
    file_id: str


def normalize_small_files(
    files: Sequence[SmallFile],
    *,
    rules: ReadingRules,
    accepted_to: Path,
    rejected_to: Path,
    scratch: Path,
    labels: Mapping[str, str],
) -> list[NormalizedFile | RefusedFile | None]:
    """Like `normalize_file` for each of the files, with their rows in the same two Parquet files.

    All rows have their `file_id` beside the `labels`. An unusable file gives its refusal and no row; one whose
    text is longer than SMALL_TEXT gives None and no row, and is to be read by `normalize_file`.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        texts = [_read(file.path, rules, Path(folder)) for file in files]
    read = {file: text for file, text in enumerate(texts) if isinstance(text, _Text)}
    parts = [(file, piece) for file, text in read.items() for piece in text.pieces]
    rows = classify(
        pl.concat([_NOTHING, *_rows_of([piece for _, piece in parts])], rechunk=True).with_columns(
            _repeated("part", pl.Int64, range(len(parts)), parts),
            _repeated("last_modified", UTC_TIME, (files[file].last_modified for file, _ in parts), parts),
            _repeated("file_id", pl.String, (files[file].file_id for file, _ in parts), parts),
            _repeated("is_semicolon", pl.Boolean, (read[file].is_semicolon for file, _ in parts), parts),
        ),
        pl.col("last_modified"),
        rules,
        keep=("file_id", "part"),
        is_semicolon=pl.col("is_semicolon"),
    )
    everything = (rows.accepted, rows.rejected, rows.skipped, rows.event_types)
    by_part = [
        ({own.item(0, "part"): own for own in frame.partition_by("part")}, frame.clear()) for frame in everything
    ]
    tallies = [Tally() for _ in files]
    with_text = [rows.rejected.clear().drop("reference").with_columns(text=pl.lit(None, pl.String))]
    for part, (file, piece) in enumerate(parts):
        own = Classified(*(found.get(part, nothing) for found, nothing in by_part))
        tallies[file].add(own)
        if own.rejected.height:
            with_text.append(with_texts(own.rejected, piece, rules))
    constants = [pl.lit(value).alias(name) for name, value in labels.items()]
    for frame, schema, path in (
        (rows.accepted, ACCEPTED_SCHEMA, accepted_to),
        (pl.concat(with_text), REJECTED_SCHEMA, rejected_to),
    ):
        labelled = frame.select(*schema, "file_id", *constants)
        write_frames([labelled], labelled.clear(), path)
    return [
        tally.of_file(text.opened.warnings, text.opened.header.unused_columns) if isinstance(text, _Text) else text
        for tally, text in zip(tallies, texts, strict=True)
    ]


_NOTHING = pl.DataFrame(schema=RAW_SCHEMA)


@dataclass(frozen=True)
class _Text:
    """A file that was cut into pieces; they do not need the file any more."""

    opened: Opened
    pieces: list[Piece]

    @property
    def is_semicolon(self) -> bool:
        return self.opened.header.delimiter == ";"


def _read(path: Path, rules: ReadingRules, folder: Path) -> _Text | RefusedFile | None:
    """What a file holds; its decoded text in `folder` takes the place of the file's before."""
    try:
        decoded = decode(path, folder)
        if decoded.path.stat().st_size > SMALL_TEXT:
            return None
        return read_export(decoded, rules, SMALL_TEXT, folder, _all)
    except RefusedFile as refusal:
        return refusal


def _all(opened: Opened, parts: Iterator[Piece]) -> _Text:
    return _Text(opened, list(parts))


def _rows_of(parts: Sequence[Piece]) -> list[pl.DataFrame]:
    """The rows of each of some pieces, as its own `rows` gives them.

    Pieces whose headers are alike are parsed together, whatever files they are of: to begin a parse takes as long as
    thousands of rows.
    """
    rows: dict[int, pl.DataFrame] = {}
    alike: dict[object, dict[int, WellFormedPiece]] = {}
    for number, piece in enumerate(parts):
        if isinstance(piece, WellFormedPiece):
            form = (piece.header.delimiter, piece.header.fields, *piece.header.positions.items())
            together = alike.setdefault(form, {})
            together[number] = piece
            if sum(other.size for other in together.values()) > PIECE:
                rows |= _rows_together(alike.pop(form))
        else:
            rows[number] = piece.rows()
    for together in alike.values():
        rows |= _rows_together(together)
    return [rows[number] for number in range(len(parts))]


def _rows_together(parts: Mapping[int, WellFormedPiece]) -> dict[int, pl.DataFrame]:
    """The rows of numbered pieces whose headers are alike."""
    if len(parts) > 1:
        text = b"".join(chain.from_iterable(map(_lines, parts.values())))
        heights = [piece.height for piece in parts.values()]
        joined = well_formed_piece(text, next(iter(parts.values())).header, 1, ends_here=True)
        if joined is not None and (joined.size, joined.height) == (len(text), sum(heights)):
            numbers = [np.arange(piece.row_number, piece.row_number + piece.height) for piece in parts.values()]
            rows = joined.rows().with_columns(pl.Series("row_number", np.concatenate(numbers)))
            return {
                number: rows.slice(start, height)
                for number, start, height in zip(parts, accumulate([0, *heights[:-1]]), heights, strict=True)
            }
    return {number: piece.rows() for number, piece in parts.items()}


def _lines(piece: WellFormedPiece) -> tuple[bytes | memoryview, bytes]:
    """The records of a piece, and what the last of them lacks of a line end."""
    return memoryview(piece.text)[: piece.size], b"" if piece.text.endswith(b"\n", 0, piece.size) else b"\n"


def _repeated(
    name: str, dtype: PolarsDataType, values: Iterable[object], parts: Sequence[tuple[int, Piece]]
) -> pl.Series:
    """A column with the value of each part for each of its rows."""
    rows = np.repeat(np.arange(len(parts)), [piece.height for _, piece in parts])
    return pl.Series(name, list(values), dtype).gather(rows)
