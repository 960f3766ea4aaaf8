"""From raw rows to impressions: the values of each row, and whether it is accepted, rejected or skipped.

The rules: docs/tables-and-metrics.md, "From a row to an impression".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sigma_impressions.exports.reading.buffers import (
    SHORT,
    are_there,
    bytes_among,
    lengths_and_bytes,
    repeated,
    value_bytes,
)
from sigma_impressions.exports.reading.references import reduce_references
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.times import parse_times
from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, columns_of_a_file
from sigma_impressions.users import Kind, canonical, kind_of, without_addresses

ACCEPTED_SCHEMA = columns_of_a_file(NORMALIZED_IMPRESSIONS)

EARLIEST_TIME = datetime(2010, 1, 1, tzinfo=UTC)
LATEST_AFTER_LAST_MODIFIED = timedelta(hours=24)
LARGEST_COUNT = 1_000_000_000

_IDS = [name for name in ACCEPTED_SCHEMA if kind_of(name) is Kind.ID]

_FALSE = pl.lit(False)
_FIRST_NOT_ASCII = 0x80

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
_EVENT_DATE = pl.col("request_time").dt.date().alias("event_date")


@dataclass(frozen=True)
class _Verdict:
    """What is decided by some of the checks: which rows are good, and for what `reason` one is not."""

    is_good: pl.Expr
    reason: pl.Expr


def _by(checks: Mapping[str, pl.Expr]) -> _Verdict:
    # Only a time that can be read is in range.
    enough = [check for name, check in checks.items() if name not in REASONS[1:3]]
    reasons = [pl.when(~check).then(pl.lit(reason)) for reason, check in checks.items()]
    return _Verdict(pl.all_horizontal(enough).fill_null(False), pl.coalesce(reasons).alias("reason"))


_NO_REASON = pl.lit(None, pl.String).alias("reason")
_BY_ALL = _by(_CHECKS)
_BY_ALL_BUT_USERS = _by({name: check for name, check in _CHECKS.items() if name != "missing_user_email"})


@dataclass(frozen=True)
class Classified:
    """Rows by what they are; no row is lost.

    `accepted` has ACCEPTED_SCHEMA, in order; `rejected` has `row_number`, `reason` (one of REASONS) and `reference`,
    the text that stood for the workbook, in order; `skipped` has `row_number`, the `event_status` and `event_type` that
    were written, and `is_excluded`, whether it is for its user. `event_types` counts: for each
    `event_type`, "" for an absent one, the `rows` with the right number of fields, and those of them that were
    `accepted`. Each has the columns that were to be kept besides.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    skipped: pl.DataFrame
    event_types: pl.DataFrame


def classify(
    raw: pl.DataFrame,
    last_modified: pl.Expr,
    rules: ReadingRules,
    keep: Sequence[str] = (),
    is_semicolon: pl.Expr = _FALSE,
) -> Classified:
    """Turn raw rows (RAW_SCHEMA) into values, and decide for each row what it is.

    `last_modified` is an expression over `raw`, the time 24 h after which nothing was viewed; so is `is_semicolon`,
    whether the delimiter of the row's file is one. `keep` names columns that `raw` has besides.
    """
    is_view = _is_view(raw, rules.event_types)
    views, others = _split(raw, is_view)
    texts = views.get_column("request_time")
    references = views.get_column("workbook_url_id")
    ids, elements = reduce_references(references)
    rows = views.with_columns(
        parse_times(texts, rules.time_zone),
        parse_counts(views.get_column("count"), views.select(is_semicolon.alias("is_semicolon")).to_series()),
        ids,
        to_lower_case(views.get_column("user_email")),
        references.alias("reference"),
        has_time=pl.Series(are_there(texts)),
    ).with_columns(
        _EVENT_DATE,
        is_in_range=pl.col("request_time").is_between(EARLIEST_TIME, last_modified + LATEST_AFTER_LAST_MODIFIED),
    )
    if elements is not None and elements.null_count() < len(elements):
        rows = rows.with_columns(pl.coalesce("element_id", elements.alias("element_id")))
    verdict = _BY_ALL_BUT_USERS if rules.anonymous_users else _BY_ALL
    good, bad = _split(rows, rows.select(verdict.is_good).to_series())
    accepted, excluded = _split(good, is_not_excluded(good.get_column("user_email"), rules.excluded_users))
    counts = _count_types(raw, accepted, keep)
    if rules.pseudonyms is not None:
        accepted = accepted.with_columns(
            rules.pseudonyms.of(accepted.get_column("user_email")),
            *map(rules.pseudonyms.in_ids, accepted.select(_IDS).iter_columns()),
        )
        counts = counts.with_columns(without_addresses(pl.col("event_type")))
    return Classified(
        accepted[[*ACCEPTED_SCHEMA, *keep]],
        bad.select("row_number", verdict.reason if bad.height else _NO_REASON, "reference", *keep),
        pl.concat(
            rows[["row_number", "event_status", "event_type", *keep]].hstack(
                [repeated(excluding, pl.Boolean, rows.height).alias("is_excluded")]
            )
            for rows, excluding in ((others, False), (excluded, True))
        ),
        counts,
    )


