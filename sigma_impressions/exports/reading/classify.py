"""From raw rows to impressions: the values of each row, and whether it is accepted, rejected or skipped.

The rules: docs/tables-and-metrics.md, "From a row to an impression".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from sigma_impressions.exports.reading.buffers import value_bytes
from sigma_impressions.exports.reading.rules import ReadingRules
from sigma_impressions.exports.reading.times import parse_times
from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, columns_of_a_file
from sigma_impressions.users import canonical

ACCEPTED_SCHEMA = columns_of_a_file(NORMALIZED_IMPRESSIONS)

EARLIEST_TIME = datetime(2010, 1, 1, tzinfo=UTC)
LATEST_AFTER_LAST_MODIFIED = timedelta(hours=24)
LARGEST_COUNT = 1_000_000_000

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
_IS_GOOD = pl.all_horizontal(pl.col("is_in_range"), *(check for name, check in _CHECKS.items() if "time" not in name))
_REASON = pl.coalesce(pl.when(~check).then(pl.lit(reason)) for reason, check in _CHECKS.items()).alias("reason")
_EVENT_DATE = pl.col("request_time").dt.date().alias("event_date")
_IS_VIEW = pl.col("event_status").is_null() | (pl.col("event_status").str.to_lowercase() == "success")


@dataclass(frozen=True)
class Classified:
    """Rows by what they are, in order; no row is lost.

    `accepted` has ACCEPTED_SCHEMA, `rejected` has `row_number` and `reason` (one of REASONS), `skipped` has
    `row_number`; each has the columns that were to be kept besides.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    skipped: pl.DataFrame


def classify(raw: pl.DataFrame, last_modified: pl.Expr, rules: ReadingRules, keep: Sequence[str] = ()) -> Classified:
    """Turn raw rows (RAW_SCHEMA) into values, and decide for each row what it is.

    `last_modified` is an expression over `raw`, the time 24 h after which nothing was viewed; `keep` names columns
    that `raw` has besides.
    """
    texts = raw.get_column("request_time")
    rows = raw.with_columns(
        parse_times(texts, rules.time_zone),
        parse_counts(raw.get_column("count")),
        reduce_workbook_urls(raw.get_column("workbook_url_id")),
        to_lower_case(raw.get_column("user_email")),
        has_time=texts.is_not_null(),
    ).with_columns(
        _EVENT_DATE,
        is_in_range=pl.col("request_time").is_between(EARLIEST_TIME, last_modified + LATEST_AFTER_LAST_MODIFIED),
    )
    is_good = rows.select(_IS_GOOD.fill_null(False)).to_series()
    good, bad = _split(rows, is_good)
    is_view = _is_view(good, rules.excluded_users)
    accepted, skipped = (good, good.clear()) if is_view is None else _split(good, is_view)
    if rules.pseudonyms is not None:
        accepted = accepted.with_columns(rules.pseudonyms.of(accepted.get_column("user_email")))
    return Classified(
        accepted.select(*ACCEPTED_SCHEMA, *keep),
        bad.select("row_number", _REASON, *keep),
        skipped.select("row_number", *keep),
    )


def _split(rows: pl.DataFrame, mask: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The marked rows, and the others."""
    return (rows, rows.clear()) if mask.all() else (rows.filter(mask), rows.filter(~mask))


def _is_view(rows: pl.DataFrame, excluded_users: tuple[str, ...]) -> pl.Series | None:
    """Which rows are successful views by users who are not excluded; None if all are."""
    conditions = []
    status = rows.get_column("event_status")
    if status.null_count() < len(status):
        conditions.append(_IS_VIEW)
    if excluded_users:
        conditions.append(~pl.col("user_email").str.contains(_any_of(excluded_users)))
    return rows.select(pl.all_horizontal(conditions)).to_series() if conditions else None


def is_excluded(user: str, excluded_users: tuple[str, ...]) -> bool:
    """Whether the rows of a user are skipped."""
    found = canonical(pl.Series([user])).str.contains(_any_of(excluded_users)) if excluded_users else None
    return found is not None and bool(found.all())


def _any_of(users: tuple[str, ...]) -> str:
    return f"(?s)^(?:{'|'.join(map(_glob, users))})$"


def _glob(pattern: str) -> str:
    """A regular expression for a glob in which only `*` and `?` are special."""
    return "".join({"*": ".*", "?": "."}.get(part, pl.escape_regex(part)) for part in re.split(r"([*?])", pattern))


def parse_counts(texts: pl.Series) -> pl.Series:
    """Counts from trimmed texts: 1 where the text is null, null where it is no count."""
    if texts.null_count() == len(texts):
        return pl.repeat(1, len(texts), dtype=pl.Int64, eager=True).alias(texts.name)
    text = pl.col("text")
    whole = text.cast(pl.Int64, strict=False)  # it takes digits with an optional sign, nothing else
    counts = texts.to_frame("text").with_columns(count=pl.when(text.is_null()).then(1).otherwise(whole))
    if counts.get_column("count").has_nulls() or (value_bytes(texts) == ord("+")).any():
        number = text.str.extract(r"^0*([0-9]{1,10})(?:\.0+)?$").cast(pl.Int64)
        counts = counts.with_columns(count=pl.when(text.is_null()).then(1).otherwise(number))
    valid = pl.when(pl.col("count").is_between(1, LARGEST_COUNT)).then(pl.col("count"))
    return counts.select(valid.alias(texts.name)).to_series()


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


def to_lower_case(texts: pl.Series) -> pl.Series:
    """The texts in lower case, as Unicode has it."""
    characters = value_bytes(texts)
    is_lower = characters.max(initial=0) < 128 and not (characters - np.uint8(ord("A")) < 26).any()  # wraps before A
    return texts if is_lower else texts.str.to_lowercase()
