"""The export files of a Google Cloud Storage bucket: list, stat, download, and what errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import requests.exceptions
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.clouds.objects import (
    ACCESS_DENIED,
    MALFORMED,
    Interrupted,
    StoredObject,
    download_resuming,
    host,
    is_directory_marker,
    objects_of,
    uri,
    with_retries,
)
from sigma_impressions.errors import ObjectChanged, ObjectGone, ObjectUnreadable, StoreError
from sigma_impressions.waiting import waiting_for

_TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""

_LISTING = "storage#objects"
"""The kind of an answer that is a listing."""

_FIELDS = "kind,items(name,generation,size,updated),nextPageToken"

_Action = Literal["list", "get"]

_UNREACHABLE = (
    auth.TimeoutError,
    auth.TransportError,
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    ConnectionError,
)
_FAULTS = (*_UNREACHABLE, api.GoogleAPICallError, auth.GoogleAuthError, DataCorruption)


class GcsStore:
    """An `ObjectStore` over a Google Cloud Storage client.

    The client's own retries are switched off on every call: they would begin a download anew, and they are
    bounded by time, not by tries.
    """

    def __init__(self, client: Client, bucket: str, *, page_size: int = 1000, backoff: Backoff | None = None) -> None:
        self.bucket = bucket
        self._client = client
        self._page_size = page_size
        self._backoff = backoff or Backoff()

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        """Needs storage.objects.list."""
        return objects_of(self._pages(prefix, start_after), uri("gs", self.bucket, prefix), self._host())

    def _pages(self, prefix: str, start_after: str | None) -> Iterator[Sequence[StoredObject]]:
        token: str | None = None
        what = f"listing {uri('gs', self.bucket, prefix)}"
        while True:
            page, token = with_retries(partial(self._page, prefix, start_after, token), self._backoff, what)
            yield page
            if not token:
                return

    def _page(
        self, prefix: str, start_after: str | None, token: str | None
    ) -> tuple[Sequence[StoredObject], str | None]:
        try:
            blobs = self._client.list_blobs(
                self.bucket,
                prefix=prefix,
                start_offset=start_after,
                page_token=token,
                page_size=self._page_size,
                fields=_FIELDS,
                timeout=_TIMEOUT,
                retry=None,
            )
            page = next(blobs.pages, None)
            if page is not None and page.raw_page.get("kind") == _LISTING:
                found = [self._object(blob) for blob in page]
                # The store's own offset includes the key itself.
                wanted = (o for o in found if o.key != start_after and not is_directory_marker(o.key, o.size))
                return list(wanted), blobs.next_page_token
        except requests.exceptions.JSONDecodeError:
            pass
        except _FAULTS as error:
            raise self._meaning(error, "list", prefix) from None
        except MALFORMED:
            pass
        raise self._no_answer("listing of", prefix)

    def below(self, prefix: str) -> Sequence[str]:
        """Needs storage.objects.list."""
        try:
            with waiting_for(f"{self._host()}: listing {uri('gs', self.bucket, prefix)}"):
                blobs = self._client.list_blobs(
                    self.bucket,
                    prefix=prefix,
                    delimiter="/",
                    page_size=self._page_size,
                    fields=f"{_FIELDS},prefixes",
                    timeout=_TIMEOUT,
                    retry=None,
                )
                keys = [blob.name for blob in next(blobs.pages, ())]
            return [*sorted(blobs.prefixes), *keys]
        except _FAULTS as error:
            meaning = self._meaning(error, "list", prefix)
            raise StoreError(str(meaning)) if isinstance(meaning, Interrupted) else meaning from None
        except MALFORMED:
            raise self._no_answer("listing of", prefix) from None

    def _no_answer(self, what: str, key: str) -> StoreError:
        return StoreError(
            f"The endpoint {self._host()} gave no {what} {uri('gs', self.bucket, key)}, but "
            "something else, with HTTP 200. Is there a proxy or a login page in between, and is STORAGE_EMULATOR_HOST, "
            "if set, the address of a store?"
        )

    def stat(self, key: str) -> StoredObject:
        """Needs storage.objects.get."""
        what = f"reading {uri('gs', self.bucket, key)}"
        with waiting_for(f"{self._host()}: {what}"):
            return with_retries(partial(self._stat, key), self._backoff, what)

    def _stat(self, key: str) -> StoredObject:
        blob = self._client.bucket(self.bucket).blob(key)
        try:
            blob.reload(timeout=_TIMEOUT, retry=None)
            return self._object(blob)
        except _FAULTS as error:
            raise self._meaning(error, "get", key) from None
        except MALFORMED:
            raise self._no_answer("size and time of", key) from None

    def download(self, item: StoredObject, target: Path) -> None:
        """Needs storage.objects.get."""
        shown = uri("gs", self.bucket, item.key)
        download_resuming(item, target, partial(self._transfer, item), self._backoff, shown, endpoint=self._host())

    def _transfer(self, item: StoredObject, file: BinaryIO) -> None:
        blob = self._client.bucket(self.bucket).blob(item.key, generation=int(item.version))
        try:
            # Raw: an object stored with Content-Encoding gzip arrives as it is stored, in `item.size` bytes.
            # An empty object has no range, so the first try must not ask for one.
            blob.download_to_file(file, start=file.tell() or None, raw_download=True, timeout=_TIMEOUT, retry=None)
        except api.NotFound:
            raise self._meaning_of_missing(item) from None
        except _FAULTS as error:
            raise self._meaning(error, "get", item.key) from None

    def _meaning_of_missing(self, item: StoredObject) -> Exception:
        """What it means that the generation is not found: overwritten, unless the object is gone altogether."""
        try:
            current = self._stat(item.key)
        except (Interrupted, ObjectGone, StoreError) as reason:
            return reason
        if current.version == item.version:
            return Interrupted("the listed generation was not found, though it is the current one")
        return ObjectChanged(f"{uri('gs', self.bucket, item.key)} was overwritten after it was listed")

    def _object(self, blob: Any) -> StoredObject:
        return StoredObject(self.bucket, blob.name, str(int(blob.generation)), blob.size, blob.updated)

    def _host(self) -> str:
        return host(self._client.api_endpoint)

    def _meaning(self, error: Exception, action: _Action, key: str) -> Exception:
        """The error to raise instead of the SDK's, whose text may hold a URL with a token."""
        doing = f"{'listing' if action == 'list' else 'reading'} {uri('gs', self.bucket, key)}"
        kind = type(error).__name__
        if isinstance(error, api.GoogleAPICallError):
            return self._meaning_of_answer(error, action, key)
        if isinstance(error, DataCorruption):
            return Interrupted("the checksum does not match", restart=True, in_body=True)
        if isinstance(error, _UNREACHABLE) or getattr(error, "retryable", False):
            return Interrupted(f"the endpoint {self._host()} could not be reached ({kind})")
        need = f"{doing}, which needs the permission {_permission(action)} on the bucket {self.bucket}"
        if isinstance(error, auth.RefreshError):
            return StoreError(
                f"The Google credentials are expired, revoked or not valid ({kind}) for {need}. Renew them "
                "(gcloud auth application-default login), or correct the key file that "
                "GOOGLE_APPLICATION_CREDENTIALS names"
            )
        return StoreError(
            f"No usable Google credentials were found ({kind}) for {need}. Set GOOGLE_APPLICATION_CREDENTIALS to "
            "a key file, or give the process a service account"
        )

    def _meaning_of_answer(self, error: api.GoogleAPICallError, action: _Action, key: str) -> Exception:
        status = int(error.code or 0)
        shown = uri("gs", self.bucket, key)
        doing = f"{'listing' if action == 'list' else 'reading'} {shown}"
        if status == 401:
            return StoreError(
                f"Google Cloud Storage did not accept the credentials for {doing} (HTTP 401); it needs the "
                f"permission {_permission(action)} on the bucket {self.bucket}. Set "
                "GOOGLE_APPLICATION_CREDENTIALS to a valid key file, or renew the application default credentials"
            )
        if status == 403:
            message = (
                f"Access denied: {doing} needs the permission {_permission(action)} on the bucket {self.bucket}. "
                "Grant the role Storage Object Viewer (roles/storage.objectViewer) on the bucket to the identity "
                "whose credentials the run uses; an IAM condition must allow the prefix"
            )
            if action == "list":
                message += "; or is the name misspelt? The store says no more of a bucket of somebody else"
            return StoreError(message) if action == "list" else ObjectUnreadable(message, ACCESS_DENIED)
        if status == 404 and (action == "list" or "bucket does not exist" in str(error).lower()):
            return StoreError(
                f"The bucket {self.bucket} does not exist ({doing}). Correct the name in "
                "SIGMA_IMPRESSIONS_BUCKET_URI, or that of the tables in SIGMA_IMPRESSIONS_STORAGE"
            )
        if status == 404:
            return ObjectGone(f"{shown} does not exist any more")
        if status in (408, 429) or status >= 500:
            return Interrupted(f"Google Cloud Storage answered HTTP {status}")
        return StoreError(
            f"Google Cloud Storage refused {doing} (HTTP {status}). Check the bucket's settings, for example "
            "requester pays"
        )


def _permission(action: _Action) -> str:
    return f"storage.objects.{action}"
