"""Published files: one for all machines that share a storage location, never followed by an older one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sigma_impressions.errors import InputsChanged, StorageError
from sigma_impressions.lake.storage import Storage
from sigma_impressions.settings.read import read_settings
from sigma_impressions.wiring import storage

NAME = "published.bin"

Machine = Callable[[str], Storage]


@pytest.fixture(
    params=["local", pytest.param("s3", marks=pytest.mark.slow), pytest.param("gcs", marks=pytest.mark.slow)]
)
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A storage location as a machine has it, by the name of the machine, of which each has a cache of its own."""
    uri = str(tmp_path / "data")
    if request.param != "local":
        remote = request.getfixturevalue(f"{request.param}_storage")
        uri = remote.uri
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
    else:
        (tmp_path / "data").mkdir()

    def of(name: str) -> Storage:
        return storage(read_settings({"bucket_uri": "s3://not-read/", "storage": uri, "cache": str(tmp_path / name)}))

    return of


def written(stored: Storage, data: bytes) -> Path:
    """A file that is to be published."""
    stored.local.mkdir(parents=True, exist_ok=True)
    file = stored.local / f"new-{os.urandom(4).hex()}"
    file.write_bytes(data)
    return file


def put(stored: Storage, data: bytes, replaces: str | None) -> None:
    stored.publish(NAME, written(stored, data), replaces)


def held(stored: Storage) -> bytes | None:
    """What a machine finds published."""
    version, copy = stored.fetch(NAME), stored.local / NAME
    assert (version is None) == (not copy.exists())
    return copy.read_bytes() if version is not None else None


def test_every_machine_has_what_is_published(machine: Machine) -> None:
    first, second = machine("one"), machine("two")
    assert held(first) is held(second) is None
    put(first, b"1", None)
    assert held(first) == held(second) == b"1"
    put(second, b"2" * 3_000_000, second.fetch(NAME))
    assert held(first) == held(second) == b"2" * 3_000_000
    first.withdraw(NAME)
    assert held(first) is held(second) is None
    put(second, b"3", None)
    assert held(first) == b"3"


def test_what_has_been_replaced_meanwhile_is_not_replaced_again(machine: Machine) -> None:
    first, second = machine("one"), machine("two")
    put(first, b"1", None)
    seen = second.fetch(NAME)
    put(first, b"2", first.fetch(NAME))
    for stale in (seen, None):
        with pytest.raises(InputsChanged, match=rf"Another process has published \S+{NAME} in between"):
            put(second, b"older", stale)
    assert held(first) == held(second) == b"2"
    seen = second.fetch(NAME)
    first.withdraw(NAME)
    with pytest.raises(InputsChanged):
        put(second, b"older", seen)
    assert held(first) is held(second) is None


def test_of_writers_at_once_none_undoes_what_another_has_done(machine: Machine) -> None:
    put(machine("one"), b"0", None)

    def add(number: int) -> None:
        stored = machine(f"machine {number % 3}")
        while True:
            seen = stored.fetch(NAME)
            try:
                # It may be newer than what was seen: then it is not replaced.
                put(stored, b"%d" % (int((stored.local / NAME).read_bytes()) + 1), seen)
            except InputsChanged:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(6)))
    assert held(machine("another")) == b"6"


@pytest.mark.parametrize("machine", ["s3", "gcs"], indirect=True)
def test_a_copy_that_is_none_any_more_is_made_anew(machine: Machine) -> None:
    stored = machine("one")
    put(stored, b"published", None)
    copy = stored.local / NAME
    before = copy.stat().st_ino
    assert held(stored) == b"published"
    # Nothing is fetched again that is here.
    assert copy.stat().st_ino == before
    copy.write_bytes(b"written by somebody")
    assert held(stored) == b"published"
    os.truncate(copy, 3)
    assert held(stored) == b"published"
    copy.unlink()
    assert held(stored) == b"published"
    assert stored.forget_copy(NAME)
    assert not copy.exists()
    assert held(stored) == b"published"
    # A process that was killed after it had stored its file, and before that was its copy.
    other = machine("two")
    put(other, b"newer", other.fetch(NAME))
    (other.local / NAME).write_bytes(b"published")
    assert held(other) == b"newer"


@pytest.mark.parametrize("machine", ["s3", "gcs"], indirect=True)
def test_a_file_that_is_no_copy_stays_until_something_is_published_or_withdrawn(machine: Machine) -> None:
    stored, other = machine("one"), machine("two")
    for each in (stored, other):
        # As an earlier version has left it, which put nothing into the bucket.
        written(each, b"of an earlier version").replace(each.local / NAME)
        assert each.fetch(NAME) is None
        each.forget_copy(NAME)
        assert each.fetch(NAME) is None
        assert (each.local / NAME).read_bytes() == b"of an earlier version"
    put(stored, b"1", None)
    assert held(stored) == held(other) == b"1"
    stored.withdraw(NAME)
    assert held(stored) is held(other) is None
    written(stored, b"of an earlier version").replace(stored.local / NAME)
    stored.withdraw(NAME)
    assert held(stored) is None


@pytest.mark.parametrize("machine", ["s3"], indirect=True)
def test_what_is_overwritten_while_it_is_read_is_read_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = machine("one"), machine("two")
    put(first, b"1", None)
    objects = second._remote.objects  # type: ignore[attr-defined]
    stat, times = objects.stat, 3

    def stat_and_lose(key: str) -> object:
        nonlocal times
        found = stat(key)
        if times:
            times -= 1
            put(first, b"%d" % times, first.fetch(NAME))
        return found

    monkeypatch.setattr(objects, "stat", stat_and_lose)
    assert held(second) == b"0"
    times = 1000
    put(first, b"newer", first.fetch(NAME))
    with pytest.raises(StorageError, match=f"{NAME} was overwritten each time that it was read"):
        second.fetch(NAME)
    assert (second.local / NAME).read_bytes() == b"0"


def test_a_cache_that_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    given = {"bucket_uri": "s3://not-read/", "storage": "s3://tables/usage", "cache": str(tmp_path / "cache" / "below")}
    with pytest.raises(StorageError, match=r"The copy of s3://\S+ in \S+ cannot be written: Not a directory"):
        storage(read_settings(given)).fetch(NAME)
