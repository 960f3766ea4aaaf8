"""From export files to their accepted and their rejected rows, in Parquet."""

from __future__ import annotations

import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA, Classified, classify
from sigma_impressions.exports.reading.decoding import decode
from sigma_impressions.exports.reading.parquet import write_frames
from sigma_impressions.exports.reading.records import PIECE, Opened, Piece, read_export
from sigma_impressions.exports.reading.references import hide_secrets
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.lake.schemas import REJECTED_ROWS, columns_of_a_file
from sigma_impressions.users import shape_of, without_addresses

Item = TypeVar("Item")
Result = TypeVar("Result")

REJECTED_SCHEMA = columns_of_a_file(REJECTED_ROWS)
REJECTED_TEXT_LIMIT = 2_000
"""Characters of a rejected row that are kept."""

EVENT_TYPES_NAMED = 100
"""Event types of a file that are counted by name: the most frequent ones."""

OTHER_TYPES = "other"

_TYPES_KNOWN = 10_000
_TYPE_CHARACTERS = 200
"""Event types that are told apart while a file is read, and the characters of each: nobody has as many."""

_WORKERS = 2
"""Pieces of a file that are worked on at the same time."""


@dataclass(frozen=True)
class NormalizedFile:
    """What a file held: `rows` = `accepted` + `rejected` + `skipped`, exactly.

    `reasons`: rejected rows per reason. `event_dates`: the distinct UTC days of the accepted rows, sorted.
    `warnings`: sentences about what was repaired. `unused_columns`: header cells nothing was read from. `event_types`:
    (type, rows with the right number of fields, accepted ones of them), the most frequent ones first; what is beyond
    EVENT_TYPES_NAMED is together in OTHER_TYPES, and "" stands for the rows without a type. `skipped_example`: why the
    first skipped row is one.
    """

    rows: int
    accepted: int
    rejected: int
    skipped: int
    reasons: dict[str, int]
    event_dates: tuple[date, ...]
    warnings: tuple[str, ...]
    unused_columns: tuple[str, ...]
    event_types: tuple[tuple[str, int, int], ...] = ()
    skipped_example: str | None = None


def normalize_file(
    path: Path,
    *,
    last_modified: datetime,
    rules: ReadingRules,
    accepted_to: Path,
    rejected_to: Path,
    scratch: Path,
    labels: Mapping[str, str] | None = None,
) -> NormalizedFile:
    """Read the export file whose bytes are at `path` and write its accepted and its rejected rows.

    `last_modified` is the object's, with its time zone; no row may be more than 24 h later. The Parquet files
    `accepted_to` and `rejected_to` have ACCEPTED_SCHEMA and REJECTED_SCHEMA, in row order, and a column with one
    value for each of the `labels`. What is put into the folder `scratch` meanwhile is gone at the end. Memory
    does not grow with the file.

    Raises RefusedFile if the file as a whole is unusable; the two Parquet files then do not exist.
    """
    constants = [pl.lit(value).alias(name) for name, value in (labels or {}).items()]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        decoded = decode(path, Path(folder))

        def write(opened: Opened, parts: Iterator[Piece]) -> NormalizedFile:
            tally = Tally()
            nothing = pl.DataFrame(schema=ACCEPTED_SCHEMA).with_columns(constants)
            is_semicolon = pl.lit(opened.header.delimiter == ";")

            def outcome(piece: Piece) -> tuple[Classified, pl.DataFrame]:
                rows = classify(piece.rows(), pl.lit(last_modified), rules, is_semicolon=is_semicolon)
                return rows, with_texts(rows.rejected, piece, rules).with_columns(constants)

            with tempfile.TemporaryDirectory(dir=folder) as spool:
                rejected = _Spool(Path(spool), pl.DataFrame(schema=REJECTED_SCHEMA).with_columns(constants))

                def accepted() -> Iterator[pl.DataFrame]:
                    for rows, bad in _map_ahead(outcome, parts):
                        tally.add(rows)
                        rejected.add(bad)
                        yield rows.accepted.with_columns(constants)

                write_frames(accepted(), nothing, accepted_to)
                write_frames(rejected.frames(), rejected.nothing, rejected_to)
            return tally.of_file(opened.warnings, opened.header.unused_columns)

        return read_export(decoded, rules, PIECE, Path(folder), write)


