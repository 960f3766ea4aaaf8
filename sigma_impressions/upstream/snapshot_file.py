"""Read a snapshot of `sigma_resources` from a file that the upstream integration left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from sigma_impressions.clouds.objects import ACCESS_DENIED, ObjectStore, key_of
from sigma_impressions.errors import ObjectGone, ObjectUnreadable, ResourcesUnreadable, StoreError
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.upstream.contract import conform

FILE_LIMIT: Final = 256 * 2**20
"""Bytes that the file may have, also once it is decompressed; 100,000 resources take some ten million."""


def read_snapshot(location: str, bucket: ObjectStore | None = None) -> pl.DataFrame:
    """The resources of a Parquet, CSV or newline-delimited JSON file at a path or URI, as the contract has them.

    `bucket` is the one that a URI names; None for a local path. What is fetched and kept in memory is bounded.
    Raises `ResourcesUnreadable` if the file cannot be opened or is over a limit, `ResourcesRefused` if it breaks the
    contract, `StoreError` if the bucket cannot be read. Of the file's content a message holds no more than names of
    columns, keys of rows, and one value that cannot be read, without addresses.
    """
    read = _reader(location)
    with temporary_folder() as folder:
        try:
            path = Path(location) if bucket is None else _fetched(location, bucket, folder)
            _check_size(path.stat().st_size)
            if not path.is_file():
                raise ResourcesUnreadable("it is a folder, or no regular file")
            frame = read(path, FILE_LIMIT)
        except (FileNotFoundError, ObjectGone):
            raise ResourcesUnreadable(
                f"There is no file {location}. Set SIGMA_IMPRESSIONS_RESOURCES to where the upstream Sigma "
                "integration leaves its resources."
            ) from None
        except ResourcesUnreadable as problem:
            raise ResourcesUnreadable(f"{location} cannot be read: {problem}.") from None
    return conform(frame, location)


def _reader(location: str) -> Callable[[Path, int], pl.DataFrame]:
    """What reads a file of that name, up to so many bytes; it raises `ResourcesUnreadable` for whatever is wrong."""
    from sigma_impressions.upstream.snapshot_parquet import parquet_frame
    from sigma_impressions.upstream.snapshot_text import csv_frame, ndjson_frame

    readers: dict[tuple[str, ...], Callable[[Path, int], pl.DataFrame]] = {
        (".parquet", ".pq"): parquet_frame,
        (".csv",): csv_frame,
        (".ndjson", ".jsonl", ".json"): ndjson_frame,
    }
    reader = next((read for endings, read in readers.items() if location.lower().endswith(endings)), None)
    if reader is None:
        raise ResourcesUnreadable(
            f"The name of {location} ends in none of .parquet, .csv, .ndjson, .jsonl. Give "
            "SIGMA_IMPRESSIONS_RESOURCES the path or URI of a Parquet, CSV or newline-delimited JSON file."
        )
    return _guarded(reader)


def _guarded(reader: Callable[[Path, int], pl.DataFrame]) -> Callable[[Path, int], pl.DataFrame]:
    """The reader, with a sentence for the errors of the libraries: only their kind, as the text may quote the file."""

    def read(path: Path, limit: int) -> pl.DataFrame:
        try:
            return reader(path, limit)
        except (FileNotFoundError, ResourcesUnreadable):
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            why = error.strerror if isinstance(error, OSError) and error.errno else "its content is damaged"
            raise ResourcesUnreadable(f"{why} ({type(error).__name__}). If it is there, write it anew") from None

    return read


def _fetched(location: str, bucket: ObjectStore, folder: Path) -> Path:
    """A copy of the file, which is never longer than its size said."""
    try:
        item = bucket.stat(key_of(location))
        _check_size(item.size)
        bucket.download(item, folder / "resources")
    except StoreError as error:
        # Of a file that is not there S3 says so only to those who may list.
        asked = (
            "; or is the name misspelt?"
            if isinstance(error, ObjectUnreadable) and error.reason == ACCESS_DENIED
            else ""
        )
        raise StoreError(f"The file that SIGMA_IMPRESSIONS_RESOURCES names cannot be read. {error}{asked}") from None
    return folder / "resources"


def _check_size(size: int) -> None:
    if size > FILE_LIMIT:
        raise ResourcesUnreadable(f"it has {size:,} bytes, and more than {FILE_LIMIT:,} are not read")
