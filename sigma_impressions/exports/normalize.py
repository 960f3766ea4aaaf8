"""From one export file to its accepted and its rejected rows, in Parquet (spec §4)."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from sigma_impressions.exports.decoding import decode
from sigma_impressions.exports.headers import COLUMNS, normalize_name
from sigma_impressions.exports.records import PIECE, open_export, pieces
from sigma_impressions.exports.refused import RefusedFile
from sigma_impressions.exports.times import parse_times

Item = TypeVar("Item")
Result = TypeVar("Result")

NORMALIZATION_VERSION = 1
"""Raised whenever the same file would give other rows than before, so that it is read again."""

ACCEPTED_SCHEMA: dict[str, pl.DataType] = {
    "row_number": pl.Int64(),
    "request_time": pl.Datetime("us", "UTC"),
    "event_date": pl.Date(),
    "user_email": pl.String(),
    "workbook_url_id": pl.String(),
    "element_id": pl.String(),
    "count": pl.Int64(),
    "event_id": pl.String(),
}
REJECTED_SCHEMA: dict[str, pl.DataType] = {
    "row_number": pl.Int64(),
    "reason": pl.String(),
    "text": pl.String(),
}

ABSENT_VALUES = ("", r"\N", "null", "NULL")
EARLIEST_TIME = datetime(2010, 1, 1, tzinfo=UTC)
LATEST_AFTER_LAST_MODIFIED = timedelta(hours=24)
LARGEST_COUNT = 1_000_000_000
REJECTED_TEXT_LIMIT = 2_000
"""Characters of a rejected row that are kept."""

_WORKERS = 2
"""Pieces of a file that are worked on at the same time."""


@dataclass(frozen=True)
class ReadingRules:
    """The settings that decide what rows a file gives.

    `time_zone`: IANA zone of times without an offset. `excluded_users`: lower-cased e-mails, or globs with `*`
    (any characters) and `?` (any one). `extra_aliases`: column -> more accepted header names.

    Raises ValueError if `extra_aliases` names an unknown column, or a header name that has no letter or digit or
    already stands for another column.
    """

    time_zone: str = "UTC"
    excluded_users: tuple[str, ...] = ()
    extra_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owners = {name: column for column, aliases in COLUMNS.items() for name in (column, *aliases)}
        for column, aliases in self.extra_aliases.items():
            if column not in COLUMNS:
                raise ValueError(f"no column is called {column!r}; the columns are {', '.join(COLUMNS)}")
            for alias in aliases:
                name = normalize_name(alias)
                if not name:
                    raise ValueError(f"the alias {alias!r} of {column} holds no ASCII letter or digit")
                if owners.setdefault(name, column) != column:
                    raise ValueError(f"the alias {alias!r} of {column} already stands for {owners[name]}")

    def fingerprint(self) -> str:
        """A short hash that changes whenever the same file could give other rows."""
        rules = {
            "version": NORMALIZATION_VERSION,
            "time_zone": self.time_zone,
            "excluded_users": sorted(set(self.excluded_users)),
            "extra_aliases": {
                column: sorted(set(map(normalize_name, aliases)))
                for column, aliases in self.extra_aliases.items()
                if aliases
            },
        }
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class NormalizedFile:
    """What a file held: `rows` = `accepted` + `rejected` + `skipped`, exactly.

    `reasons`: rejected rows per reason. `event_dates`: the distinct UTC days of the accepted rows, sorted.
    `warnings`: sentences about what was repaired. `unused_columns`: header cells nothing was read from.
    """

    rows: int
    accepted: int
    rejected: int
    skipped: int
    reasons: dict[str, int]
    event_dates: tuple[date, ...]
    warnings: tuple[str, ...]
    unused_columns: tuple[str, ...]


def normalize_file(
    path: Path,
    *,
    last_modified: datetime,
    rules: ReadingRules,
    accepted_to: Path,
    rejected_to: Path,
    scratch: Path,
) -> NormalizedFile:
    """Read the export file whose bytes are at `path` and write its accepted and its rejected rows.

    `last_modified` is the object's, with its time zone; no row may be more than 24 h later. The Parquet files
    `accepted_to` and `rejected_to` have ACCEPTED_SCHEMA and REJECTED_SCHEMA, in row order. What is put into the
    folder `scratch` meanwhile is gone at the end. Memory does not grow with the file.

    Raises RefusedFile if the file as a whole is unusable; the two Parquet files then do not exist.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        decoded = decode(path, Path(folder))
        opened = open_export(decoded, rules.extra_aliases)
        tally = _Tally()
        rejected = _Spool(Path(folder))
        outcomes = _map_ahead(lambda piece: classify(piece.rows(), pl.lit(last_modified), rules), pieces(opened, PIECE))
        _write(_accepted(outcomes, tally, rejected), accepted_to)
        rejected.write(rejected_to)
    return NormalizedFile(
        rows=tally.accepted + tally.skipped + sum(tally.reasons.values()),
        accepted=tally.accepted,
        rejected=sum(tally.reasons.values()),
        skipped=tally.skipped,
        reasons=dict(tally.reasons),
        event_dates=tuple(sorted(tally.event_dates)),
        warnings=decoded.warnings,
        unused_columns=opened.header.unused_columns,
    )


