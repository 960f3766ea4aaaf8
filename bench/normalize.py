"""Measure the normalization against its peers and write the table: `python -m bench.normalize [--rows N] [--large]`."""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.exports import write_export
from bench.measure import Measured, median

RESULTS = Path(__file__).with_name("RESULTS.md")
_LARGE_ROWS = 62_000_000
"""About 5 GB, the largest export that Sigma writes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also measure a file of 5 GB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sigma-impressions-bench-") as folder:
        lines = list(_lines(Path(folder), options.rows, options.runs, options.large))
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _lines(folder: Path, rows: int, runs: int, large: bool) -> Iterator[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "pandas"))
    yield "# Measured"
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}. "
        "Whole processes, median of "
        f"{runs} runs after one that is not counted; times are the machine's, ratios are what to look at. "
        "`make bench` writes this file."
    )
    yield ""
    yield "## From one export file to Parquet"
    yield ""
    yield (
        f"{rows:,} rows of five columns. `project` validates every row and keeps what it rejects; `polars_copy` "
        "(`scan_csv` → `sink_parquet`, the floor) and `duckdb` (`read_csv` + `try_cast`) convert without validation; "
        "`pandas` is a script with the same validation."
    )
    yield ""
    yield "| file | size | way | seconds | ratio to project, plain | peak memory |"
    yield "| --- | --- | --- | --- | --- | --- |"
    plain, quoted = folder / "plain.csv", folder / "quoted.csv"
    write_export(plain, rows, quoted=False)
    write_export(quoted, rows, quoted=True)
    reference = median("bench.readers", "project", str(plain), str(folder), runs=runs)
    yield _row(plain, "project", reference, reference)
    for way in ("polars_copy", "duckdb", "pandas"):
        yield _row(plain, way, median("bench.readers", way, str(plain), str(folder), runs=runs), reference)
    yield _row(quoted, "project", median("bench.readers", "project", str(quoted), str(folder), runs=runs), reference)
    packed = folder / "plain.csv.gz"
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    yield _row(packed, "project", median("bench.readers", "project", str(packed), str(folder), runs=runs), reference)
    yield _row(packed, "gzip -dc", _gzip(packed), reference)
    if large:
        huge = folder / "large.csv"
        write_export(huge, _LARGE_ROWS, quoted=False)
        yield _row(huge, "project", median("bench.readers", "project", str(huge), str(folder), runs=1), reference)


def _row(file: Path, way: str, measured: Measured, reference: Measured) -> str:
    memory = f"{measured.peak_bytes / 1e9:.2f} GB" if measured.peak_bytes else ""
    return (
        f"| {file.name} | {file.stat().st_size / 1e6:,.0f} MB | {way} | {measured.seconds:.2f} | "
        f"{measured.seconds / reference.seconds:.2f} | {memory} |"
    )


def _gzip(packed: Path) -> Measured:
    start = time.perf_counter()
    subprocess.run(["gzip", "-dc", str(packed)], stdout=subprocess.DEVNULL, check=True)
    return Measured(time.perf_counter() - start, 0)


if __name__ == "__main__":
    main()