def with_texts(rejected: pl.DataFrame, piece: Piece, rules: ReadingRules) -> pl.DataFrame:
    """Rejected rows of a piece, as REJECTED_SCHEMA says; with pseudonyms, only the shape of their texts."""
    if not rejected.height:
        return rejected.drop("reference").with_columns(text=pl.lit(None, pl.String))
    written = piece.texts(rejected.get_column("row_number")).str.strip_chars_end("\r\n")
    are_complete = rejected.get_column("reason") != "wrong_field_count"
    shown = hide_secrets(written, rejected.get_column("reference"), are_complete).str.head(REJECTED_TEXT_LIMIT)
    texts = rejected.drop("reference").with_columns(shown.alias("text"))
    return texts if rules.pseudonyms is None else texts.with_columns(shape_of(pl.col("text")))


@dataclass
class Tally:
    """The counts of a file, while its rows go by."""

    accepted: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    event_dates: set[date] = field(default_factory=set)
    event_types: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped_example: str | None = None

    def add(self, rows: Classified) -> None:
        """Count some more rows of the file."""
        self.accepted += rows.accepted.height
        self.skipped += rows.skipped.height
        if self.skipped_example is None and rows.skipped.height:
            first = rows.skipped.get_column("row_number").arg_min() or 0
            self.skipped_example = _why_skipped(rows.skipped.row(first, named=True))
        self.reasons.update(rows.rejected.get_column("reason"))
        self.event_dates.update(rows.accepted.get_column("event_date").unique())
        for name, count, accepted in rows.event_types[["event_type", "rows", "accepted"]].iter_rows():
            self._count(name[:_TYPE_CHARACTERS], count, accepted)
        if len(self.event_types) > _TYPES_KNOWN:
            self._keep_frequent(_TYPES_KNOWN // 2)

    def _count(self, name: str, rows: int, accepted: int) -> None:
        before = self.event_types.get(name, (0, 0))
        self.event_types[name] = (before[0] + rows, before[1] + accepted)

    def _keep_frequent(self, most: int) -> None:
        """Count all but the most frequent event types together."""
        rare = sorted(self.event_types, key=lambda name: (-self.event_types[name][0], name))[most:]
        for counts in [self.event_types.pop(name) for name in rare]:
            self._count(OTHER_TYPES, *counts)

    def of_file(self, warnings: tuple[str, ...], unused_columns: tuple[str, ...]) -> NormalizedFile:
        """What the whole file held."""
        rejected = self.reasons.total()
        self._keep_frequent(EVENT_TYPES_NAMED)
        named = sorted(self.event_types.items(), key=lambda item: (-item[1][0], item[0]))
        return NormalizedFile(
            rows=self.accepted + rejected + self.skipped,
            accepted=self.accepted,
            rejected=rejected,
            skipped=self.skipped,
            reasons=dict(self.reasons),
            event_dates=tuple(sorted(self.event_dates)),
            warnings=warnings,
            unused_columns=unused_columns,
            event_types=tuple((name, *counts) for name, counts in named),
            skipped_example=self.skipped_example,
        )


def _why_skipped(row: Mapping[str, Any]) -> str:
    """Why a row of `Classified.skipped` is one; addresses are hidden."""
    if row["is_excluded"]:
        return "the user is excluded"
    column = "event_status" if (row["event_status"] or "success").lower() != "success" else "event_type"
    shown = pl.select(without_addresses(pl.lit((row[column] or "")[:_TYPE_CHARACTERS]))).item()
    return f"{column} is {shown!r}"


class _Spool:
    """Rejected rows, kept on disk until the file ends: there may be as many as rows."""

    def __init__(self, folder: Path, nothing: pl.DataFrame) -> None:
        self.nothing = nothing
        self._folder = folder
        self._last = nothing
        self._parts: list[Path] = []

    def add(self, rows: pl.DataFrame) -> None:
        if not rows.height:
            return
        if self._last.height:
            self._parts.append(self._folder / f"rejected-{len(self._parts)}.arrow")
            self._last.write_ipc(self._parts[-1], compression="zstd")
        self._last = rows

    def frames(self) -> Iterator[pl.DataFrame]:
        for part in self._parts:
            yield pl.scan_ipc(part, glob=False).collect()
        yield self._last


def _map_ahead(function: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """Like `map`, with the next items worked on in threads: polars alone does not keep the processors busy."""
    first, second = next(items, None), next(items, None)
    if first is None or second is None:
        yield from map(function, () if first is None else (first,))
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        for item in chain((first, second), items):
            waiting.append(pool.submit(function, item))
            if len(waiting) > _WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