_CHECKS = {
    "wrong_field_count": pl.col("is_complete"),
    "missing_request_time": pl.col("has_time"),
    "unparseable_request_time": pl.col("request_time").is_not_null(),
    "request_time_out_of_range": pl.col("is_in_range"),
    "missing_user_email": pl.col("user_email").is_not_null(),
    "missing_workbook_url_id": pl.col("workbook_url_id").is_not_null() & (pl.col("workbook_url_id") != ""),
    "invalid_count": pl.col("count").is_not_null(),
}
"""What every row has to hold, by the reason for which it is rejected otherwise; the first that applies is given."""

REASONS = tuple(_CHECKS)

# Expressions are built once: with thousands of small files a day, building them took as long as evaluating them.
_TRIMMED = [
    pl.when(~value.is_in(ABSENT_VALUES)).then(value).alias(column)
    for column in COLUMNS
    for value in (pl.col(column).str.strip_chars(),)
]
_REASON = pl.coalesce(
    pl.when(~check).then(pl.lit(number, pl.UInt8)) for number, check in enumerate(_CHECKS.values())
).alias("reason")
_LOWER_EMAIL = pl.col("user_email").str.to_lowercase()
_EVENT_DATE = pl.col("request_time").dt.date().alias("event_date")
_IS_VIEW = pl.col("event_status").is_null() | (pl.col("event_status").str.to_lowercase() == "success")
_CLASSIFIED = [pl.col(name) for name in (*ACCEPTED_SCHEMA, "reason", "is_skipped", "text")]
_ACCEPTED = [pl.col(name) for name in ACCEPTED_SCHEMA]


def classify(raw: pl.DataFrame, last_modified: pl.Expr, rules: ReadingRules) -> pl.DataFrame:
    """Turn raw rows (RAW_SCHEMA) into values, and decide for each row what it is.

    `last_modified` is an expression over `raw`. The result has the columns of ACCEPTED_SCHEMA and `text`;
    `reason`, an index into REASONS, is null unless the row is rejected; `is_skipped` tells whether it is skipped.
    """
    values = raw.with_columns(_TRIMMED)
    time = values.get_column("request_time")
    parsed = values.with_columns(
        parse_times(time, rules.time_zone),
        parse_counts(values.get_column("count")),
        reduce_workbook_urls(values.get_column("workbook_url_id")),
        time.is_not_null().alias("has_time"),
    )
    is_in_range = pl.col("request_time").is_between(EARLIEST_TIME, last_modified + LATEST_AFTER_LAST_MODIFIED)
    is_skipped = pl.col("reason").is_null() & ~(_IS_VIEW & ~_is_excluded(rules.excluded_users))
    return (
        parsed.lazy()
        .with_columns(_LOWER_EMAIL, _EVENT_DATE, is_in_range.alias("is_in_range"))
        .with_columns(_REASON)
        .with_columns(is_skipped.alias("is_skipped"))
        .select(_CLASSIFIED)
        .collect()
    )


