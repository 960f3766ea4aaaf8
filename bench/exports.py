"""Generated export files for the benchmarks: the shape of an audit log, of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

_ROWS_AT_ONCE = 1_000_000


def write_export(path: Path, rows: int, quoted: bool) -> None:
    """Write an export of five columns, about 80 bytes a row; with `quoted`, every field is in quotes."""
    rng = np.random.default_rng(7)
    letters = np.array(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
    workbooks = pl.Series(["".join(rng.choice(letters, 22)) for _ in range(3_000)])
    elements = pl.Series(["".join(rng.choice(letters, 10)) for _ in range(20_000)] + [None] * 10_000)
    users = pl.Series([f"user.{number:05d}@example.com" for number in range(20_000)])
    start = 1_790_000_000_000
    with path.open("wb") as target:
        for first in range(0, rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, rows - first)
            times = pl.Series(start + np.sort(rng.integers(0, 86_400_000, count))).cast(pl.Datetime("ms"))
            frame = pl.DataFrame(
                {
                    "request_time": times.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
                    "user_email": users.gather(rng.zipf(1.3, count) % users.len()),
                    "workbook_url_id": workbooks.gather(rng.zipf(1.3, count) % workbooks.len()),
                    "element_id": elements.gather(rng.integers(0, elements.len(), count)),
                    "count": pl.Series(rng.integers(1, 4, count)),
                }
            )
            frame.write_csv(target, include_header=first == 0, quote_style="always" if quoted else "necessary")
