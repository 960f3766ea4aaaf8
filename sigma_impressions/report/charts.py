"""A chart for places that show text only; those of the page are drawn in the browser."""

from __future__ import annotations

from collections.abc import Sequence


def text_sparkline(values: Sequence[float]) -> str:
    """A row of values as a row of block characters, from the lowest for nothing to the highest for the most."""
    most = max(values, default=0)
    blocks = "▁▂▃▄▅▆▇█"
    return "".join(blocks[round(value / most * (len(blocks) - 1))] if most else blocks[0] for value in values)