def _split(rows: pl.DataFrame, mask: pl.Series | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The marked rows, which None says all are, and the others."""
    return (rows, rows.clear()) if mask is None or mask.all() else (rows.filter(mask), rows.filter(~mask))


def _is_view(raw: pl.DataFrame, event_types: tuple[str, ...]) -> pl.Series | None:
    """Which rows are about a view that succeeded, or cannot be told; None if all are."""
    conditions = []
    if event_types:
        is_type = _any_of(pattern.casefold() for pattern in event_types)
        conditions.append(_fits(raw.get_column("event_type").fill_null(""), is_type))
    status = raw.get_column("event_status")
    if status.null_count() < len(status):
        conditions.append(_fits(status.fill_null("success"), "success"))
    if not conditions:
        return None
    return raw.select(pl.all_horizontal(conditions) | ~pl.col("is_complete")).to_series()


def _fits(texts: pl.Series, expression: str) -> pl.Series:
    """Which of the texts a regular expression fits, compared without case; each distinct one is looked at once."""
    distinct = texts.unique().to_list()
    fitting = [text for text in distinct if re.fullmatch(expression, text.casefold())]
    if len(fitting) in (0, len(distinct)):
        return repeated(bool(fitting), pl.Boolean, len(texts))
    return texts.is_in(fitting)


def is_not_excluded(users: pl.Series, excluded_users: tuple[str, ...]) -> pl.Series | None:
    """Which of the users, in their canonical form, are counted; None if all of them are."""
    if not excluded_users:
        return None
    if (value_bytes(users) >= _FIRST_NOT_ASCII).any():
        # A character that nobody sees would lead around a pattern.
        users = users.str.replace_all(r"\p{Cf}", "")
    return ~users.str.contains(f"^{_any_of(excluded_users)}$").fill_null(False)


def _count_types(raw: pl.DataFrame, accepted: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
    """The rows with the right number of fields, and the accepted ones, by event type."""
    if not keep and raw.get_column("event_type").null_count() == raw.height:
        complete = int(raw.get_column("is_complete").sum())
        return pl.DataFrame({"event_type": [""], "rows": [complete], "accepted": [accepted.height]}).head(complete)
    by = [pl.col("event_type").fill_null(""), *map(pl.col, keep)]
    rows = raw.group_by(by).agg(rows=pl.col("is_complete").sum().cast(pl.Int64)).filter(pl.col("rows") > 0)
    good = accepted.group_by(by).agg(accepted=pl.len().cast(pl.Int64))
    return rows.join(good, on=["event_type", *keep], how="left").with_columns(pl.col("accepted").fill_null(0))


def is_excluded(user: str, excluded_users: tuple[str, ...]) -> bool:
    """Whether the rows of a user are skipped."""
    is_counted = is_not_excluded(canonical(pl.Series([user])), excluded_users)
    return is_counted is not None and not is_counted.all()


def _any_of(patterns: Iterable[str]) -> str:
    """A regular expression for globs in which only `*` and `?` are special."""
    return f"(?s:{'|'.join(map(_glob, patterns))})"


def _glob(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(part, pl.escape_regex(part)) for part in re.split(r"([*?])", pattern))


def parse_counts(texts: pl.Series, is_semicolon: pl.Series) -> pl.Series:
    """Counts from trimmed texts: 1 where the text is null, null where it is no count.

    `is_semicolon` tells where a `.` and three zeros may mean thousands; it may be one value for all texts.
    """
    if texts.null_count() == len(texts):
        return repeated(1, pl.Int64, len(texts)).alias(texts.name)
    plain = _whole_numbers(texts)
    if plain is not None and plain.all():
        return pl.Series(texts.name, plain)
    text = pl.col("text")
    whole = text.cast(pl.Int64, strict=False)  # it takes digits with an optional sign, nothing else
    counts = texts.to_frame("text").with_columns(count=pl.when(text.is_null()).then(1).otherwise(whole))
    if counts.get_column("count").has_nulls() or (value_bytes(texts) == ord("+")).any():
        number = text.str.extract(r"^0*([0-9]{1,10})(?:\.0+)?$").cast(pl.Int64)
        is_clear = ~(pl.lit(is_semicolon) & text.str.ends_with(".000"))
        counts = counts.with_columns(count=pl.when(text.is_null()).then(1).when(is_clear).then(number))
    valid = pl.when(pl.col("count").is_between(1, LARGEST_COUNT)).then(pl.col("count"))
    return counts.select(valid.alias(texts.name)).to_series()


def _whole_numbers(texts: pl.Series) -> NDArray[np.int64] | None:
    """The numbers, if all texts are of so few digits that none is above LARGEST_COUNT; a tenth of the work."""
    lengths, characters = lengths_and_bytes(texts)
    most = int(lengths.max(initial=0))
    if texts.has_nulls() or not lengths.all() or most > _DIGITS:
        return None
    numbers = np.zeros(len(texts), np.int64)
    for place in range(most):
        digits = characters[:, place] - np.uint8(ord("0"))  # wraps: anything but a digit is more than 9
        is_written = lengths > place
        if (is_written & (digits > 9)).any():
            return None
        numbers = np.where(is_written, 10 * numbers + digits, numbers)
    return numbers


_DIGITS = min(SHORT, len(str(LARGEST_COUNT)) - 1)


def to_lower_case(texts: pl.Series) -> pl.Series:
    """The texts in lower case, as Unicode has it."""
    are_lower = (
        some.max(initial=0) < _FIRST_NOT_ASCII and not (some - np.uint8(ord("A")) < 26).any()  # wraps before A
        for some in bytes_among(texts)
    )
    return texts if all(are_lower) else texts.str.to_lowercase()
