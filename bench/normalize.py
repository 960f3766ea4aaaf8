"""The normalization of one export file, measured against its peers."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.exports import write_export
from bench.measure import Command, Measured, compare

_ROWS = 5_000_000
_LARGE_ROWS = 62_000_000
"""About 5 GB, the largest export that Sigma writes."""

_ROUNDS = 5


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    yield "From one export file to Parquet"
    yield (
        f"{_ROWS:,} rows of five columns. `project` validates every row and keeps what it rejects; `polars_copy` "
        "(`scan_csv` → `sink_parquet`, the floor) and `duckdb` (`read_csv` + `try_cast`) convert without validation; "
        "`pandas` is a script with the same validation."
    )
    yield ""
    yield "| file | size | way | seconds | project, plain = 1 | peak memory | Parquet |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    plain, quoted, packed = folder / "plain.csv", folder / "quoted.csv", folder / "plain.csv.gz"
    write_export(plain, _ROWS, quoted=False)
    write_export(quoted, _ROWS, quoted=True)
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    ways = {way: _reader(way, plain, folder) for way in ("project", "polars_copy", "duckdb", "pandas")}
    ways["quoted"] = _reader("project", quoted, folder)
    ways["packed"] = _reader("project", packed, folder)
    ways["gzip -dc"] = (_program("gzip"), "-dc", str(packed))
    measured = compare(ways, _ROUNDS)
    reference = measured["project"]
    for way in ("project", "polars_copy", "duckdb", "pandas"):
        yield _row(plain, way, measured[way], reference, folder)
    yield _row(quoted, "project", measured["quoted"], reference, folder)
    yield _row(packed, "project", measured["packed"], reference, folder)
    yield _row(packed, "gzip -dc", measured["gzip -dc"], reference, folder)
    if large:
        for file in (plain, quoted, packed):
            file.unlink()
        huge = folder / "large.csv"
        write_export(huge, _LARGE_ROWS, quoted=False)
        yield _row(huge, "project", compare({"": _reader("project", huge, folder)}, 1)[""], reference, folder)


def _reader(way: str, file: Path, folder: Path) -> Command:
    return ("bench.readers", way, str(file), str(folder))


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"the program {name} is not installed")
    return path


def _row(file: Path, way: str, measured: Measured, reference: Measured, folder: Path) -> str:
    written = folder / f"{way}.parquet"
    size = f"{written.stat().st_size / 1e6:,.0f} MB" if written.exists() else ""
    return (
        f"| {file.name} | {file.stat().st_size / 1e6:,.0f} MB | {way} | {measured.seconds:.2f} | "
        f"{measured.seconds / reference.seconds:.2f} | {measured.memory} | {size} |"
    )
