"""Where the tables' files lie: a local directory, or a bucket on S3 or Google Cloud Storage with a local cache.

Delta Lake itself reads and commits through `deltalake`, with the options that a storage gives it. What is done
here is the rest: bringing finished Parquet files in, having local copies of the files that DuckDB and polars
read, and telling what lies there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from sigma_impressions.lake.cache import FileCache
from sigma_impressions.lake.digests import digest

_UPLOADS = 4


class StorageError(Exception):
    """The storage location cannot be used; the message says what is missing and what to do, without secrets."""


class Storage(Protocol):
    """Where the tables lie, each in the folder of its name."""

    local: Path
    """Folder of this machine for what is not shared: the work folder, locks, the published database."""

    def uri(self, table: str) -> str:
        """Where a table lies, as `deltalake` takes it and as it may be shown."""

    def options(self) -> dict[str, str] | None:
        """The options with which `deltalake` opens a table; they may hold secrets."""

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        """Move local files to their paths within a table's folder."""

    def paths(self, table: str, files: Sequence[str]) -> list[str]:
        """Local paths of some of the files that a table's version lists, given by their paths in its folder."""

    def sizes(self, table: str) -> dict[str, int]:
        """Every file in a table's folder by its path there, with its bytes; the transaction log is left out."""

    def forget_copies(self) -> None:
        """Delete this machine's copies of the tables' files; who reads them meanwhile fails."""


class LocalStorage:
    """Tables in a local directory."""

    def __init__(self, root: Path) -> None:
        self.local = root

    def uri(self, table: str) -> str:
        """See `Storage.uri`."""
        return str(self.local / table)

    def options(self) -> dict[str, str] | None:
        """See `Storage.options`."""
        return None

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        """See `Storage.adopt`."""
        for file, relative in files:
            target = self.local / table / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def paths(self, table: str, files: Sequence[str]) -> list[str]:
        """See `Storage.paths`."""
        return [str(self.local / table / file) for file in files]

    def sizes(self, table: str) -> dict[str, int]:
        """See `Storage.sizes`."""
        folder = self.local / table
        found = {}
        for path in folder.rglob("*"):
            relative = path.relative_to(folder).as_posix()
            if not relative.startswith("_delta_log/") and path.is_file():
                found[relative] = path.stat().st_size
        return found

    def forget_copies(self) -> None:
        """See `Storage.forget_copies`; there are none."""


class RemoteFiles(Protocol):
    """What a bucket's SDK has to do for `BucketStorage`; keys are whole object names."""

    def upload(self, file: Path, key: str) -> None:
        """Store a local file; the object appears when it is complete."""

    def download(self, key: str, file: Path) -> None:
        """Copy an object to a local file."""

    def sizes(self, prefix: str) -> dict[str, int]:
        """The objects under a prefix, with their bytes."""

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""


class S3Files:
    """`RemoteFiles` over a boto3 client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def upload(self, file: Path, key: str) -> None:
        """See `RemoteFiles.upload`; needs s3:PutObject."""
        self._client.upload_file(str(file), self._bucket, key)

    def download(self, key: str, file: Path) -> None:
        """See `RemoteFiles.download`; needs s3:GetObject."""
        self._client.download_file(self._bucket, key, str(file))

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `RemoteFiles.sizes`; needs s3:ListBucket."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", ())}

    def delete(self, key: str) -> None:
        """See `RemoteFiles.delete`; needs s3:DeleteObject."""
        self._client.delete_object(Bucket=self._bucket, Key=key)


class GcsFiles:
    """`RemoteFiles` over a Google Cloud Storage client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._bucket = client.bucket(bucket)
        self._client = client

    def upload(self, file: Path, key: str) -> None:
        """See `RemoteFiles.upload`; needs storage.objects.create."""
        # A file's name is made once, so a repeated try stores the same again.
        self._bucket.blob(key).upload_from_filename(str(file), content_type="application/octet-stream")

    def download(self, key: str, file: Path) -> None:
        """See `RemoteFiles.download`; needs storage.objects.get."""
        self._bucket.blob(key).download_to_filename(str(file), raw_download=True)

    def sizes(self, prefix: str) -> dict[str, int]:
        """See `RemoteFiles.sizes`; needs storage.objects.list."""
        fields = "items(name,size),nextPageToken"
        return {blob.name: blob.size for blob in self._client.list_blobs(self._bucket, prefix=prefix, fields=fields)}

    def delete(self, key: str) -> None:
        """See `RemoteFiles.delete`; needs storage.objects.delete."""
        if blob := self._bucket.get_blob(key):
            blob.delete()


