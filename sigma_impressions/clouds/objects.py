"""What every object store of exports offers, its errors, and the download that resumes after a fault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import ObjectUnreadable, StoreError
from sigma_impressions.texts import printable

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PROGRESS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a bucket at one version.

    `version` is the S3 ETag without quotes or the GCS generation; `size` is in bytes as stored;
    `last_modified` is in UTC.
    """

    bucket: str
    key: str
    version: str
    size: int
    last_modified: datetime


class ObjectStore(Protocol):
    """A bucket whose objects are listed and downloaded; every method raises `StoreError` as it must."""

    @property
    def bucket(self) -> str:
        """Name of the bucket."""

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        """The objects under a prefix, in the order of their keys, fetched page by page while iterating.

        With `start_after` only keys that sort after it. Empty objects whose key ends in a slash ("directory
        markers") are left out.
        """

    def stat(self, key: str) -> StoredObject:
        """The object as it is now. Raises `ObjectGone`."""

    def download(self, item: StoredObject, target: Path) -> None:
        """Write exactly that version of the object, as stored, to `target`; what was there is replaced.

        Faults on the way are retried with back-off, from where the transfer stopped. After an error there is no
        file at `target`. Raises `ObjectChanged`, `ObjectGone`.
        """


def is_directory_marker(key: str, size: int) -> bool:
    """Whether this is the empty object that consoles create to show a folder."""
    return size == 0 and key.endswith("/")


def uri(scheme: str, bucket: str, key: str = "") -> str:
    """A URI for messages, on one line, whatever the key holds."""
    return printable(f"{scheme}://{bucket}/{key}")


def host(endpoint: str) -> str:
    """Host and port of an endpoint, for messages: without credentials that its URL may hold."""
    parts = urlsplit(endpoint)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class Interrupted(Exception):
    """A fault that may be gone at the next try. The text names the kind of fault; it holds no secret.

    With `restart` what has arrived so far is worthless. `in_body` says that the store has answered, and that the fault
    is in what it sent of the object.
    """

    def __init__(self, fault: str, *, restart: bool = False, in_body: bool = False) -> None:
        super().__init__(fault)
        self.restart = restart
        self.in_body = in_body


def with_retries(call: Callable[[], T], backoff: Backoff, what: str) -> T:
    """The result of `call`, tried again when it is interrupted. Raises `StoreError` when all tries failed."""
    failures = 0
    while True:
        try:
            return call()
        except Interrupted as interrupted:
            failures += 1
            fault = str(interrupted)
        if failures >= backoff.attempts:
            raise StoreError(_gave_up(what, failures, fault))
        backoff.pause(failures)


def download_resuming(
    item: StoredObject, target: Path, transfer: Callable[[BinaryIO], None], backoff: Backoff, shown: str
) -> None:
    """Fill `target` with the object, calling `transfer` until all its bytes have arrived.

    `transfer` writes to the file, which stands at its end, beginning with the object's byte of that offset; it
    raises `Interrupted` for a fault that is worth another try. `shown` is the object's name in messages. The
    tries are counted anew after each mebibyte, so that a large file survives more faults than a small one.
    Raises `StoreError` when the tries are used up, `ObjectUnreadable` if the store has answered all the time, and
    whatever else `transfer` raises; then there is no file.
    """
    try:
        with target.open("wb") as file:
            _fill(file, item.size, transfer, backoff, shown)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _fill(file: BinaryIO, size: int, transfer: Callable[[BinaryIO], None], backoff: Backoff, shown: str) -> None:
    failures = 0
    while True:
        before = file.tell()
        fault, restart, in_body = "", False, True
        try:
            transfer(file)
        except Interrupted as interrupted:
            fault, restart, in_body = str(interrupted), interrupted.restart, interrupted.in_body
        arrived = file.tell()
        if arrived == size and not restart:
            return
        fault = fault or f"{arrived:,} bytes arrived instead of {size:,}"
        if restart or arrived > size:
            # More bytes than the version has: the store did not honour the range or the version.
            file.seek(0)
            file.truncate()
        failures = 1 if arrived - before >= _PROGRESS_BYTES and not restart else failures + 1
        if failures >= backoff.attempts:
            message = _gave_up(f"reading {shown}", failures, fault)
            raise ObjectUnreadable(message, "broke off again and again") if in_body else StoreError(message)
        _log.warning("Reading %s broke off (%s); trying again from byte %s", shown, fault, file.tell())
        backoff.pause(failures)


def _gave_up(what: str, tries: int, fault: str) -> str:
    return (
        f"Gave up {what} after {tries} tries; the last one failed with: {fault}. Check the network and the "
        "store's status, then run again: what was read before is kept"
    )
