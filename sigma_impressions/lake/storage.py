"""Where the tables' files lie: a local directory, or a bucket on S3 or Google Cloud Storage with a local cache.

Delta Lake itself reads and commits through `deltalake`, with the options that a storage gives it. What is done
here is the rest: bringing finished Parquet files in, having local copies of the files that DuckDB and polars
read, and telling what lies there.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from sigma_impressions.clouds.cloud import RemoteFiles
from sigma_impressions.clouds.faults import is_of_a_store, meaning
from sigma_impressions.errors import DamagedError, InputsChanged, ObjectChanged, ObjectGone, OperatorError, StorageError
from sigma_impressions.lake.cache import FileCache
from sigma_impressions.lake.copies import PublishedCopy, remove_published, state_of
from sigma_impressions.lake.digests import digest
from sigma_impressions.lake.scratch import locked, put_in_place, temporary_folder
from sigma_impressions.waiting import waiting_for

_UPLOADS = 4

_FETCHES = 10
"""How often a published file is read that is overwritten while it is read."""


@dataclass(frozen=True)
class PublishedFile:
    """A published file: when it was put there, and, if this machine has just that one, where."""

    written_at: datetime
    path: Path | None


class Storage(Protocol):
    """Where the tables lie, each in the folder of its name."""

    local: Path
    """Folder of this machine for what is not shared: the work folder, locks, copies of what is published."""

    def uri(self, table: str) -> str:
        """Where a table lies, as `deltalake` takes it and as it may be shown."""

    def options(self) -> dict[str, str] | None:
        """The options with which `deltalake` opens a table; they may hold secrets."""

    def adopt(self, table: str, files: Sequence[tuple[Path, str]]) -> None:
        """Move local files to their paths within a table's folder, to stay there whatever happens to the machine."""

    def keep_commits(self, table: str, versions: Iterable[int]) -> None:
        """See to it that the log entries of these versions stay, whatever happens to the machine."""

    def may_be_newer(self, table: str, version: int) -> bool:
        """Whether a table may be at a later version than this one, as far as that is told at no cost."""

    def paths(self, table: str, files: Mapping[str, int]) -> list[str]:
        """Local paths of some of the files that a table's version lists, given by their paths in its folder and bytes.

        Raises `DamagedError` for one that is missing, or has not so many bytes.
        """

    def damaged(self, table: str, files: Mapping[str, int]) -> dict[str, str]:
        """Those of the files, given as for `paths`, that are missing or have not so many bytes, and what is wrong."""

    def original(self, table: str, file: str, scratch: Path) -> Path:
        """A path of a file as it is stored, not of a copy that was made earlier; a new one goes into `scratch`."""

    def log(self, table: str) -> Iterator[bytes]:
        """The entries of a table's transaction log that are still there, newest first."""

    def sizes(self, table: str) -> dict[str, int]:
        """Every file in a table's folder by its path there, with its bytes; the transaction log is left out."""

    def remove(self, table: str) -> None:
        """Delete everything in a table's folder, its transaction log included."""

    def set_aside(self, table: str) -> str:
        """Give everything in a table's folder another place, which is returned; the table is not there any more."""

    def forget_copies(self) -> None:
        """Delete this machine's copies of the tables' files; who reads them meanwhile fails."""

    # Published files lie beside the folders of the tables, each under its name. Others may publish at any time.

    def fetch(self, name: str) -> str | None:
        """Bring the file of this name in `local` up to what is published, and tell its version; None if nothing is.

        The file is complete at any time, and never followed by an older one. It may be newer than what is told. If
        nothing is published there is a file only where an earlier version has published it on this machine alone.
        """

    def published(self, name: str) -> PublishedFile | None:
        """What is published under this name, without bringing anything here; None if nothing is."""

    def bytes_by_place(self) -> dict[str, int]:
        """The bytes that lie here, by the folder of a table or the name of a published file."""

    def publish(self, name: str, file: Path, replaces: str | None) -> None:
        """Move a local file, on the file system of `local`, to the place of this version of what is published.

        None is for the place where nothing is published. Raises `InputsChanged` if something else is there.
        """

    def withdraw(self, name: str) -> None:
        """Delete what is published under this name, and whatever this machine has of it."""

    def forget_copy(self, name: str) -> bool:
        """Delete this machine's copy of what is published; False if there is none, as it is published here."""


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
        self._sync([self.local / table / relative for _, relative in files])

    def keep_commits(self, table: str, versions: Iterable[int]) -> None:
        log = self.local / table / "_delta_log"
        entries = [log / f"{version:020}.{kind}" for version in versions for kind in ("json", "checkpoint.parquet")]
        self._sync([path for path in (*entries, log / "_last_checkpoint") if path.exists()])

    def _sync(self, files: Collection[Path]) -> None:
        """Have the disk itself hold files, and the folders that name them: a power loss takes what it does not hold.

        Delta Lake's own writer leaves that to the operating system.
        """
        folders = {folder for file in files for folder in file.parents if folder.is_relative_to(self.local)}
        for path in (*files, *folders):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def may_be_newer(self, table: str, version: int) -> bool:
        # Entries of the log are deleted from the oldest on: while that of the version is there, so is the next one.
        log = self.local / table / "_delta_log"
        return (log / f"{version + 1:020}.json").exists() or not (log / f"{version:020}.json").exists()

    def paths(self, table: str, files: Mapping[str, int]) -> list[str]:
        for file, fault in self.damaged(table, files).items():
            raise DamagedError(f"{self.uri(table)}/{file} {fault}")
        return [str(self.local / table / file) for file in files]

    def damaged(self, table: str, files: Mapping[str, int]) -> dict[str, str]:
        def size(path: Path) -> int | None:
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return None

        return _damaged(files, {file: size(self.local / table / file) for file in files})

    def original(self, table: str, file: str, scratch: Path) -> Path:
        return self.local / table / file

    def log(self, table: str) -> Iterator[bytes]:
        for entry in sorted((self.local / table / "_delta_log").glob("*.json"), reverse=True):
            yield entry.read_bytes()

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

    def set_aside(self, table: str) -> str:
        place = self.local / f"{table}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        (self.local / table).rename(place)
        return str(place)

    def forget_copies(self) -> None:
        """There are none."""

    def fetch(self, name: str) -> str | None:
        return state_of(self.local / name)

    def published(self, name: str) -> PublishedFile | None:
        path = self.local / name
        try:
            return PublishedFile(datetime.fromtimestamp(path.stat().st_mtime, UTC), path)
        except FileNotFoundError:
            return None

    def bytes_by_place(self) -> dict[str, int]:
        return bytes_below(self.local)

    def publish(self, name: str, file: Path, replaces: str | None) -> None:
        target = self.local / name
        with locked(_lock_of(target)):
            if state_of(target) != replaces:
                raise _overtaken(str(target))
            put_in_place(file, target)

    def withdraw(self, name: str) -> None:
        remove_published(self.local / name)

    def forget_copy(self, name: str) -> bool:
        return False