class BucketStorage:
    """Tables under `scheme://bucket/prefix`.

    `options` gives `deltalake` its options each time a table is opened, so that credentials that expire are
    renewed. `files` makes the SDK's side when it is first needed. In `cache_folder` every storage location has
    a folder of its own.
    """

    def __init__(
        self,
        location: str,
        options: Callable[[], dict[str, str]],
        files: Callable[[str], RemoteFiles],
        cache_folder: Path,
        cache_bytes: int,
    ) -> None:
        self.location = location.rstrip("/")
        scheme, _, path = self.location.partition("://")
        bucket, _, prefix = path.partition("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._options = options
        self._make_files = files
        self._files: RemoteFiles | None = None
        readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{scheme}-{path}")[:60]
        self.local = cache_folder / f"{readable}-{digest([self.location], 8)}"
        self._cache = FileCache(self.local / "files", cache_bytes)

    def __repr__(self) -> str:
        return f"BucketStorage({self.location!r})"

    def uri(self, table: str) -> str:
        """See `Storage.uri`."""
        return f"{self.location}/{table}"

    def options(self) -> dict[str, str] | None:
        """See `Storage.options`."""
        return self._options()

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        """See `Storage.adopt`; the files are kept in the cache."""

        def upload(file: Path, relative: str) -> None:
            self._remote().upload(file, self._key(table, relative))
            self._cache.take(file, f"{table}/{relative}")

        with clear_errors(self, f"writing to {self.uri(table)}"), ThreadPoolExecutor(_UPLOADS) as pool:
            self._remote()
            for done in [pool.submit(upload, *file) for file in files]:
                done.result()

    def paths(self, table: str, files: Sequence[str]) -> list[str]:
        """See `Storage.paths`."""
        with clear_errors(self, f"reading {self.uri(table)}"):
            found = self._cache.paths([f"{table}/{file}" for file in files], self._download)
        return [str(path) for path in found]

    def sizes(self, table: str) -> dict[str, int]:
        """See `Storage.sizes`."""
        folder = self._key(table, "")
        with clear_errors(self, f"listing {self.uri(table)}"):
            found = self._remote().sizes(folder)
        listed = {key.removeprefix(folder): size for key, size in found.items()}
        return {name: size for name, size in listed.items() if not name.startswith("_delta_log/")}

    def forget_copies(self) -> None:
        """See `Storage.forget_copies`."""
        self._cache.clear()

    def remove(self, table: str) -> None:
        """Delete everything in a table's folder, its transaction log included."""
        with clear_errors(self, f"deleting {self.uri(table)}"):
            remote = self._remote()
            for key in remote.sizes(self._key(table, "")):
                remote.delete(key)

    def _download(self, name: str, target: Path) -> None:
        self._remote().download(f"{self._prefix}{name}", target)

    def _key(self, table: str, relative: str) -> str:
        return f"{self._prefix}{table}/{relative}"

    def _remote(self) -> RemoteFiles:
        if self._files is None:
            self._files = self._make_files(self._bucket)
        return self._files


# --- Options of deltalake ---------------------------------------------------------------------------------------


def s3_options(credentials: Mapping[str, str | None], region: str | None, endpoint: str | None) -> dict[str, str]:
    """Options for S3: credentials by their names in `deltalake`, without those that are not set.

    A commit is a conditional put ("only if there is no such object yet"), so that of two writers of one version
    exactly one succeeds.
    """
    options = {
        **credentials,
        "aws_region": region,
        "aws_endpoint_url": endpoint,
        "aws_allow_http": "true" if endpoint and endpoint.lower().startswith("http://") else None,
        "aws_conditional_put": "etag",
    }
    return {name: value for name, value in options.items() if value}


def gcs_options(emulator: str | None) -> dict[str, str]:
    """Options for Google Cloud Storage: none, which means the ambient credentials, or those for an emulator."""
    if not emulator:
        return {}
    url = emulator if "://" in emulator else f"http://{emulator}"
    # The only way in which `deltalake` takes another endpoint: a service account that needs no token.
    account = (
        f'{{"gcs_base_url": "{url.rstrip("/")}", "disable_oauth": true, "client_email": "", "private_key": "", '
        '"private_key_id": ""}'
    )
    return {"google_service_account_key": account, **({"allow_http": "true"} if url.startswith("http://") else {})}


# --- Errors -----------------------------------------------------------------------------------------------------

_MEANINGS = (
    (
        r"NoSuchBucket|bucket does not exist|bucket was not found|notFound.*bucket",
        "the bucket does not exist. Correct its name in SIGMA_IMPRESSIONS_STORAGE",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|\b401\b|token request|RefreshError",
        "the credentials were not accepted, or have expired. For s3:// they are "
        "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY, or the ambient ones; for "
        "gs:// the application default credentials (GOOGLE_APPLICATION_CREDENTIALS)",
    ),
    (
        r"\b403\b|AccessDenied|Forbidden|necessary privileges",
        "access is denied. The identity needs to list, read, write and delete objects there: s3:ListBucket on the "
        "bucket, s3:GetObject, s3:PutObject, s3:DeleteObject on the prefix; on Google Cloud Storage the role Storage "
        "Object User (roles/storage.objectUser)",
    ),
    (
        r"NoCredentials|ProfileNotFound|DefaultCredentialsError|credential provider|Unable to locate credentials",
        "no credentials were found. Set those of the cloud, as for the exports; AWS_PROFILE must name a profile that "
        "exists",
    ),
    (
        r"\b301\b|PermanentRedirect|AuthorizationHeaderMalformed|Missing region|IllegalLocationConstraint",
        "the bucket lies in another region. Set SIGMA_IMPRESSIONS_AWS_REGION, or AWS_REGION, to the bucket's",
    ),
    (r"\b501\b|NotImplemented", "the store does not know conditional writes, which commits of the tables need"),
)


_SDKS = ("botocore", "boto3", "s3transfer", "google", "requests", "urllib3")


@contextmanager
def clear_errors(storage: Storage, doing: str) -> Iterator[None]:
    """Inside, an error of a remote store becomes a `StorageError` that says what to do.

    The SDK's own text is left out: it may hold key IDs, tokens or signed URLs. Errors of a local directory,
    conflicts, and those about the tables themselves pass as they are.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(storage, BucketStorage) or not _is_of_the_store(error):
            raise
        text = f"{type(error).__name__} {error}"
        reason = next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, text)), None)
        raise StorageError(
            f"The storage location failed while {doing}: "
            + (reason or f"it could not be reached, or gave no proper answer ({type(error).__name__}). Try again")
        ) from None


def _is_of_the_store(error: Exception) -> bool:
    """Whether an error comes from the network or the store's answer, by where its class is defined."""
    module = type(error).__module__.partition(".")[0]
    # An error number means the local disk: it is full, say.
    return (isinstance(error, OSError) and error.errno is None) or module in _SDKS


def writable(storage: Storage) -> str | None:
    """Why a local storage cannot be written, None if it can. Nothing is created."""
    folder = storage.local
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return None
    return f"{storage.local} cannot be written: {folder} is {'not a folder' if not folder.is_dir() else 'read-only'}"
