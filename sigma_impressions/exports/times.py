"""The times of spec §4, from text to UTC, a column at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# polars itself would take hour, minute and second in other shapes, and 60 for a leap second.
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = r"(?:\.[0-9]{1,9})?"

_ANY_ISO = (
    rf"^(?P<date>{_DATE})"
    rf"(?:[T ](?P<clock>{_CLOCK})(?:\.(?P<fraction>[0-9]{{1,9}}))?"
    r"(?P<zone> ?Z| UTC| ?(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-9]{2}))?)?)?$"
)

_SECONDS, _MILLISECONDS = "^[0-9]{10}$", "^[0-9]{13}$"

_MICROSECONDS_PER_MINUTE = 60_000_000
_MINUTES_PER_DAY = 24 * 60

_Parser = Callable[[pl.Series, str], pl.Series]


def parse_times(texts: pl.Series, time_zone: str) -> pl.Series:
    """Turn trimmed texts into times, `Datetime("us", "UTC")`; null where a text is null or no time.

    `time_zone` is the IANA zone of times without an offset. A local time its clocks show twice is the earlier
    one, one that they skip is null.
    """
    times = pl.repeat(None, len(texts), dtype=pl.Datetime("us", "UTC"), eager=True)
    for parser in _PARSERS:
        left = texts.is_not_null() & times.is_null()
        if not left.any():
            break
        if left.all():
            times = parser(texts, time_zone)
        else:
            times = times.scatter(left.arg_true(), parser(texts.filter(left), time_zone))
    return times.alias(texts.name)


@dataclass(frozen=True)
class _CommonForm:
    """A form that whole files are written in, parsed in one go; texts of another form become null."""

    pattern: str
    format: str
    naive: bool

    def __call__(self, texts: pl.Series, time_zone: str) -> pl.Series:
        text = pl.col("text")
        local = (
            pl.when(text.str.contains(self.pattern))
            .then(text)
            .str.to_datetime(self.format, time_unit="us", strict=False)
        )
        utc = _in_zone(_of_our_era(local), time_zone) if self.naive else _of_our_era(local).dt.replace_time_zone("UTC")
        return texts.to_frame("text").select(utc).to_series()


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


_PARSERS: tuple[_Parser, ...] = (
    _CommonForm(f"^{_DATE}T{_CLOCK}{_FRACTION}Z$", "%Y-%m-%dT%H:%M:%S%.fZ", naive=False),
    _CommonForm(f"^{_DATE} {_CLOCK}{_FRACTION}$", "%Y-%m-%d %H:%M:%S%.f", naive=True),
    _parse_any,
)
