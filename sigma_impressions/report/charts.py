"""The geometry of the report's charts, which the page's template draws as inline SVG.

Colours are left to the style sheet, so that one drawing fits light, dark and paper, and nothing has to be loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from math import ceil, log10

import polars as pl

_SATURDAY = 6
_MONDAY = 1
_TICKS = 4


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, in the drawing's units, and what it says."""

    at: float
    label: str


@dataclass(frozen=True)
class Band:
    """One day of a chart: its place, its figures, and whether it is a day of the weekend."""

    left: float
    width: float
    day: date
    is_weekend: bool
    top: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A chart `width` units wide and `height` high, with the marks of both axes and what is drawn between them.

    `bands` are the days, each with its bar; `lines` are SVG paths by name.
    """

    width: int
    height: int
    left: int
    bottom: int
    across: list[Tick]
    up: list[Tick]
    bands: list[Band] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Plane:
    """The drawing area within the margins, and the scale of its vertical axis from 0 to `most`."""

    width: int
    height: int
    most: float
    left: int = 46
    right: int = 8
    above: int = 10
    below: int = 26

    @property
    def bottom(self) -> int:
        return self.height - self.below

    def x(self, share: float) -> float:
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        return round(self.bottom - value / self.most * (self.bottom - self.above), 1)

    def path(self, values: Sequence[float | None]) -> str:
        """A line through the middles of as many equal bands as there are values; it begins at the first value."""
        points = [
            f"{self.x((place + 0.5) / len(values))},{self.y(value)}"
            for place, value in enumerate(values)
            if value is not None
        ]
        return f"M{' '.join(points)}" if points else ""


def daily_chart(days: pl.DataFrame, column: str, width: int, height: int) -> Chart:
    """A bar for each day, with the weekends marked, and the mean of seven days as the line `mean`."""
    plane, up = _plane(days[column], width, height)
    mean = days[column].rolling_mean(7).to_list()
    return _days_chart(days, plane, up, {"mean": plane.path(mean)}, column)


def lines_chart(days: pl.DataFrame, columns: Sequence[str], width: int, height: int) -> Chart:
    """A line over the days for each of the columns, with the weekends marked."""
    plane, up = _plane(pl.concat(days[column].cast(pl.Int64) for column in columns), width, height)
    return _days_chart(days, plane, up, {column: plane.path(days[column].to_list()) for column in columns}, None)


def concentration_chart(cumulative: pl.Series, width: int, height: int) -> Chart:
    """The share of impressions (up) that the most active share of users (across) makes, as the line `share`."""
    plane = _Plane(width, height, 1)
    shares = [0.0, *cumulative.drop_nulls().to_list()]
    step = ceil(len(shares) / 100)
    places = sorted({*range(0, len(shares), step), len(shares) - 1})
    points = " ".join(f"{plane.x(place / max(len(shares) - 1, 1))},{plane.y(shares[place])}" for place in places)
    quarters = [quarter / 4 for quarter in range(5)]
    return Chart(
        width,
        height,
        plane.left,
        plane.bottom,
        [Tick(plane.x(share), f"{share:.0%}") for share in quarters],
        [Tick(plane.y(share), f"{share:.0%}") for share in quarters],
        lines={
            "share": f"M{points}",
            "even": f"M{plane.x(0)},{plane.y(0)} {plane.x(1)},{plane.y(1)}",
        },
    )


def text_sparkline(values: Sequence[float]) -> str:
    """A row of values as a row of block characters, from the lowest for nothing to the highest for the most."""
    most = max(values, default=0)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[round(value / most * (len(blocks) - 1))] if most else blocks[0] for value in values)


def nice_ticks(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, about four steps apart: multiples of 1, 2 or 5 and a power of ten."""
    rough = max(most, 1) / _TICKS
    power = 10 ** int(log10(rough)) if rough >= 1 else 1
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough and power * factor % 1 == 0)
    return [step * number for number in range(ceil(max(most, 1) / step) + 1)]


def short_number(value: float) -> str:
    """A number for an axis: 1,500 is `1.5k`, 2,000,000 is `2M`."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _plane(values: pl.Series, width: int, height: int) -> tuple[_Plane, list[Tick]]:
    most = values.max() or 0
    assert isinstance(most, int | float)
    ticks = nice_ticks(most)
    plane = _Plane(width, height, ticks[-1])
    return plane, [Tick(plane.y(tick), short_number(tick)) for tick in ticks]


def _days_chart(days: pl.DataFrame, plane: _Plane, up: list[Tick], lines: dict[str, str], bars: str | None) -> Chart:
    count = max(days.height, 1)
    wide = plane.x(1 / count) - plane.x(0)
    bands = []
    values = days[bars] if bars else [0] * days.height
    for place, (day, weekday, value) in enumerate(zip(days["event_date"], days["weekday"], values, strict=True)):
        top = plane.y(value)
        height = round(plane.bottom - top, 1)
        bands.append(Band(plane.x(place / count), round(wide, 1), day, weekday >= _SATURDAY, top, height))
    mondays = [band for band in bands if band.day.isoweekday() == _MONDAY]
    # As many labels as fit beside each other.
    every = max(1, ceil(len(mondays) * 62 / plane.width))
    across = [Tick(round(band.left + band.width / 2, 1), f"{band.day:%-d %b}") for band in mondays[::every]]
    return Chart(plane.width, plane.height, plane.left, plane.bottom, across, up, bands, lines)
