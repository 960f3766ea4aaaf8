"""The geometry of the report's charts."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from sigma_impressions.report.charts import (
    concentration_chart,
    daily_chart,
    lines_chart,
    nice_ticks,
    short_number,
    text_sparkline,
)

FRIDAY = date(2026, 11, 20)


def days(impressions: list[int]) -> pl.DataFrame:
    dates = [FRIDAY - timedelta(days=age) for age in reversed(range(len(impressions)))]
    return pl.DataFrame(
        {"event_date": dates, "impressions": impressions, "users": [1] * len(dates)},
        schema_overrides={"impressions": pl.Int64, "event_date": pl.Date},
    ).with_columns(weekday=pl.col("event_date").dt.weekday())


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, [0, 1]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (90, [0, 25, 50, 75, 100]),
        (2268, [0, 1000, 2000, 3000]),
        (104_172, [0, 50_000, 100_000, 150_000]),
    ],
)
def test_the_marks_of_an_axis_are_round_and_reach_the_most(most: float, ticks: list[float]) -> None:
    assert nice_ticks(most) == ticks


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (999, "999"), (1500, "1.5k"), (2_000_000, "2M")])
def test_short_numbers(value: float, text: str) -> None:
    assert short_number(value) == text


def test_bars_are_as_high_as_their_days_and_weekends_are_marked() -> None:
    chart = daily_chart(days([40, 20, 0, 10, 40, 40, 40]), "impressions", 1000, 200)
    assert [band.day.isoweekday() for band in chart.bands if band.is_weekend] == [6, 7]
    heights = [band.height for band in chart.bands]
    assert heights[2] == 0
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.2) == pytest.approx(4 * heights[3], abs=0.4)
    assert all(band.top + band.height == pytest.approx(chart.bottom) for band in chart.bands)
    assert [tick.label for tick in chart.across] == ["16 Nov"]
    # Six of the seven days have no mean of seven days.
    assert chart.lines["mean"].count(",") == 1


@pytest.mark.parametrize("impressions", [[], [0], [0] * 60])
def test_nothing_can_be_drawn(impressions: list[int]) -> None:
    chart = daily_chart(days(impressions), "impressions", 360, 200)
    assert [band.height for band in chart.bands] == [0] * len(impressions)
    assert lines_chart(days(impressions), ("users",), 360, 200).up[0].label == "0"
    assert concentration_chart(pl.Series([], dtype=pl.Float64), 360, 200).lines["share"]


def test_concentration_begins_at_nothing_and_ends_at_all_of_many_users() -> None:
    chart = concentration_chart(pl.Series([min(1.0, 0.5 + number / 4000) for number in range(2001)]), 360, 240)
    points = chart.lines["share"].removeprefix("M").split(" ")
    assert len(points) <= 102
    assert points[0] == f"{chart.left:.1f},{chart.bottom:.1f}"
    assert points[-1] == f"{360 - 8:.1f},10.0"


def test_a_row_of_blocks() -> None:
    assert text_sparkline([0, 5, 10]) == "▁▅█"
    assert text_sparkline([0, 0]) == "▁▁"
    assert text_sparkline([]) == ""
