"""The times of an export (docs/sigma-export.md, "Values"), from text to UTC, a column at a time."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.expr.struct import ExprStructNameSpace

from sigma_impressions.exports.reading.buffers import lengths_and_bytes, repeated, value_bytes
from sigma_impressions.lake.schemas import UTC_TIME

Integer = TypeVar("Integer", bound=np.integer)

_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# polars itself would take hour, minute and second in other shapes, and 60 for a leap second.
_HOUR_AND_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_SECOND = ":[0-5][0-9]"
_FRACTION = r"(?:[.,](?P<fraction>[0-9]{1,9}))?"
_OFFSET = "(?P<sign>[+-])(?P<hours>[01][0-9]|2[0-3])(?::?(?P<minutes>[0-9]{2}))?"
_ZONE = f"(?P<zone> ?(?:[Zz]|[Uu][Tt][Cc]|[Gg][Mm][Tt]|{_OFFSET}))?"

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _any_of(names: tuple[str, ...]) -> str:
    """A regular expression for ASCII names in any case; `(?i)` would take an `ſ` for an `s`."""
    return "|".join("".join(f"[{letter.upper()}{letter}]" for letter in name) for name in names)


_CLOCK = f"(?P<clock>{_HOUR_AND_MINUTE})"
_ISO = f"(?P<date>{_DATE})(?:[T ]{_CLOCK}(?:(?P<second>{_SECOND}){_FRACTION})?{_ZONE})?"
_MAIL = (
    f"(?:(?P<weekday>{_any_of(_DAYS)}), )?"
    f"(?P<date>(?P<day>[0-9]{{1,2}}) (?P<month>{_any_of(_MONTHS)}) (?P<year>[0-9]{{4}})) "
    f"{_CLOCK}(?P<second>{_SECOND}){_FRACTION}{_ZONE}"
)
_EPOCH = r"(?P<seconds>[0-9]{10})(?:(?P<more>[0-9]{3}|[0-9]{6}|[0-9]{9})|\.(?P<fraction>[0-9]{1,9}))?"

_MINUTES_PER_DAY = 24 * 60

_SAMPLE = 100
"""Texts among which a form is looked for, before all that are left are read the slow way."""

_MOST_FORMS = 40
"""Forms that are looked for in a piece of a file: texts in as many forms are read the slow way."""


def parse_times(texts: pl.Series, time_zone: str) -> pl.Series:
    """Turn trimmed texts into times, `UTC_TIME`; null where a text is null or no time.

    `time_zone` is the IANA zone of times without an offset. A local time its clocks show twice is the earlier
    one, one that they skip is null. A bare date is the first moment of its day, also where the clocks skip midnight.

    Whole files are written in one form, or in a few that differ in the fraction. Such a form is found in a sample
    and read by its positions; what fits none is read by a regular expression, which takes many times as long.
    """
    # The usual case, in which all are in one form, needs no other look at them.
    form = None if texts.has_nulls() else _form_in(texts.head(_SAMPLE), ())
    if form and (lengths_and_bytes(texts)[0] == form.length).all():
        times = form.parse(texts, time_zone).alias(texts.name)
        if not times.has_nulls():
            return times
        left, tried = times.is_null(), {form}
    else:
        left, tried = texts.is_not_null(), set[_Form]()
        times = repeated(None, UTC_TIME, len(texts)).alias(texts.name)
    lengths = texts.str.len_bytes()
    while left.any() and len(tried) < _MOST_FORMS and (form := _form_in(texts.filter(left).head(_SAMPLE), tried)):
        tried.add(form)
        at = (left & (lengths == form.length)).arg_true()
        times = times.scatter(at, form.parse(texts.gather(at), time_zone))
        left &= times.is_null()
    for parse in (_parse_epochs, _parse_iso, _parse_mail):
        if left.any():
            at = left.arg_true()
            times = times.scatter(at, parse(texts.gather(at), time_zone))
            left &= times.is_null()
    return times


# --- the forms of whole files


@dataclass(frozen=True)
class _Form:
    """Texts that are alike but for their digits, the sign of their offset and the names of their days and months.

    `pattern` is such a text with "0" for every digit, "+" for the sign, "a" and "b" for the letters of a day's and a
    month's name. The digits are in this order: `date` of the date, `clock` of hours to seconds, `fraction` of the
    second's fraction, those of an offset. Unix times have neither date nor clock. Texts without any zone are `naive`.
    """

    pattern: str
    date: int
    clock: int
    fraction: int
    naive: bool

    @property
    def length(self) -> int:
        return len(self.pattern)

    def parse(self, texts: pl.Series, time_zone: str) -> pl.Series:
        """The times, in UTC, of texts that have this form's length; null where one is of another form, or no time."""
        found = self._take_apart(texts)
        digits = found.digits
        if not self.date:
            microseconds = _number(digits[:16], np.int64) * 10 ** max(0, 16 - len(digits))
            return _times(microseconds, found.is_time, "UTC")
        if found.month:
            day = _number(digits[: self.date - 4], np.uint8)
            month, years = _place_among(_MONTHS, found.month), digits[self.date - 4 : self.date]
            found.keep(month > 0)
        else:
            month, day, years = _two_digits(*digits[4:6]), _two_digits(*digits[6:8]), digits[:4]
        if found.weekday:
            found.keep(_place_among(_DAYS, found.weekday) > 0)
        full_year = np.minimum(100 * _two_digits(*years[:2]).astype(np.int32) + _two_digits(*years[2:]), _LAST_YEAR)
        months = np.where(month <= 12, month, 0) + _LEAP_MONTHS[full_year]
        found.keep((full_year >= 1) & (day >= 1) & (day <= _DAYS_IN_MONTH[months]))
        days = _DAYS_BEFORE_YEAR[full_year] + _DAYS_BEFORE_MONTH[months] + day - 1
        if not self.clock:
            return _times(86_400_000_000 * days.astype(np.int64), found.is_time, time_zone, are_dates=True)
        hour, minute = (_two_digits(*digits[at : at + 2]) for at in (self.date, self.date + 2))
        found.keep((hour <= 23) & (minute <= 59))
        seconds = 3_600 * hour.astype(np.int32) + 60 * minute.astype(np.int32)
        fraction = self.date + self.clock
        if self.clock == 6:
            second = _two_digits(*digits[fraction - 2 : fraction])
            found.keep(second <= 59)
            seconds = seconds + second
        microseconds = 1_000_000 * (86_400 * days.astype(np.int64) + seconds)
        if self.fraction:
            finest = digits[fraction : fraction + min(self.fraction, 6)]
            microseconds = microseconds + 10 ** (6 - len(finest)) * _number(finest, np.int32)
        offset = digits[fraction + self.fraction :]
        if offset:
            hours = _two_digits(*offset[:2])
            minutes = 60 * hours.astype(np.int32) + (_two_digits(*offset[2:]) if offset[2:] else 0)
            found.keep((hours <= 23) & (minutes < _MINUTES_PER_DAY))
            microseconds = microseconds - np.where(found.is_west, -60_000_000, 60_000_000) * minutes
        return _times(microseconds, found.is_time, time_zone if self.naive else "UTC")

    def _take_apart(self, texts: pl.Series) -> _Parts:
        characters = value_bytes(texts).reshape(-1, self.length)
        parts = _Parts([], [], [], np.ones(len(texts), np.bool_), np.zeros(len(texts), np.bool_))
        for at, (expected, varies) in enumerate(zip(self.pattern, _vary(characters), strict=True)):
            found = np.ascontiguousarray(characters[:, at]) if varies else characters[:1, at]
            if expected == "0":
                parts.digits.append(found - np.uint8(ord("0")))  # wraps: anything but a digit is more than 9
                parts.keep(parts.digits[-1] <= 9)
            elif expected == "+":
                parts.is_west = found == ord("-")
                parts.keep(parts.is_west | (found == ord("+")))
            elif expected in "ab":
                (parts.weekday if expected == "a" else parts.month).append(found)
            else:
                parts.keep(found == ord(expected))
        return parts