def parse_counts(texts: pl.Series) -> pl.Series:
    """Counts from trimmed texts: 1 where the text is null, null where it is no count."""
    number = r"^0*([0-9]{1,10})(?:\.0+)?$"
    text = pl.col("text")
    if texts.null_count() == len(texts):
        counted = pl.lit(1, pl.Int64)
    elif texts.str.contains(r"^[0-9]{1,10}$").all():  # nulls do not count
        counted = text.cast(pl.Int64).fill_null(1)
    else:
        counted = pl.when(text.is_null()).then(1).otherwise(text.str.extract(number).cast(pl.Int64))
    valid = pl.when(counted.is_between(1, LARGEST_COUNT)).then(counted)
    return texts.to_frame("text").with_columns(valid.alias(texts.name)).get_column(texts.name)


def reduce_workbook_urls(texts: pl.Series) -> pl.Series:
    """URL IDs from trimmed texts that are URL IDs, UUIDs or workbook URLs; "" for a URL that ends in `-`.

    Of a URL only the path counts: a query or fragment may hold another URL.
    """
    if not texts.str.contains("/", literal=True).any():
        return texts
    text = pl.col("text")
    segment = text.str.extract(r"^[^?#]*/(?:workbook|b)/([^/?#]+)")
    url_id = pl.coalesce(segment.str.replace(r"(?s)^.*-", ""), text)
    return texts.to_frame("text").select(url_id.alias(texts.name)).to_series()


def _is_excluded(excluded_users: tuple[str, ...]) -> pl.Expr:
    if not excluded_users:
        return pl.lit(False)
    return pl.col("user_email").str.contains(f"(?s)^(?:{'|'.join(map(_glob, excluded_users))})$")


def _glob(pattern: str) -> str:
    """A regular expression for a glob in which only `*` and `?` are special."""
    return "".join({"*": ".*", "?": "."}.get(part, pl.escape_regex(part)) for part in re.split(r"([*?])", pattern))


# --- writing


@dataclass
class _Tally:
    """The counts of a file, while its rows go by."""

    accepted: int = 0
    skipped: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    event_dates: set[date] = field(default_factory=set)


class _Spool:
    """Rejected rows, kept on disk until the file ends: there may be as many as rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: pl.DataFrame | None = None
        self._parts: list[Path] = []

    def add(self, rows: pl.DataFrame) -> None:
        if self._last is not None:
            self._parts.append(self._folder / f"rejected-{len(self._parts)}.arrow")
            self._last.write_ipc(self._parts[-1])
        self._last = rows

    def write(self, path: Path) -> None:
        last = pl.DataFrame(schema=REJECTED_SCHEMA) if self._last is None else self._last
        if self._parts:
            pl.concat([pl.scan_ipc(self._parts), last.lazy()]).sink_parquet(path)
        else:
            last.write_parquet(path)


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


def _accepted(outcomes: Iterator[pl.DataFrame], tally: _Tally, rejected: _Spool) -> Iterator[pl.DataFrame]:
    """The accepted rows of each frame; the others are counted, and the rejected ones spooled."""
    for outcome in outcomes:
        bad_count = outcome.height - outcome.get_column("reason").null_count()
        skipped = int(outcome.get_column("is_skipped").sum())
        if bad_count:
            bad = outcome.filter(pl.col("reason").is_not_null())
            reasons = pl.Series(REASONS).gather(bad.get_column("reason")).alias("reason")
            tally.reasons.update(dict(reasons.value_counts().iter_rows()))
            text = pl.col("text").str.strip_chars_end("\r\n").str.head(REJECTED_TEXT_LIMIT)
            rejected.add(bad.select("row_number", reasons, text))
        accepted = outcome.lazy()
        if bad_count or skipped:
            accepted = accepted.filter(pl.col("reason").is_null() & ~pl.col("is_skipped"))
        good = accepted.select(_ACCEPTED).collect()
        tally.skipped += skipped
        tally.accepted += good.height
        tally.event_dates.update(good.get_column("event_date").unique().to_list())
        yield good


def _write(frames: Iterator[pl.DataFrame], path: Path) -> None:
    """Write frames one after the other; polars encodes one while the next is read."""
    first = next(frames, pl.DataFrame(schema=ACCEPTED_SCHEMA))
    second = next(frames, None)
    if second is None:
        first.write_parquet(path)  # without the overhead of a query, for days of many small files
        return

    def all_frames(*_pushdown: object) -> Iterator[pl.DataFrame]:
        yield from (first, second)
        yield from frames

    try:
        register_io_source(all_frames, schema=ACCEPTED_SCHEMA).sink_parquet(path)
    except RefusedFile:
        path.unlink()
        raise
