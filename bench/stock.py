"""What a storage takes: its data files, the logs of its tables, what is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sigma_impressions.lake.schemas import ALL_TABLES, METRIC_TABLES, NORMALIZED_IMPRESSIONS, Table
from sigma_impressions.lake.tables import Tables, files_of


@dataclass(frozen=True)
class Stock:
    """Of a table: the data files of its newest version, what lies in its folder, and the part of it that is the log."""

    files: int
    bytes: int
    on_disk: int
    entries: int
    log_bytes: int


def stock_of(tables: Tables, table: Table) -> Stock:
    """What a table takes; its log has a file for each commit, and one for each checkpoint."""
    files = files_of(tables.open(table))
    log = [path.stat().st_size for path in (tables.root / table.name / "_delta_log").iterdir()]
    of_data = sum(tables.storage.sizes(table.name).values())
    return Stock(files.height, int(files["size_bytes"].sum()), of_data + sum(log), len(log), sum(log))


@dataclass(frozen=True)
class Shares:
    """Bytes of a storage: all that is read of it, the as-of tables, and the normalized rows to compare them with."""

    everything: int
    as_of: int
    normalized: int

    @property
    def everything_ratio(self) -> str:
        return f"{self.everything / self.normalized:.2f}"

    @property
    def as_of_ratio(self) -> str:
        return f"{self.as_of / self.normalized:.2f}"


def shares_of(storage: Path) -> Shares:
    """What the parts of a storage take: data files of the newest versions, the logs, and the published files."""
    tables = Tables(storage)
    stocks = {table: stock_of(tables, table) for table in ALL_TABLES}
    published = sum(path.stat().st_size for path in storage.iterdir() if path.is_file())
    return Shares(
        everything=sum(stock.bytes + stock.log_bytes for stock in stocks.values()) + published,
        as_of=sum(stocks[table].bytes for table in METRIC_TABLES),
        normalized=stocks[NORMALIZED_IMPRESSIONS].bytes,
    )