def _vary(characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """At which places the texts differ: most of a file are about one day, or one hour."""
    count, length = characters.shape
    whole = count - count % _ABREAST
    abreast = characters[:whole].reshape(-1, _ABREAST * length)
    any_set, all_set = (
        every.reduce(np.concatenate([every.reduce(abreast).reshape(-1, length), characters[whole:]]))
        for every in (np.bitwise_or, np.bitwise_and)
    )
    varies: NDArray[np.bool_] = any_set != all_set
    return varies


_ABREAST = 128
"""Texts that are compared with the next ones at once: a single one is too short for a vector operation."""


@dataclass
class _Parts:
    """Texts taken apart, place by place: the digits, the letters of two names, and what else is to be known.

    A place at which all are alike has one value instead of one for each.

    `is_time` tells which texts have what a form has at all other places, and a digit at the place of each.
    """

    digits: list[NDArray[np.uint8]]
    weekday: list[NDArray[np.uint8]]
    month: list[NDArray[np.uint8]]
    is_time: NDArray[np.bool_]
    is_west: NDArray[np.bool_]

    def keep(self, fits: NDArray[np.bool_]) -> None:
        """Only those that fit are times."""
        if not fits.all():
            self.is_time &= fits


def _form_in(sample: pl.Series, tried: Collection[_Form]) -> _Form | None:
    """The first form in the sample that was not tried yet."""
    for text in sample:
        if (form := _form_of(text)) and form not in tried:
            return form
    return None


def _form_of(text: str) -> _Form | None:
    match = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if match is None:
        return None
    found = match.groupdict()
    parts = {name: (match.span(name) if found.get(name) else (0, 0)) for name in ("zone", "weekday", "month")}
    pattern = re.sub("[0-9]", "0", text)
    for name, old, new in (("zone", "[+-]", "+"), ("weekday", ".", "a"), ("month", ".", "b")):
        begin, end = parts[name]
        pattern = pattern[:begin] + re.sub(old, new, pattern[begin:end]) + pattern[end:]
    return _Form(
        pattern,
        date=sum(map(str.isdigit, found.get("date") or "")),
        clock=4 * bool(found.get("clock")) + 2 * bool(found.get("second")),
        fraction=len(found.get("fraction") or ""),
        naive=not found.get("zone"),
    )


_FORMS = tuple(map(re.compile, (_ISO, _EPOCH, _MAIL)))


def _two_digits(tens: NDArray[np.uint8], ones: NDArray[np.uint8]) -> NDArray[np.uint8]:
    number: NDArray[np.uint8] = np.uint8(10) * tens + ones
    return number


def _number(digits: Sequence[NDArray[np.uint8]], dtype: type[Integer]) -> NDArray[Integer]:
    number = digits[0].astype(dtype)
    for digit in digits[1:]:
        number = 10 * number + digit
    return number


def _place_among(names: tuple[str, ...], letters: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The number of a name of three letters, in any case, among these, beginning with 1; 0 if it is none."""
    first, second, third = (
        letter | np.uint8(0x20) for letter in letters
    )  # to lower case, and no other byte to a letter
    place = np.zeros(1, np.uint8)
    for number, name in enumerate(names, 1):
        one, two, three = name.encode()
        place = np.where((first == one) & (second == two) & (third == three), np.uint8(number), place)
    return place


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


def _times(
    microseconds: NDArray[np.int64], is_time: NDArray[np.bool_], time_zone: str, *, are_dates: bool = False
) -> pl.Series:
    """Times in UTC from microseconds since 1970 on the clocks of `time_zone`; null if not `is_time`."""
    local = pl.Series("local", np.broadcast_to(microseconds, is_time.shape)).cast(pl.Datetime("us"))
    time = pl.col("local") if is_time.all() else pl.when(pl.Series(is_time)).then(pl.col("local"))
    in_utc = (_first_moment if are_dates else _in_zone)(time, time_zone)
    return local.to_frame().select(in_utc).to_series()


# --- any form


def _parse_epochs(texts: pl.Series, _time_zone: str) -> pl.Series:
    """Unix times: seconds, with or without a fraction, milli-, micro- or nanoseconds."""
    parts = pl.col("text").str.extract_groups(f"^{_EPOCH}$").struct
    below = pl.coalesce(parts.field("more"), parts.field("fraction"), pl.lit(""))
    epoch = 1_000_000 * parts.field("seconds").cast(pl.Int64) + _microseconds(below)
    return texts.to_frame("text").select(epoch.cast(UTC_TIME)).to_series()


def _parse_iso(texts: pl.Series, time_zone: str) -> pl.Series:
    parts = pl.col("text").str.extract_groups(f"^{_ISO}$").struct
    is_date = parts.field("clock").is_null()
    local = _local(parts.field("date"), parts)
    times = pl.when(is_date).then(_first_moment(local, time_zone)).otherwise(_with_zone(local, parts, time_zone))
    return texts.to_frame("text").select(times).to_series()


def _parse_mail(texts: pl.Series, time_zone: str) -> pl.Series:
    parts = pl.col("text").str.extract_groups(f"^{_MAIL}$").struct
    month = parts.field("month").str.to_lowercase()
    number = month.replace_strict(_MONTHS, range(1, 13), default=None, return_dtype=pl.Int64).cast(pl.String)
    numbers = (parts.field("year"), number.str.zfill(2), parts.field("day").str.zfill(2))
    date = pl.concat_str(*numbers, separator="-")
    return texts.to_frame("text").select(_with_zone(_local(date, parts), parts, time_zone)).to_series()


def _local(date: pl.Expr, parts: ExprStructNameSpace) -> pl.Expr:
    """What the clocks show: a date, and the parts of a text that say the time of the day, if it has any."""
    clock = parts.field("clock").fill_null("00:00") + parts.field("second").fill_null(":00")
    text = pl.concat_str(date, pl.lit("T"), clock)
    whole_seconds = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = _microseconds(parts.field("fraction").fill_null(""))
    return _of_our_era(whole_seconds) + pl.duration(microseconds=fraction)


def _microseconds(fraction: pl.Expr) -> pl.Expr:
    """Those of a second's fraction, from its digits; what is finer is cut off."""
    return fraction.str.head(6).str.pad_end(6, "0").cast(pl.Int64)


def _with_zone(local: pl.Expr, parts: ExprStructNameSpace, time_zone: str) -> pl.Expr:
    """The time in UTC of what the clocks show, by the zone in the text, or else by `time_zone`."""
    minutes = 60 * parts.field("hours").cast(pl.Int64) + parts.field("minutes").cast(pl.Int64).fill_null(0)
    offset = pl.when(parts.field("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    with_offset = pl.when(offset.abs() < _MINUTES_PER_DAY).then(local - pl.duration(minutes=offset))
    naive, zoned = _in_zone(local, time_zone), with_offset.dt.replace_time_zone("UTC")
    return pl.when(parts.field("zone").is_null()).then(naive).otherwise(zoned)


def _of_our_era(local: pl.Expr) -> pl.Expr:
    """ISO 8601 has a year 0000; no clock shows it."""
    return pl.when(local.dt.year() >= 1).then(local)


def _in_zone(local: pl.Expr, time_zone: str) -> pl.Expr:
    if time_zone == "UTC":
        return local.dt.replace_time_zone("UTC")
    zoned = local.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
    return zoned.dt.convert_time_zone("UTC")


def _first_moment(midnight: pl.Expr, time_zone: str) -> pl.Expr:
    """The first moment of a day. Where the clocks skip midnight it is as long after the evening before as ever."""
    if time_zone == "UTC":
        return _in_zone(midnight, time_zone)
    second = pl.duration(seconds=1)
    return pl.coalesce(_in_zone(midnight, time_zone), _in_zone(midnight - second, time_zone) + second)
