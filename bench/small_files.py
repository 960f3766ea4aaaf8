"""A day with many small export files, from the object store to the tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.exports import write_export
from bench.measure import compare

_FILES = 2_000
_ROWS = 62
"""Of one file: about 5 KB."""

_BUCKET = "exports"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    from sigma_impressions.demo.object_store import EmbeddedObjectStore

    yield "A day with many small export files"
    with EmbeddedObjectStore(folder / "store") as store:
        os.environ.update(store.environment())
        store.create_bucket(_BUCKET)
        client = store.client()
        file = folder / "small.csv"
        write_export(file, _ROWS)
        content = file.read_bytes()
        for number in range(_FILES):
            client.put_object(Bucket=_BUCKET, Key=f"{number:05}.csv", Body=content)
        ways = {way: ("bench.small_files", way, str(folder)) for way in WAYS}
        measured = compare(ways, rounds=3)
    yield (
        f"{_FILES:,} files of {len(content):,} bytes on an S3 server on the same machine. `project` lists, registers, "
        "validates and commits them; `download` only fetches their bytes, one after the other, and `pandas` parses "
        "these besides and writes one Parquet file, without validation."
    )
    yield ""
    yield "| way | files a second | seconds | project = 1 | peak memory |"
    yield "| --- | --- | --- | --- | --- |"
    for way, result in measured.items():
        ratio = result.seconds / measured["project"].seconds
        yield f"| {way} | {_FILES / result.seconds:,.0f} | {result.seconds:.2f} | {ratio:.2f} | {result.memory} |"


def project(folder: Path) -> None:
    import shutil

    from sigma_impressions.clouds.s3.objects import S3Store
    from sigma_impressions.exports.capture import capture_pending
    from sigma_impressions.exports.listing import sort_out
    from sigma_impressions.exports.manifest import record_listing
    from sigma_impressions.exports.reading.rules import ReadingRules
    from sigma_impressions.lake.tables import Tables

    storage = folder / "storage"
    shutil.rmtree(storage, ignore_errors=True)
    tables, store, now = Tables(storage), S3Store(_client(), _BUCKET), datetime.now(UTC)
    record_listing(tables, sort_out(store.list(""), {now.date()}, None), now)
    captured = capture_pending(
        tables, lambda: store, ReadingRules(), pattern=None, report=lambda line: None, warn=print
    )
    if sum(row["accepted"] for row in captured) != _FILES * _ROWS:
        raise RuntimeError("rows are missing")


def download(folder: Path) -> None:
    client = _client()
    for number in range(_FILES):
        client.get_object(Bucket=_BUCKET, Key=f"{number:05}.csv")["Body"].read()


def pandas(folder: Path) -> None:
    import pandas as pd

    client = _client()
    bodies = (client.get_object(Bucket=_BUCKET, Key=f"{number:05}.csv")["Body"] for number in range(_FILES))
    pd.concat([pd.read_csv(body, parse_dates=["request_time"]) for body in bodies]).to_parquet(
        folder / "pandas.parquet"
    )


def _client() -> object:
    import boto3

    return boto3.session.Session().client("s3")


WAYS = {way.__name__: way for way in (project, download, pandas)}

if __name__ == "__main__":
    WAYS[sys.argv[1]](Path(sys.argv[2]))
