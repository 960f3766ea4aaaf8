"""Where the tables' files lie: a local directory, or a bucket on S3 or Google Cloud Storage with a local cache.

Delta Lake itself reads and commits through `deltalake`, with the options that a storage gives it. What is done
here is the rest: bringing finished Parquet files in, having local copies of the files that DuckDB and polars
read, and telling what lies there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Protocol

from sigma_impressions.clouds.cloud import RemoteFiles
from sigma_impressions.clouds.faults import is_of_a_store, meaning
from sigma_impressions.errors import StorageError
from sigma_impressions.lake.cache import FileCache
from sigma_impressions.lake.digests import digest

_UPLOADS = 4


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

    def remove(self, table: str) -> None:
        """Delete everything in a table's folder, its transaction log included."""

    def forget_copies(self) -> None:
        """Delete this machine's copies of the tables' files; who reads them meanwhile fails."""


class LocalStorage:
    """Tables in a local directory."""

    def __init__(self, root: Path) -> None:
        self.local = root

    def uri(self, table: str) -> str:
        return str(self.local / table)

    def options(self) -> dict[str, str] | None:
        return None

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        for file, relative in files:
            target = self.local / table / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def paths(self, table: str, files: Sequence[str]) -> list[str]:
        return [str(self.local / table / file) for file in files]

    def sizes(self, table: str) -> dict[str, int]:
        folder = self.local / table
        found = {}
        for path in folder.rglob("*"):
            relative = path.relative_to(folder).as_posix()
            if not relative.startswith("_delta_log/") and path.is_file():
                found[relative] = path.stat().st_size
        return found

    def remove(self, table: str) -> None:
        shutil.rmtree(self.local / table)

    def forget_copies(self) -> None:
        """There are none."""


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
        readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{scheme}-{path}")[:60]
        self.local = cache_folder / f"{readable}-{digest([self.location], 8)}"
        self._cache = FileCache(self.local / "files", cache_bytes)

    def __repr__(self) -> str:
        return f"BucketStorage({self.location!r})"

    def uri(self, table: str) -> str:
        return f"{self.location}/{table}"

    def options(self) -> dict[str, str] | None:
        return self._options()

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        """The files are kept in the cache."""

        def upload(file: Path, relative: str) -> None:
            remote.upload(file, self._key(table, relative))
            self._cache.take(file, f"{table}/{relative}")

        with clear_errors(self, f"writing to {self.uri(table)}"), ThreadPoolExecutor(_UPLOADS) as pool:
            remote = self._remote
            for done in [pool.submit(upload, *file) for file in files]:
                done.result()

    def paths(self, table: str, files: Sequence[str]) -> list[str]:
        with clear_errors(self, f"reading {self.uri(table)}"):
            found = self._cache.paths([f"{table}/{file}" for file in files], self._download)
        return [str(path) for path in found]

    def sizes(self, table: str) -> dict[str, int]:
        folder = self._key(table, "")
        with clear_errors(self, f"listing {self.uri(table)}"):
            found = self._remote.sizes(folder)
        listed = {key.removeprefix(folder): size for key, size in found.items()}
        return {name: size for name, size in listed.items() if not name.startswith("_delta_log/")}

    def forget_copies(self) -> None:
        self._cache.clear()

    def remove(self, table: str) -> None:
        with clear_errors(self, f"deleting {self.uri(table)}"):
            for key in self._remote.sizes(self._key(table, "")):
                self._remote.delete(key)

    def _download(self, name: str, target: Path) -> None:
        self._remote.download(f"{self._prefix}{name}", target)

    def _key(self, table: str, relative: str) -> str:
        return f"{self._prefix}{table}/{relative}"

    @cached_property
    def _remote(self) -> RemoteFiles:
        return self._make_files(self._bucket)


@contextmanager
def clear_errors(storage: Storage, doing: str) -> Iterator[None]:
    """Inside, an error of a remote store becomes a `StorageError` that says what to do.

    The SDK's own text is left out: it may hold key IDs, tokens or signed URLs. Errors of a local directory,
    conflicts, and those about the tables themselves pass as they are.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(storage, BucketStorage) or not is_of_a_store(error):
            raise
        raise StorageError(f"The storage location failed while {doing}: {meaning(error)}") from None
