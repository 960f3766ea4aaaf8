"""The chart for places that show text only."""

from __future__ import annotations

from sigma_impressions.report.charts import text_sparkline


def test_a_row_of_blocks() -> None:
    assert text_sparkline([0, 5, 10]) == "▁▅█"
    assert text_sparkline([0, 0]) == "▁▁"
    assert text_sparkline([]) == ""
