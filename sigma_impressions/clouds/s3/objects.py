"""The export files of an S3 bucket, or of a store that speaks S3: list, stat, download, and what errors mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import urllib3.exceptions
from botocore import exceptions as sdk
from botocore.config import Config

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.clouds.objects import (
    ACCESS_DENIED,
    MALFORMED,
    Interrupted,
    StoredObject,
    download_resuming,
    endless_listing,
    host,
    is_directory_marker,
    objects_of,
    uri,
)
from sigma_impressions.clouds.s3.pages import collections_paused, read_entries_quickly
from sigma_impressions.errors import ObjectChanged, ObjectGone, ObjectUnreadable, StoreError
from sigma_impressions.texts import printable
from sigma_impressions.waiting import waiting_for

_CHUNK_BYTES = 1024 * 1024
_KEY_PAIR = "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY"
_REGION_ADVICE = "set SIGMA_IMPRESSIONS_AWS_REGION to the region that the bucket's properties show"

_ENDPOINT_ADVICE = (
    "Is AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) the address of the store's S3 API, with no proxy or login page in "
    "between? Use another endpoint, or a store that answers as S3 does"
)
_LISTING_ELEMENTS = {"Name", "KeyCount", "IsTruncated", "Contents"}
"""What a listing has at least one of, also that of an empty bucket."""

_Action = Literal["list", "get"]

_DENIED = {"AccessDenied", "AllAccessDisabled", "Forbidden", "403"}
_GONE = {"NoSuchKey", "NoSuchVersion", "404"}
_CHANGED = {"PreconditionFailed", "412"}
_WRONG_REGION = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
}
_BAD_CREDENTIALS = {"InvalidAccessKeyId", "InvalidSecurity", "NotSignedUp", "SignatureDoesNotMatch"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "RequestExpired", "TokenRefreshRequired"}
_THROTTLED = {
    "BandwidthLimitExceeded",
    "InternalError",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}

_NO_CREDENTIALS = (sdk.NoCredentialsError, sdk.PartialCredentialsError, sdk.NoAuthTokenError)
_LOST_CREDENTIALS = (
    sdk.CredentialRetrievalError,
    sdk.LoginError,
    sdk.MetadataRetrievalError,
    sdk.SSOError,
    sdk.TokenRetrievalError,
)
_UNREACHABLE = (sdk.ConnectionError, sdk.HTTPClientError)
_BROKEN_BODY = (sdk.HTTPClientError, sdk.IncompleteReadError, urllib3.exceptions.HTTPError, ConnectionError)

# The SDK follows a redirect that names no region by asking for the region, which is redirected in turn, for ever.
_SDK_ERRORS = (sdk.ClientError, sdk.BotoCoreError, RecursionError, *MALFORMED)


def client_config() -> Config:
    """Time-outs (seconds), tries and checksums for a client that is given to `S3Store`.

    Checksums only where the operation requires one: many S3-compatible stores know no other.
    """
    return Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class S3Store:
    """An `ObjectStore` over a boto3 S3 client."""

    def __init__(self, client: Any, bucket: str, *, page_size: int = 1000, backoff: Backoff | None = None) -> None:
        self.bucket = bucket
        self._client = client
        self._page_size = page_size
        self._backoff = backoff or Backoff()
        read_entries_quickly(client)

    def list(self, prefix: str, start_after: str | None = None) -> Iterator[StoredObject]:
        """Needs s3:ListBucket."""
        return objects_of(self._pages(prefix, start_after), uri("s3", self.bucket, prefix), self._host())

    def _pages(self, prefix: str, start_after: str | None) -> Iterator[Sequence[StoredObject]]:
        request = {"Bucket": self.bucket, "Prefix": prefix}
        if start_after is not None:
            request["StartAfter"] = start_after
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                **request, PaginationConfig={"PageSize": self._page_size}
            )
        )
        while (page := self._next_page(pages, prefix)) is not None:
            yield page

    def _next_page(self, pages: Iterator[dict[str, Any]], prefix: str) -> Sequence[StoredObject] | None:
        try:
            # A page is thousands of objects for a moment, which would have all others looked through again and again.
            with collections_paused():
                page = next(pages, None)
            if page is None:
                return None
            # A proxy's page, say: its XML, or nothing at all, looks like a listing of nothing.
            if page.keys() & _LISTING_ELEMENTS:
                return [
                    self._object(entry["Key"], entry, entry["Size"])
                    for entry in page.get("Contents", ())
                    if not is_directory_marker(entry["Key"], entry["Size"])
                ]
        except sdk.PaginationError:  # the same continuation token again
            raise endless_listing(uri("s3", self.bucket, prefix)) from None
        except _SDK_ERRORS as error:
            raise _final(self._meaning(error, "list", prefix), uri("s3", self.bucket, prefix)) from None
        raise self._no_answer("list", prefix)

    def below(self, prefix: str) -> Sequence[str]:
        """Needs s3:ListBucket."""
        request = {"Bucket": self.bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": self._page_size}
        with waiting_for(f"{self._host()}: listing {uri('s3', self.bucket, prefix)}"):
            try:
                page = self._client.list_objects_v2(**request)
                folders = [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
                return [*folders, *(entry["Key"] for entry in page.get("Contents", ()))]
            except _SDK_ERRORS as error:
                raise _final(self._meaning(error, "list", prefix), uri("s3", self.bucket, prefix)) from None

    def _no_answer(self, action: _Action, key: str) -> StoreError:
        what = "listing of" if action == "list" else "size and time of"
        return StoreError(
            f"The endpoint {self._host()} gave no {what} {uri('s3', self.bucket, key)}, but something else, with HTTP "
            f"200. {_ENDPOINT_ADVICE}"
        )

    def stat(self, key: str) -> StoredObject:
        """Needs s3:GetObject."""
        with waiting_for(f"{self._host()}: reading {uri('s3', self.bucket, key)}"):
            head = self._head(key)
        try:
            return self._object(key, head, head["ContentLength"])
        except MALFORMED:
            raise self._no_answer("get", key) from None

    def _head(self, key: str) -> dict[str, Any]:
        try:
            head: dict[str, Any] = self._client.head_object(Bucket=self.bucket, Key=key)
        except _SDK_ERRORS as error:
            raise _final(self._meaning_of_head(error, key), uri("s3", self.bucket, key)) from None
        return head

    def _is_current(self, item: StoredObject) -> bool:
        """Whether the object still is at its version, as the store says without sending it."""
        return version_of(self._head(item.key).get("ETag", "")) == item.version

    def download(self, item: StoredObject, target: Path) -> None:
        """Needs s3:GetObject."""
        shown = uri("s3", self.bucket, item.key)
        download_resuming(item, target, partial(self._transfer, item), self._backoff, shown, endpoint=self._host())

    def _transfer(self, item: StoredObject, file: BinaryIO) -> None:
        request = {"Bucket": self.bucket, "Key": item.key}
        if offset := file.tell():
            request["Range"] = f"bytes={offset}-"
        try:
            response = self._client.get_object(**request, IfMatch=f'"{item.version}"')
        except _SDK_ERRORS as error:
            meaning = self._meaning(error, "get", item.key)
            if not isinstance(meaning, ObjectChanged) or not self._is_current(item):
                raise meaning from None
            response = self._get_unconditionally(request)
        with closing(response["Body"]) as body:
            if version_of(response.get("ETag", item.version)) != item.version:
                # A store that does not know If-Match, unless it says that it is the same version all the same.
                if not self._is_current(item):
                    raise self._changed(item.key)
                raise ObjectUnreadable(
                    f"The endpoint {self._host()} gives another ETag when it sends "
                    f"{uri('s3', self.bucket, item.key)} than when it lists it, so that nothing tells whether it is "
                    f"the same version. {_ENDPOINT_ADVICE}",
                    "sent with another ETag",
                )
            if offset and "ContentRange" not in response:
                # A store that does not know ranges sends the object from its beginning.
                file.seek(0)
                file.truncate()
            chunks = body.iter_chunks(_CHUNK_BYTES)
            while chunk := _next_chunk(chunks):
                file.write(chunk)

    def _get_unconditionally(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of a store that refuses `If-Match` with the ETag that it gives; the caller compares the ETags."""
        try:
            response: dict[str, Any] = self._client.get_object(**request)
        except _SDK_ERRORS as error:
            raise self._meaning(error, "get", request["Key"]) from None
        return response

    def _object(self, key: str, entry: dict[str, Any], size: int) -> StoredObject:
        if not entry.get("ETag"):
            raise StoreError(
                f"The endpoint {self._host()} lists {uri('s3', self.bucket, key)} without an ETag, so that "
                f"nothing tells one version of it from the next. {_ENDPOINT_ADVICE}"
            )
        return StoredObject(self.bucket, key, version_of(entry["ETag"]), size, entry["LastModified"].astimezone(UTC))

    def _meaning_of_head(self, error: Exception, key: str) -> Exception:
        """What an error of `head_object` means: its answer has no body, so that a GET has to tell the reason."""
        if isinstance(error, sdk.ClientError) and _code(error).isdigit():
            try:
                self._client.get_object(Bucket=self.bucket, Key=key)["Body"].close()
            except _SDK_ERRORS as reason:
                return self._meaning(reason, "get", key)
        return self._meaning(error, "get", key)

    def _meaning(  # noqa: PLR0911 - one return for each meaning
        self, error: Exception, action: _Action, key: str
    ) -> Exception:
        """The error to raise instead of the SDK's, whose text and response may hold an access key."""
        if isinstance(error, sdk.ClientError):
            return self._meaning_of_answer(error, action, key)
        doing = f"{'listing' if action == 'list' else 'reading'} {uri('s3', self.bucket, key)}"
        kind = type(error).__name__
        if isinstance(error, RecursionError):
            return StoreError(f"Wrong AWS region for {doing}: {_REGION_ADVICE}")
        if isinstance(error, MALFORMED):
            return self._no_answer(action, key)
        if isinstance(error, _NO_CREDENTIALS):
            return StoreError(
                f"No AWS credentials were found for {doing}. Set {_KEY_PAIR}, or give the process ambient AWS "
                "credentials (environment, shared profile, or the role of the machine or container)"
            )
        if isinstance(error, _LOST_CREDENTIALS):
            return StoreError(
                f"The ambient AWS credentials for {doing} could not be fetched or renewed ({kind}). Log in again, "
                f"check the role or profile, or set {_KEY_PAIR}"
            )
        if isinstance(error, _UNREACHABLE):
            return Interrupted(f"the endpoint {self._host()} could not be reached ({kind})")
        return StoreError(
            f"The AWS SDK refused {doing} ({kind}). Check the AWS settings and AWS_ENDPOINT_URL_S3 or "
            "AWS_ENDPOINT_URL, if set"
        )

    def _meaning_of_answer(  # noqa: PLR0911 - one return for each meaning
        self, error: sdk.ClientError, action: _Action, key: str
    ) -> Exception:
        code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        shown = uri("s3", self.bucket, key)
        doing = f"{'listing' if action == 'list' else 'reading'} {shown}"
        if code == "NoSuchBucket":
            return StoreError(
                f"The bucket {self.bucket} does not exist ({doing}). Correct the name in "
                "SIGMA_IMPRESSIONS_BUCKET_URI, or that of the tables in SIGMA_IMPRESSIONS_STORAGE; if it is right, "
                "check that the endpoint is the store that has it"
            )
        if code in _GONE:
            return ObjectGone(f"{shown} does not exist any more")
        if code in _CHANGED:
            return self._changed(key)
        if code in _WRONG_REGION:
            return StoreError(
                f"Wrong AWS region for {doing}: {_region_advice(error)}. If it is right, the access key ID may "
                "be malformed"
            )
        if code in _BAD_CREDENTIALS:
            return StoreError(
                f"The AWS credentials are not valid for {doing} ({code}). Correct {_KEY_PAIR}, or the ambient "
                "AWS credentials if they are not set"
            )
        if code in _EXPIRED:
            return StoreError(
                f"The AWS session token is expired or not valid for {doing} ({code}). Set a new "
                "SIGMA_IMPRESSIONS_AWS_SESSION_TOKEN with its key pair, or renew the ambient AWS credentials"
            )
        if code == "RequestTimeTooSkewed":
            return StoreError(f"S3 refused {doing} because this machine's clock is wrong. Set the clock")
        if code == "InvalidObjectState":
            return ObjectUnreadable(
                f"{shown} is in an archive storage class. Restore it, or move it out of the prefix", "archived"
            )
        if code.startswith("KMS."):
            return ObjectUnreadable(
                f"{shown} is encrypted with a KMS key that cannot be used ({code}). Enable the key, and grant "
                "kms:Decrypt on it to the identity whose AWS credentials the run uses",
                "its KMS key cannot be used",
            )
        if code in _DENIED:
            return self._denied(action, key)
        if code == "500":
            # The SDK's own code, where an answer with HTTP 200 cannot be read, or one of a fault has no body.
            return Interrupted(
                f"the endpoint {self._host()} answered HTTP 500, or gave no answer of S3. {_ENDPOINT_ADVICE}"
            )
        if code in _THROTTLED or status == 429 or status >= 500:
            return Interrupted(f"S3 answered {code} (HTTP {status})")
        return StoreError(f"S3 refused {doing}: {code} (HTTP {status}). Check the bucket's settings and policy")

    def _denied(self, action: _Action, key: str) -> StoreError:
        shown = uri("s3", self.bucket, key)
        grant = "Grant it to the identity whose AWS credentials the run uses, in its policy or the bucket's"
        if action == "list":
            return StoreError(
                f"Access denied: listing {shown} needs the permission s3:ListBucket on the bucket {self.bucket}; "
                f"where the policy has the condition s3:prefix, it must allow the prefix '{printable(key)}*'. "
                f"{grant}; or is the name misspelt? A store says no more of a bucket of somebody else"
            )
        return ObjectUnreadable(
            f"Access denied: reading {shown} needs the permission s3:GetObject on the objects of the bucket "
            f"{self.bucket} under the prefix, and kms:Decrypt on the key if they are encrypted with KMS. {grant}",
            ACCESS_DENIED,
        )

    def _host(self) -> str:
        return host(self._client.meta.endpoint_url)

    def _changed(self, key: str) -> ObjectChanged:
        return ObjectChanged(f"{uri('s3', self.bucket, key)} was overwritten after it was listed")


