"""The times of spec §4, from text to UTC, a column at a time."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# polars itself would take hour, minute and second in other shapes, and 60 for a leap second.
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"

_ANY_ISO = (
    rf"^(?P<date>{_DATE})"
    rf"(?:[T ](?P<clock>{_CLOCK})(?:\.(?P<fraction>[0-9]{{1,9}}))?"
    r"(?P<zone> ?Z| UTC| ?(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-9]{2}))?)?)?$"
)
_SECONDS, _MILLISECONDS = "^[0-9]{10}$", "^[0-9]{13}$"

# Forms in which whole files are written. They leave out what pyarrow would refuse or read otherwise (days a
# month may lack, more than six digits), so that it can read the rest, several times faster than polars.
_COMMON_DATE = (
    "(?:19|20)[0-9]{2}-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_COMMON_UTC = rf"^{_COMMON_DATE}[T ]{_CLOCK}(?:\.[0-9]{{1,6}})?Z$"
_COMMON_NAIVE = rf"^{_COMMON_DATE}[T ]{_CLOCK}(?:\.[0-9]{{1,6}})?$"

_MINUTES_PER_DAY = 24 * 60


def parse_times(texts: pl.Series, time_zone: str) -> pl.Series:
    """Turn trimmed texts into times, `Datetime("us", "UTC")`; null where a text is null or no time.

    `time_zone` is the IANA zone of times without an offset. A local time its clocks show twice is the earlier
    one, one that they skip is null.
    """
    times = pl.repeat(None, len(texts), dtype=pl.Datetime("us", "UTC"), eager=True)
    times = _fill(times, texts, texts.str.contains(_COMMON_UTC), _parse_common_utc)
    if times.has_nulls():
        is_naive = texts.str.contains(_COMMON_NAIVE)
        times = _fill(times, texts, is_naive, lambda some: _parse_common_naive(some, time_zone))
    if times.has_nulls():
        is_left = times.is_null() & texts.is_not_null() & ~texts.str.contains(_COMMON_NAIVE)
        times = _fill(times, texts, is_left, lambda some: _parse_any(some, time_zone))
    return times.alias(texts.name)


def _fill(times: pl.Series, texts: pl.Series, rows: pl.Series, parse: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Put the times of the marked rows in their places."""
    if rows.all(ignore_nulls=False):
        return parse(texts)
    at = rows.arg_true()
    return times.scatter(at, parse(texts.gather(at))) if len(at) else times


def _parse_common_utc(texts: pl.Series) -> pl.Series:
    return _cast(texts, pa.timestamp("us", "UTC"))


def _parse_common_naive(texts: pl.Series, time_zone: str) -> pl.Series:
    local = _cast(texts, pa.timestamp("us"))
    return local.to_frame("local").select(_in_zone(pl.col("local"), time_zone)).to_series()


def _cast(texts: pl.Series, to: pa.TimestampType) -> pl.Series:
    times = pl.from_arrow(texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(to))
    assert isinstance(times, pl.Series)
    return times


def _parse_any(texts: pl.Series, time_zone: str) -> pl.Series:
    text = pl.col("text")
    parts = text.str.extract_groups(_ANY_ISO).struct
    date, clock, fraction, zone = (parts.field(name) for name in ("date", "clock", "fraction", "zone"))
    whole_seconds = pl.concat_str(date, pl.lit("T"), clock.fill_null("00:00:00")).str.to_datetime(
        "%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False
    )
    microseconds = fraction.str.head(6).str.pad_end(6, "0").cast(pl.Int64).fill_null(0)
    local = _of_our_era(whole_seconds) + pl.duration(microseconds=microseconds)
    minutes = 60 * parts.field("hours").cast(pl.Int64) + parts.field("minutes").cast(pl.Int64).fill_null(0)
    offset = pl.when(parts.field("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    with_offset = pl.when(offset.abs() < _MINUTES_PER_DAY).then(local - pl.duration(minutes=offset))
    epoch = (
        pl.when(text.str.contains(_SECONDS))
        .then(text.cast(pl.Int64, strict=False) * 1_000_000)
        .when(text.str.contains(_MILLISECONDS))
        .then(text.cast(pl.Int64, strict=False) * 1_000)
    )
    utc = pl.coalesce(
        pl.when(zone.is_null()).then(_in_zone(local, time_zone)).otherwise(with_offset.dt.replace_time_zone("UTC")),
        epoch.cast(pl.Datetime("us", "UTC")),
    )
    return texts.to_frame("text").select(utc).to_series()


def _of_our_era(local: pl.Expr) -> pl.Expr:
    """ISO 8601 has a year 0000; no clock shows it."""
    return pl.when(local.dt.year() >= 1).then(local)


def _in_zone(local: pl.Expr, time_zone: str) -> pl.Expr:
    if time_zone == "UTC":
        return local.dt.replace_time_zone("UTC")
    zoned = local.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")
