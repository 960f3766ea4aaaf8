"""The normalization of one export file, measured against its peers."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.exports import Form
from bench.measure import Command, Measured, compare, measure, revision

_ROWS = 5_000_000
_LARGE_ROWS = 62_000_000
"""About 5 GB, the largest export that Sigma writes."""

_ROUNDS = 9


def lines(folder: Path, large: bool, before: Path | None = None) -> Iterator[str]:
    """The section of the results; `large` adds the largest file, and `before` what another checkout takes."""
    other_forms = [form for form in Form if form is not Form.PLAIN]
    yield "From one export file to Parquet"
    yield (
        f"{_ROWS:,} rows of five columns. `project` validates every row and keeps what it rejects; `polars_copy` "
        "(`scan_csv` → `sink_parquet`, the floor) and `duckdb` (`read_csv` + `try_cast`) convert without validation; "
        "`pandas` is a script with the same validation. The other files hold the same rows in other forms: "
        f"{'; '.join(f'`{form.name.lower()}`: {form.value}' for form in other_forms)}. `seconds` are those of the "
        "work, once the process has started and imported its libraries; the whole process is beside it."
        + (f" `before`: `project` by {revision(before)}." if before else "")
    )
    yield ""
    yield "| file | size | way | seconds | project, plain = 1 | whole process | peak memory | Parquet |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    files = {form: folder / f"{form.name.lower()}.csv" for form in Form}
    for form, file in files.items():
        _write(file, _ROWS, form)
    plain, packed = files[Form.PLAIN], folder / "plain.csv.gz"
    with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    ways = {way: _reader(way, plain, folder) for way in ("project", "polars_copy", "duckdb", "pandas")}
    ways |= {form.name: _reader("project", files[form], folder) for form in other_forms}
    ways["packed"] = _reader("project", packed, folder)
    compared = {f"{form.name}, before": files[form] for form in (Form.PLAIN, Form.QUOTED)} if before else {}
    ways |= {way: _reader("project", file, folder) for way, file in compared.items()}
    measured = compare(ways, _ROUNDS, dict.fromkeys(compared, before))
    gzip_seconds = _unpack(packed)
    reference = measured["project"]
    for way in ("project", "polars_copy", "duckdb", "pandas"):
        yield _row(plain, way, measured[way], reference, folder)
    for form in other_forms:
        yield _row(files[form], "project", measured[form.name], reference, folder)
    for way, file in compared.items():
        yield _row(file, "before", measured[way], reference, folder)
    yield _row(packed, "project", measured["packed"], reference, folder)
    yield f"| {packed.name} | | gzip -dc | {gzip_seconds:.2f} | {gzip_seconds / reference.work_seconds:.2f} | | | |"
    if large:
        for file in (*files.values(), packed):
            file.unlink()
        huge = folder / "large.csv"
        _write(huge, _LARGE_ROWS, Form.PLAIN)
        yield _row(huge, "project", compare({"": _reader("project", huge, folder)}, 1)[""], reference, folder)


def _write(file: Path, rows: int, form: Form) -> None:
    """Write the file in a process of its own: a measured one starts with the peak memory of the one that starts it."""
    measure(("bench.exports", str(file), str(rows), form.name))


def _reader(way: str, file: Path, folder: Path) -> Command:
    return ("bench.readers", way, str(file), str(folder))


def _unpack(packed: Path) -> float:
    start = time.perf_counter()
    subprocess.run(["gzip", "-dc", str(packed)], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _row(file: Path, way: str, measured: Measured, reference: Measured, folder: Path) -> str:
    written = folder / f"{way}.parquet"
    size = f"{written.stat().st_size / 1e6:,.0f} MB" if written.exists() else ""
    return (
        f"| {file.name} | {file.stat().st_size / 1e6:,.0f} MB | {way} | "
        f"{measured.work_seconds:.2f} | {measured.work_seconds / reference.work_seconds:.2f} | "
        f"{measured.seconds:.2f} | {measured.memory} | {size} |"
    )
