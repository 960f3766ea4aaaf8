"""What a storage grows to, day by day, and what maintenance makes of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from bench import windows
from bench.history import History, add_days
from bench.measure import measure
from bench.stock import Shares, Stock, shares_of, stock_of
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import ALL_TABLES, EXPORT_FILES, RAW_EXPORT_FILES, Table
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upkeep import DEFAULT_KEEP_DAYS
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upstream.snapshots import capture_snapshot
from sigma_impressions_tests.upkeep.ages import age

_LAST_DAY = windows.LAST_DAY
_MONTH = 30
_HISTORIES = {60: 300_000}
_LARGE_HISTORIES = {365: 50_000}
"""Days, with the rows of each."""

_AGED = 31
"""Days after which maintenance comes: older than what it keeps, and than what the logs keep."""

_MODULE = "bench.growth"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results; `large` adds a history of a year."""
    yield "What a storage grows to"
    yield (
        "A run a day: the new exports are counted, the metrics as of that day are stated and published; the resources "
        f"stay the same. Then all is made {_AGED} days older and maintained, with {DEFAULT_KEEP_DAYS} days to keep. "
        "`data` are the data files of the newest version, `on disk` all files of the table, those of older versions "
        "and the log among them: what was merged just now stays for the days to keep. `everything` is the data of all "
        "tables, their logs, and what is published; `as-of tables` are those with rows for each as-of date."
    )
    parts = [_history(folder / str(days), days, rows) for days, rows in _histories(large).items()]
    yield ""
    yield "| days | rows a day | normalized rows | as-of tables, normalized = 1 | everything | maintenance, seconds |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for ratios, _ in parts:
        yield from ratios
    for _, of_tables in parts:
        yield ""
        yield from of_tables


def _histories(large: bool) -> Mapping[int, int]:
    return {**_HISTORIES, **(_LARGE_HISTORIES if large else {})}


def _history(storage: Path, days: int, rows: int) -> tuple[list[str], list[str]]:
    """Let a storage grow; the lines of the table of ratios, and those of the table of its tables."""
    first = _LAST_DAY - timedelta(days=days - 1)
    month = first + timedelta(days=_MONTH - 1)
    _grow(storage, first, month, rows)
    of_month = shares_of(storage)
    _grow(storage, month + timedelta(days=1), _LAST_DAY, rows)
    grown, before = shares_of(storage), _stocks(storage)
    age(storage, _AGED)
    maintained = measure((_MODULE, "keep", str(storage)))
    ratios = [
        _ratios(_MONTH, rows, of_month),
        _ratios(days, rows, grown, f"{maintained.work_seconds:.1f}"),
    ]
    return ratios, [f"{days} days of {rows:,} rows:", "", *_of_tables(days, before, _stocks(storage))]


def _grow(storage: Path, first: date, last: date, rows: int) -> None:
    measure((_MODULE, "grow", str(storage), str(first), str(last), str(rows)))


def _ratios(days: int, rows: int, shares: Shares, maintained: str = "") -> str:
    figures = (_megabytes(shares.normalized), shares.as_of_ratio, shares.everything_ratio, maintained)
    return f"| {days} | {rows:,} | {' | '.join(figures)} |"


def _stocks(storage: Path) -> dict[Table, Stock]:
    tables = Tables(storage)
    return {table: stock_of(tables, table) for table in ALL_TABLES}


def _of_tables(days: int, before: Mapping[Table, Stock], after: Mapping[Table, Stock]) -> Iterator[str]:
    """What each table takes, before and after it was maintained."""
    columns = ("on disk", "data files", "log entries", "log")
    later = [f"{name}, maintained" for name in columns]
    yield f"| table | data a day | data | {' | '.join((*columns, *later))} |"
    yield "| --- " * (2 * len(columns) + 3) + "|"
    for table, was in before.items():
        a_day = f"{was.bytes / days / 1000:,.1f} KB"
        yield f"| {table.name} | {a_day} | {_megabytes(was.bytes)} | {_figures(was)} | {_figures(after[table])} |"


def _figures(stock: Stock) -> str:
    figures = (_megabytes(stock.on_disk), f"{stock.files:,}", f"{stock.entries:,}", _megabytes(stock.log_bytes))
    return " | ".join(figures)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"


# --- in a process of their own


def grow(storage: Path, first: str, last: str, rows: str) -> None:
    """A run a day, as a schedule starts it."""
    history = History()
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    capture_snapshot(Tables(storage), history.resources(), "bench", datetime(2025, 1, 1, tzinfo=UTC))
    for number in range((end - begin).days + 1):
        day = begin + timedelta(days=number)
        tables = Tables(storage)
        add_days(tables, history, [day], int(rows))
        captured = tables.read(EXPORT_FILES).filter(pl.col("file_date") == day)
        listed = captured.with_columns(first_seen_at="captured_at").select(RAW_EXPORT_FILES.schema.names())
        append_rows(tables.open(RAW_EXPORT_FILES), listed.collect())
        windows.publish(storage, str(day))


def keep(storage: Path) -> None:
    """Maintain the storage, and print how many seconds that takes."""
    started = time.perf_counter()
    maintain(Tables(storage), timedelta(days=DEFAULT_KEEP_DAYS), lambda _: None)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    _, name, folder, *options = sys.argv
    globals()[name](Path(folder), *options)
