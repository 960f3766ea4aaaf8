"""Generated export files for the benchmarks, of any length: `python -m bench.exports FILE ROWS FORM`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

_ROWS_AT_ONCE = 1_000_000


class Form(Enum):
    """How an export writes its fields; every form but the first costs the reader a second look."""

    PLAIN = "plain"
    QUOTED = "every field in quotes"
    SPACED = "spaces before the quotes"
    BACKSLASHED = "quotes in values as backslash and quote"
    URLS = "references as URLs"


_QUOTE_MARK = b"~"
"""Stands for a quote inside a value until the frame is written, as polars would double it."""


def write_export(path: Path, rows: int, form: Form = Form.PLAIN) -> None:
    """Write an export of five columns, about 80 bytes a row, 140 with references as URLs."""
    rng = np.random.default_rng(7)
    letters = np.array(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
    workbooks = pl.Series(["".join(rng.choice(letters, 22)) for _ in range(3_000)])
    if form is Form.URLS:
        workbooks = "https://app.sigmacomputing.com/example/workbook/Quarterly-Sales-" + workbooks + "?:nodeId=1"
    elements = pl.Series(["".join(rng.choice(letters, 10)) for _ in range(20_000)] + [None] * 10_000)
    if form is Form.BACKSLASHED:
        elements = elements.str.replace("^(..)", "${1}~")
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
            style: Literal["necessary", "always"] = "necessary" if form in (Form.PLAIN, Form.URLS) else "always"
            text = frame.write_csv(include_header=first == 0, quote_style=style).encode()
            if form is Form.SPACED:
                text = text.replace(b'","', b'", "')
            target.write(text.replace(_QUOTE_MARK, b'\\"'))


if __name__ == "__main__":
    write_export(Path(sys.argv[1]), int(sys.argv[2]), Form[sys.argv[3]])
