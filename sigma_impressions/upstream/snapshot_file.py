"""Read a snapshot of `sigma_resources`, or of the members, from a file that the upstream integration left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from sigma_impressions.clouds.objects import ACCESS_DENIED, ObjectStore, key_of
from sigma_impressions.errors import ObjectGone, ObjectUnreadable, ResourcesUnreadable, StoreError
from sigma_impressions.lake.scratch import temporary_folder
from sigma_impressions.upstream.contract import RESOURCES, Contract, conform

FILE_LIMIT: Final = 256 * 2**20
"""Bytes that the file may have, also once it is decompressed; 100,000 resources take some ten million."""


def read_snapshot(location: str, bucket: ObjectStore | None = None) -> pl.DataFrame:
    """The resources of a file at a path or URI, as the contract has them. Raises as `read_rows` does.

    Raises `ResourcesRefused` if the file breaks the contract. Of its content a message holds no more than names of
    columns, keys of rows, and one value that cannot be read, without addresses.
    """
    return conform(read_rows(location, bucket, RESOURCES), location)


def read_rows(location: str, bucket: ObjectStore | None, contract: Contract) -> pl.DataFrame:
    """The columns that a contract knows of a Parquet, CSV or newline-delimited JSON file at a path or URI.

    `bucket` is the one that a URI names; None for a local path. What is fetched and kept in memory is bounded.
    Raises `ResourcesUnreadable` if the file cannot be opened or is over a limit, `StoreError` if the bucket cannot be
    read. Of the file's content a message holds no more than names of columns.
    """
    read = _reader(location, contract)
    with temporary_folder() as folder:
        try:
            path = Path(location) if bucket is None else _fetched(location, bucket, folder, contract)
            _check_size(path.stat().st_size)
            if not path.is_file():
                raise ResourcesUnreadable("it is a folder, or no regular file")
            return read(path, FILE_LIMIT)
        except (FileNotFoundError, ObjectGone):
            raise ResourcesUnreadable(
                f"There is no file {location}. Set {contract.variable} to where the upstream Sigma "
                f"integration leaves {contract.whose}."
            ) from None
        except ResourcesUnreadable as problem:
            raise ResourcesUnreadable(f"{location} cannot be read: {problem}.") from None


def _reader(location: str, contract: Contract) -> Callable[[Path, int], pl.DataFrame]:
    """What reads a file of that name, up to so many bytes; it raises `ResourcesUnreadable` for whatever is wrong."""
    from sigma_impressions.upstream.snapshot_parquet import parquet_frame
    from sigma_impressions.upstream.snapshot_text import csv_frame, ndjson_frame

    readers: dict[tuple[str, ...], Callable[[Path, int, Contract], pl.DataFrame]] = {
        (".parquet", ".pq"): parquet_frame,
        (".csv",): csv_frame,
        (".ndjson", ".jsonl", ".json"): ndjson_frame,
    }
    reader = next((read for endings, read in readers.items() if location.lower().endswith(endings)), None)
    if reader is None:
        raise ResourcesUnreadable(
            f"The name of {location} ends in none of .parquet, .csv, .ndjson, .jsonl. Give "
            f"{contract.variable} the path or URI of a Parquet, CSV or newline-delimited JSON file."
        )
    return _guarded(reader, contract)


def _guarded(
    reader: Callable[[Path, int, Contract], pl.DataFrame], contract: Contract
) -> Callable[[Path, int], pl.DataFrame]:
    """The reader, with a sentence for the errors of the libraries: only their kind, as the text may quote the file."""

    def read(path: Path, limit: int) -> pl.DataFrame:
        try:
            return reader(path, limit, contract)
        except (FileNotFoundError, ResourcesUnreadable):
            raise
        except (Exception, pl.exceptions.PanicException) as error:
            why = error.strerror if isinstance(error, OSError) and error.errno else "its content is damaged"
            raise ResourcesUnreadable(f"{why} ({type(error).__name__}). If it is there, write it anew") from None

    return read


def _fetched(location: str, bucket: ObjectStore, folder: Path, contract: Contract) -> Path:
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
        raise StoreError(f"The file that {contract.variable} names cannot be read. {error}{asked}") from None
    return folder / "resources"


def _check_size(size: int) -> None:
    if size > FILE_LIMIT:
        raise ResourcesUnreadable(f"it has {size:,} bytes, and more than {FILE_LIMIT:,} are not read")
