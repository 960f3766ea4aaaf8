"""Four ways from one export file to Parquet, each in a process of its own: `python -m bench.readers WAY FILE FOLDER`.

Only `project` validates, keeps what it rejects, and counts; `pandas` is the script that a team would write, with
the same validation; `polars_copy` and `duckdb` convert without looking. Every way imports what it needs and
returns the work itself, whose seconds are printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

LAST_MODIFIED = datetime(2026, 12, 31, tzinfo=UTC)

Work = Callable[[], object]


def project(file: Path, folder: Path) -> Work:
    from sigma_impressions.exports.reading.normalize import normalize_file
    from sigma_impressions.exports.reading.rules import ReadingRules

    return lambda: normalize_file(
        file,
        last_modified=LAST_MODIFIED,
        rules=ReadingRules(),
        accepted_to=folder / "project.parquet",
        rejected_to=folder / "rejected.parquet",
        scratch=folder,
    )


def polars_copy(file: Path, folder: Path) -> Work:
    import polars as pl

    return lambda: pl.scan_csv(file, infer_schema=False).sink_parquet(folder / "polars_copy.parquet")


def duckdb(file: Path, folder: Path) -> Work:
    import duckdb as db

    db.execute("SET TimeZone = 'UTC'")
    copy = (
        f"COPY (SELECT try_cast(request_time AS TIMESTAMPTZ) AS request_time, lower(trim(user_email)) AS user_email, "
        f"trim(workbook_url_id) AS workbook_url_id, element_id, try_cast(count AS BIGINT) AS count "
        f"FROM read_csv('{file}', all_varchar = true)) TO '{folder / 'duckdb.parquet'}' (FORMAT parquet)"
    )
    return lambda: db.execute(copy)


def pandas(file: Path, folder: Path) -> Work:
    import pandas as pd

    def work() -> None:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=["", "\\N", "null", "NULL"])
        for column in frame.columns:
            frame[column] = frame[column].str.strip()
        frame["request_time"] = pd.to_datetime(frame["request_time"], utc=True, errors="coerce", format="ISO8601")
        frame["user_email"] = frame["user_email"].str.lower()
        frame["count"] = pd.to_numeric(frame["count"], errors="coerce").fillna(1)
        good = (
            frame["request_time"].notna()
            & frame["user_email"].notna()
            & frame["workbook_url_id"].notna()
            & (frame["count"] >= 1)
            & (frame["request_time"] <= LAST_MODIFIED)
        )
        frame["event_date"] = frame["request_time"].dt.date
        frame[good].to_parquet(folder / "pandas.parquet")
        frame[~good].to_parquet(folder / "rejected.parquet")

    return work


WAYS = {way.__name__: way for way in (project, polars_copy, duckdb, pandas)}

if __name__ == "__main__":
    run = WAYS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start)
