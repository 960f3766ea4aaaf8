"""What every object store of exports offers, its errors, listings that end, and the download that resumes."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.errors import ObjectUnreadable, StoreError
from sigma_impressions.texts import printable
from sigma_impressions.waiting import TooSlow, waiting_for, within

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PROGRESS_BYTES = 1024 * 1024

DOWNLOAD_SECONDS = 900.0
"""How long a download may take, apart from what its size asks for."""

SLOWEST_DOWNLOAD = 128 * 1024
"""Bytes per second that a download makes on average; a slower one is given up."""

PAGE_SECONDS = 900.0
"""How long one page of a listing may take, retries included."""

LISTED_LIMIT = 20_000_000
"""Objects that a listing may have; the prefix of one source has some thousands."""

EMPTY_PAGES_LIMIT = 1_000
"""Pages without an object that may follow each other; some are empty where many objects were deleted."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a bucket at one version.

    `version` is the S3 ETag without quotes or the GCS generation; `size` is in bytes as stored;
    `last_modified` is in UTC. Raises one of MALFORMED if a store has told anything else.
    """

    bucket: str
    key: str
    version: str
    size: int
    last_modified: datetime

    def __post_init__(self) -> None:
        self.key.encode()
        if self.size < 0 or self.last_modified.year >= 9999:
            raise ValueError("no object has this size or time")


MALFORMED = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What comes of an answer that lacks something or has it in another form, in the SDKs and here."""


ACCESS_DENIED = "access denied"
"""Why an object is unreadable that the store does not let this identity read, or does not have."""


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

    def below(self, prefix: str) -> Sequence[str]:
        """Keys that begin with a prefix, each only up to the first slash behind it: of many those of one page."""

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


def key_of(uri: str) -> str:
    """The key that a URI names, behind scheme and bucket."""
    return uri.partition("://")[2].partition("/")[2]


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


def objects_of(
    pages: Iterator[Sequence[StoredObject]], shown: str, endpoint: str = "the store"
) -> Iterator[StoredObject]:
    """The objects of the pages of a listing, which is named `shown` in messages, and comes from `endpoint`.

    Raises `StoreError` for a listing that would not end: one that goes in circles, is empty page after page, holds
    more than LISTED_LIMIT objects, or whose pages come in drips.
    """
    begun: set[str] = set()
    listed = empty = 0
    while True:
        try:
            with waiting_for(f"{endpoint}: listing {shown}"):
                page = within(PAGE_SECONDS, partial(next, pages, None))
        except TooSlow:
            raise StoreError(
                f"The store took longer than {PAGE_SECONDS / 60:.0f} minutes for one page of the listing of {shown}. "
                "Check the network and the store's status, then run again"
            ) from None
        if page is None:
            return
        listed += len(page)
        empty = 0 if page else empty + 1
        if listed > LISTED_LIMIT or empty > EMPTY_PAGES_LIMIT or (page and page[0].key in begun):
            raise endless_listing(shown)
        begun.update(item.key for item in page[:1])
        yield from page


def endless_listing(shown: str) -> StoreError:
    """What is said of a listing that would not end."""
    return StoreError(
        f"The listing of {shown} does not end: the store repeats its pages, or gives empty ones, or more than "
        f"{LISTED_LIMIT:,} objects. Check the store, and whether the prefix is that of Sigma's exports alone"
    )


class _Download(io.BufferedWriter):
    """The file of a download: it takes no more bytes than the object has."""

    def __init__(self, target: Path, size: int) -> None:
        super().__init__(io.FileIO(target, "w"))
        self._size = size

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # what SDKs write
        if self.tell() + len(data) > self._size:
            raise Interrupted(f"more than the {self._size:,} bytes of the object arrived", restart=True, in_body=True)
        return super().write(data)


def download_resuming(
    item: StoredObject,
    target: Path,
    transfer: Callable[[BinaryIO], None],
    backoff: Backoff,
    shown: str,
    *,
    endpoint: str = "the store",
) -> None:
    """Fill `target` with the object, calling `transfer` until all its bytes have arrived.

    `transfer` writes to the file, which stands at its end, beginning with the object's byte of that offset; it
    raises `Interrupted` for a fault that is worth another try. `shown` is the object's name in messages, `endpoint` who
    sends it. The tries are counted anew after each mebibyte that was never reached before, so that a large file
    survives more faults than a small one. No more than the object's bytes are written.
    Raises `StoreError` when the tries are used up, `ObjectUnreadable` if the store has answered all the time or is
    slower than SLOWEST_DOWNLOAD, and whatever else `transfer` raises; then there is no file.
    """
    try:
        with _Download(target, item.size) as file, waiting_for(f"{endpoint}: reading {shown}"):
            _fill(file, item.size, transfer, backoff, shown)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _fill(file: BinaryIO, size: int, transfer: Callable[[BinaryIO], None], backoff: Backoff, shown: str) -> None:
    failures = farthest = 0
    seconds = DOWNLOAD_SECONDS + size / SLOWEST_DOWNLOAD
    ends_at = time.monotonic() + seconds
    while True:
        fault, restart, in_body = "", False, True
        try:
            within(ends_at - time.monotonic(), partial(transfer, file))
        except TooSlow:
            raise ObjectUnreadable(
                f"Gave up reading {shown} after {seconds / 60:.0f} minutes, with {farthest:,} of {size:,} bytes read "
                "before the last try. Check the network and the store's status, then run again",
                "sent too slowly",
            ) from None
        except Interrupted as interrupted:
            fault, restart, in_body = str(interrupted), interrupted.restart, interrupted.in_body
        arrived = file.tell()
        if arrived == size and not restart:
            return
        fault = fault or f"{arrived:,} bytes arrived instead of {size:,}"
        if restart:
            file.seek(0)
            file.truncate()
        failures = 1 if arrived - farthest >= _PROGRESS_BYTES and not restart else failures + 1
        if not restart:
            farthest = max(farthest, arrived)
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
