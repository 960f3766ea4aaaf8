"""What one run needs with more rows a day."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from bench import windows
from bench.measure import Measured, measure
from bench.stock import stock_of
from bench.windows import LAST_DAY, WINDOW
from sigma_impressions.lake.schemas import ALL_TABLES
from sigma_impressions.lake.tables import Tables

_FIRST, _BEFORE = LAST_DAY - timedelta(days=WINDOW - 1), LAST_DAY - timedelta(days=1)
"""The days that are known at the beginning."""


class _Size(NamedTuple):
    rows: int
    gigabytes: int
    """The setting `SIGMA_IMPRESSIONS_MEMORY_GIGABYTES`."""


_SIZES = (_Size(1_000_000, 1), _Size(10_000_000, 5))


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results; the larger size only with `large`."""
    yield "One run with more rows a day"
    yield (
        f"A history of {WINDOW} days by 12,000 users, as above, each measured once, one after the other: the first "
        f"build of all days but the last, a new day, a late file with rows of six event dates, nothing new. `limit`: "
        "`SIGMA_IMPRESSIONS_MEMORY_GIGABYTES`."
    )
    yield ""
    yield "| rows a day | limit | way | seconds | seconds a million | peak memory | tables, a day |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for size in _SIZES if large else _SIZES[:1]:
        known, storage = folder / f"{size.rows} rows", folder / "measured"
        shutil.rmtree(storage, ignore_errors=True)  # of a measurement that was broken off
        _generate(known, size)
        windows.link(known, storage)
        results = _measure(storage, size)
        each_day = sum(stock_of(Tables(storage), table).bytes for table in ALL_TABLES) / WINDOW
        for way, measured in results.items():
            yield (
                f"| {size.rows:,} | {size.gigabytes} GB | {way} | {measured.seconds:.1f} "
                f"| {measured.seconds / size.rows * 1e6:.1f} | {measured.memory} | {each_day / 1e6:.0f} MB |"
            )
        shutil.rmtree(storage)


def _generate(known: Path, size: _Size) -> None:
    """Write the rows of all days but the last, which a folder that was kept has already."""
    if not known.exists():
        incomplete = known.with_suffix(".incomplete")
        shutil.rmtree(incomplete, ignore_errors=True)
        measure((windows.MODULE, "generate", str(incomplete), str(_FIRST), str(_BEFORE), str(size.rows)))
        incomplete.rename(known)


def _measure(storage: Path, size: _Size) -> dict[str, Measured]:
    def run(function: str, *arguments: object) -> Measured:
        return measure((windows.MODULE, function, str(storage), *map(str, arguments)))

    def publish(*days: date) -> Measured:
        return run("build", *days, size.gigabytes)

    results = {"first build": publish(_FIRST, _BEFORE)}
    run("generate", LAST_DAY, LAST_DAY, size.rows)
    results["a new day"] = publish(LAST_DAY, LAST_DAY)
    run("generate_late", LAST_DAY, size.rows)
    results["late file"] = publish(LAST_DAY, LAST_DAY)
    results["nothing new"] = publish(LAST_DAY, LAST_DAY)
    return results
