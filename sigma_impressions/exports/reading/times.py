"""The times of an export (docs/sigma-export.md, "Values"), from text to UTC, a column at a time."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sigma_impressions.exports.reading.buffers import value_bytes
from sigma_impressions.lake.schemas import UTC_TIME

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# polars itself would take hour, minute and second in other shapes, and 60 for a leap second.
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"

_ANY_ISO = (
    rf"^(?P<date>{_DATE})"
    rf"(?:[T ](?P<clock>{_CLOCK})(?:\.(?P<fraction>[0-9]{{1,9}}))?"
    r"(?P<zone> ?Z| UTC| ?(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-9]{2}))?)?)?$"
)
_EPOCH = "^(?:[0-9]{10}|[0-9]{13})$"

_MINUTES_PER_DAY = 24 * 60

_SAMPLE = 100
"""Texts among which a form is looked for, before all that are left are read the slow way."""


def parse_times(texts: pl.Series, time_zone: str) -> pl.Series:
    """Turn trimmed texts into times, `UTC_TIME`; null where a text is null or no time.

    `time_zone` is the IANA zone of times without an offset. A local time its clocks show twice is the earlier
    one, one that they skip is null.

    Whole files are written in one form, or in a few that differ in the fraction. Such a form is found in a sample
    and read by its positions; what fits none is read by a regular expression, which takes many times as long.
    """
    lengths = texts.str.len_bytes()
    times = pl.repeat(None, len(texts), dtype=UTC_TIME, eager=True)
    left = lengths.is_not_null()
    tried: set[_Form] = set()
    while left.any() and (form := _form_in(texts.filter(left).head(_SAMPLE), tried)):
        tried.add(form)
        at = (left & (lengths == form.length)).arg_true()
        if len(at) == len(texts):
            times = form.parse(texts, time_zone)
            left = times.is_null()
        else:
            times = times.scatter(at, form.parse(texts.gather(at), time_zone))
            left &= times.is_null()
    for parse in (_parse_epochs, _parse_iso):
        if left.any():
            at = left.arg_true()
            times = times.scatter(at, parse(texts.gather(at), time_zone))
            left &= times.is_null()
    return times.alias(texts.name)


# --- the forms of whole files


@dataclass(frozen=True)
class _Form:
    """Texts that are alike but for their digits and the sign of their offset.

    `pattern` is such a text with "0" for every digit and "+" for the sign; `fraction` is the number of digits of
    the second's fraction. Texts without any zone are `naive`.
    """

    pattern: str
    fraction: int
    naive: bool

    @property
    def length(self) -> int:
        return len(self.pattern)

    def parse(self, texts: pl.Series, time_zone: str) -> pl.Series:
        """The times, in UTC, of texts that have this form's length; null where one is of another form, or no time."""
        characters = np.ascontiguousarray(value_bytes(texts).reshape(-1, self.length).T)
        digits: list[NDArray[np.uint8]] = []
        is_time = np.ones(len(texts), np.bool_)
        is_west = np.zeros(len(texts), np.bool_)
        for expected, found in zip(self.pattern, characters, strict=True):
            if expected == "0":
                digits.append(found - np.uint8(ord("0")))  # wraps: anything but a digit is more than 9
                is_time &= digits[-1] <= 9
            elif expected == "+":
                is_west = found == ord("-")
                is_time &= is_west | (found == ord("+"))
            else:
                is_time &= found == ord(expected)
        century, year, month, day, hour, minute, second = map(_two_digits, digits[0:14:2], digits[1:14:2])
        full_year = np.minimum(100 * century.astype(np.int32) + year, _LAST_YEAR)
        months = np.where(month <= 12, month, 0) + _LEAP_MONTHS[full_year]
        is_time &= (full_year >= 1) & (day >= 1) & (day <= _DAYS_IN_MONTH[months])
        is_time &= (hour <= 23) & (minute <= 59) & (second <= 59)
        days = _DAYS_BEFORE_YEAR[full_year] + _DAYS_BEFORE_MONTH[months] + day - 1
        seconds = 3_600 * hour.astype(np.int32) + 60 * minute.astype(np.int32) + second
        microseconds = 1_000_000 * (86_400 * days.astype(np.int64) + seconds)
        for place, digit in enumerate(digits[14 : 14 + min(self.fraction, 6)]):
            microseconds += 10 ** (5 - place) * digit.astype(np.int32)
        offset = digits[14 + self.fraction :]
        if offset:
            hours = _two_digits(*offset[:2])
            minutes = 60 * hours.astype(np.int32) + (_two_digits(*offset[2:]) if offset[2:] else 0)
            is_time &= (hours <= 23) & (minutes < _MINUTES_PER_DAY)
            microseconds -= np.where(is_west, -60_000_000, 60_000_000) * minutes
        return _times(microseconds, is_time, time_zone if self.naive else "UTC")