def _final(error: Exception, shown: str) -> Exception:
    """The error itself, unless it asks for another try: the SDK has tried a single call often enough."""
    if isinstance(error, Interrupted):
        return StoreError(
            f"Gave up on {shown} after several tries: {error}. Check the network, AWS_ENDPOINT_URL_S3 or "
            "AWS_ENDPOINT_URL if set, and the store's status, then run again"
        )
    return error


def _next_chunk(chunks: Iterator[bytes]) -> bytes:
    # Apart from the writing to disk, so that a full disk is not taken for a broken connection.
    try:
        return next(chunks, b"")
    except _BROKEN_BODY as error:
        raise Interrupted(f"the body broke off ({type(error).__name__})", in_body=True) from None


def _code(error: sdk.ClientError) -> str:
    """The error's code, if it looks like one; it is text that the store sent."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code) else "an unknown error"


def _region_advice(error: sdk.ClientError) -> str:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = str(error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region") or "")
    if re.fullmatch(r"[a-z0-9-]{1,40}", region):
        return f"the bucket is in {region}. Set SIGMA_IMPRESSIONS_AWS_REGION={region}"
    return _REGION_ADVICE


def version_of(etag: str) -> str:
    """The version that an ETag names: a weak one (`W/"…"`), as proxies make it, is taken by its value."""
    return etag.removeprefix("W/").strip('"')