class BucketStorage:
    """Tables under `scheme://bucket/prefix`.

    `options` gives `deltalake` its options each time a table is opened, so that credentials that expire are
    renewed. `files` makes the SDK's side when it is first needed. In `cache_folder` every storage location has
    a folder of its own. `host` is who answers, for messages.
    """

    def __init__(
        self,
        location: str,
        options: Callable[[], dict[str, str]],
        files: Callable[[str], RemoteFiles],
        cache_folder: Path,
        cache_bytes: int,
        *,
        host: str = "the store",
    ) -> None:
        self.host = host
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

    def keep_commits(self, table: str, versions: Iterable[int]) -> None:
        """A store that has taken an object keeps it."""

    def may_be_newer(self, table: str, version: int) -> bool:
        return True

    def paths(self, table: str, files: Mapping[str, int]) -> list[str]:
        with clear_errors(self, f"reading {self.uri(table)}"):
            try:
                found = self._cache.paths({f"{table}/{file}": size for file, size in files.items()}, self._download)
            except Exception:
                # What is missing the libraries say in many ways; what is there is not the store's fault.
                for file, fault in self.damaged(table, files).items():
                    raise DamagedError(f"{self.uri(table)}/{file} {fault}") from None
                raise
        return [str(path) for path in found]

    def damaged(self, table: str, files: Mapping[str, int]) -> dict[str, str]:
        return _damaged(files, self.sizes(table)) if files else {}

    def original(self, table: str, file: str, scratch: Path) -> Path:
        target = scratch / Path(file).name
        with clear_errors(self, f"reading {self.uri(table)}"):
            self._download(f"{table}/{file}", target)
        return target

    def log(self, table: str) -> Iterator[bytes]:
        with clear_errors(self, f"reading the log of {self.uri(table)}"), temporary_folder() as scratch:
            entries = [key for key in self._remote.sizes(self._key(table, "_delta_log/")) if key.endswith(".json")]
            for number, key in enumerate(sorted(entries, reverse=True)):
                self._remote.download(key, scratch / str(number))
                yield (scratch / str(number)).read_bytes()

    def sizes(self, table: str) -> dict[str, int]:
        folder = self._key(table, "")
        with clear_errors(self, f"listing {self.uri(table)}"):
            found = self._remote.sizes(folder)
        listed = {key.removeprefix(folder): size for key, size in found.items()}
        return {name: size for name, size in listed.items() if not name.startswith("_delta_log/")}

    def set_aside(self, table: str) -> str:
        """A bucket has no folders that could be renamed: somebody has to move the objects."""
        raise StorageError(f"Move everything below {self.uri(table)}/ to another place, or delete it; then try again")

    def forget_copies(self) -> None:
        self._cache.clear()

    def remove(self, table: str) -> None:
        with clear_errors(self, f"deleting {self.uri(table)}"):
            for key in self._remote.sizes(self._key(table, "")):
                self._remote.delete(key)
        self._cache.drop(table)

    def fetch(self, name: str) -> str | None:
        with clear_errors(self, f"reading {self.uri(name)}"), self._copy(name) as copy:
            for _ in range(_FETCHES):
                try:
                    found = self._remote.objects.stat(self._key_of(name))
                except ObjectGone:
                    copy.drop()
                    return None
                if not copy.is_at(found.version):
                    with suppress(ObjectChanged, ObjectGone), copy.replaced(found.version) as partial:
                        self._remote.objects.download(found, partial)
                if copy.is_at(found.version):
                    return found.version
        raise StorageError(f"{self.uri(name)} was overwritten each time that it was read. Try again")

    def published(self, name: str) -> PublishedFile | None:
        with clear_errors(self, f"looking at {self.uri(name)}"):
            try:
                found = self._remote.objects.stat(self._key_of(name))
            except ObjectGone:
                return None
        is_here = PublishedCopy(self.local / name).is_at(found.version)
        return PublishedFile(found.last_modified, self.local / name if is_here else None)

    def bytes_by_place(self) -> dict[str, int]:
        with clear_errors(self, f"listing {self.location}"):
            return _by_place(
                (key.removeprefix(self._prefix), size) for key, size in self._remote.sizes(self._prefix).items()
            )

    def publish(self, name: str, file: Path, replaces: str | None) -> None:
        with clear_errors(self, f"publishing {self.uri(name)}"), self._copy(name) as copy:
            try:
                version = self._remote.replace(file, self._key_of(name), replaces)
            except ObjectChanged:
                raise _overtaken(self.uri(name)) from None
            copy.put(file, version)

    def withdraw(self, name: str) -> None:
        with clear_errors(self, f"deleting {self.uri(name)}"), self._copy(name) as copy:
            self._remote.delete(self._key_of(name))
            copy.remove()

    def forget_copy(self, name: str) -> bool:
        with self._copy(name) as copy:
            copy.drop()
        return True

    def refuses_the_overtaken(self) -> bool:
        """Whether the store replaces an object only at the version that it has. Nothing is left of what is tried."""
        key = self._key_of(f"check-{uuid.uuid4().hex}")
        with clear_errors(self, f"publishing in {self.location}"), temporary_folder() as folder:

            def replace(content: str, version: str | None) -> str:
                (folder / content).write_text(content)
                return self._remote.replace(folder / content, key, version)

            try:
                first = replace("first", None)
                replace("second", first)
                replace("third", first)
            except ObjectChanged:
                return True
            finally:
                self._remote.delete(key)
        return False

    @contextmanager
    def _copy(self, name: str) -> Iterator[PublishedCopy]:
        """This machine's copy of a published file; nobody else replaces it meanwhile."""
        try:
            self.local.mkdir(parents=True, exist_ok=True)
            with locked(_lock_of(self.local / name)):
                yield PublishedCopy(self.local / name)
        except OSError as error:
            # What comes from the network has no number.
            if error.errno is None:
                raise
            raise StorageError(
                f"The copy of {self.uri(name)} in {self.local} cannot be written: {error.strerror}. Make room or grant "
                "the rights there, or set SIGMA_IMPRESSIONS_CACHE to another folder"
            ) from None

    def _key_of(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _download(self, name: str, target: Path) -> None:
        self._remote.download(self._key_of(name), target)

    def _key(self, table: str, relative: str) -> str:
        return f"{self._prefix}{table}/{relative}"

    @cached_property
    def _remote(self) -> RemoteFiles:
        return self._make_files(self._bucket)


def bytes_below(folder: Path) -> dict[str, int]:
    """The bytes of what lies in a local folder, by the first part of the path there."""

    def files() -> Iterator[tuple[str, int]]:
        for path in folder.rglob("*"):
            # Others work there: a file may be gone in the next moment.
            with suppress(OSError):
                if path.is_file():
                    yield path.relative_to(folder).as_posix(), path.stat().st_size

    return _by_place(files())


def _by_place(sizes: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for path, size in sizes:
        found[path.partition("/")[0]] += size
    return dict(found)


def _damaged(files: Mapping[str, int], found: Mapping[str, int | None]) -> dict[str, str]:
    faults = {}
    for file, size in files.items():
        held = found.get(file)
        if held is None:
            faults[file] = "is missing"
        elif held != size:
            faults[file] = f"has {held:,} bytes instead of {size:,}"
    return faults


def _lock_of(published: Path) -> Path:
    """What is locked while a published file is replaced: never while one is made, so that nobody waits long."""
    return published.with_name(f".{published.name}.lock")


def _overtaken(where: str) -> InputsChanged:
    return InputsChanged(f"Another process has published {where} in between.")


@contextmanager
def clear_errors(storage: Storage, doing: str, but: str | None = None) -> Iterator[None]:
    """Inside, an error of a remote store becomes a `StorageError` that says what to do.

    The SDK's own text is left out: it may hold key IDs, tokens or signed URLs. Errors of a local directory,
    conflicts, and those about the tables themselves pass as they are; so do those with a text that `but` finds.
    """
    asked = storage.host if isinstance(storage, BucketStorage) else "the disk"
    try:
        with waiting_for(f"{asked}: {doing}"):
            yield
    except Exception as error:
        is_passed = isinstance(error, OperatorError) or (but is not None and re.search(but, str(error)))
        if not isinstance(storage, BucketStorage) or is_passed or not is_of_a_store(error):
            raise
        raise StorageError(f"The storage location failed while {doing}: {meaning(error)}") from None