def _form_in(sample: pl.Series, tried: Collection[_Form]) -> _Form | None:
    """The first form in the sample that was not tried yet."""
    for text in sample:
        if match := _FIXED_FORM.fullmatch(text):
            clock, zone = text[: match.start("zone")], match["zone"].replace("-", "+")
            form = _Form(re.sub("[0-9]", "0", clock + zone), len(match["fraction"] or ""), not zone)
            if form not in tried:
                return form
    return None


_FIXED_FORM = re.compile(
    rf"{_DATE}[T ]{_CLOCK}(?:\.(?P<fraction>[0-9]{{1,9}}))?"
    "(?P<zone>| ?Z| UTC| ?(?P<sign>[+-])[0-9]{2}(?::?[0-9]{2})?)"
)


def _two_digits(tens: NDArray[np.uint8], ones: NDArray[np.uint8]) -> NDArray[np.uint8]:
    number: NDArray[np.uint8] = np.uint8(10) * tens + ones
    return number


_LAST_YEAR = 9_999
_YEARS = np.arange(_LAST_YEAR + 1)
_DAYS_BEFORE_YEAR = (_YEARS - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int32)
"""Days from 1970 to the beginning of each year."""

_LEAP_MONTHS = 13 * ((_YEARS % 4 == 0) & ((_YEARS % 100 != 0) | (_YEARS % 400 == 0))).astype(np.uint8)
"""What is added to a month of each year before it is looked up: 13 in leap years."""

_DAYS_IN_MONTH = np.array(
    [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8
)
_DAYS_BEFORE_MONTH = (
    (np.cumsum(_DAYS_IN_MONTH.reshape(2, 13), axis=1) - _DAYS_IN_MONTH.reshape(2, 13)).astype(np.int32).ravel()
)


def _times(microseconds: NDArray[np.int64], is_time: NDArray[np.bool_], time_zone: str) -> pl.Series:
    """Times in UTC from microseconds since 1970 on the clocks of `time_zone`; null if not `is_time`."""
    local = pl.Series("local", microseconds).cast(pl.Datetime("us"))
    time = pl.col("local") if is_time.all() else pl.when(pl.Series(is_time)).then(pl.col("local"))
    return local.to_frame().select(_in_zone(time, time_zone)).to_series()


# --- any form


def _parse_epochs(texts: pl.Series, _time_zone: str) -> pl.Series:
    """Unix epoch seconds (10 digits) and milliseconds (13 digits)."""
    text = pl.col("text")
    unit = pl.when(text.str.len_bytes() == 10).then(1_000_000).otherwise(1_000)
    epoch = pl.when(text.str.contains(_EPOCH)).then(text).cast(pl.Int64) * unit
    return texts.to_frame("text").select(epoch.cast(UTC_TIME)).to_series()


def _parse_iso(texts: pl.Series, time_zone: str) -> pl.Series:
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
    naive, zoned = _in_zone(local, time_zone), with_offset.dt.replace_time_zone("UTC")
    return texts.to_frame("text").select(pl.when(zone.is_null()).then(naive).otherwise(zoned)).to_series()


def _of_our_era(local: pl.Expr) -> pl.Expr:
    """ISO 8601 has a year 0000; no clock shows it."""
    return pl.when(local.dt.year() >= 1).then(local)


def _in_zone(local: pl.Expr, time_zone: str) -> pl.Expr:
    if time_zone == "UTC":
        return local.dt.replace_time_zone("UTC")
    zoned = local.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")
