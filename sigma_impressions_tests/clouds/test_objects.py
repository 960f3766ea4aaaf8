"""Downloads and listings that would not end by themselves, whatever the cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sigma_impressions.clouds import objects
from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.clouds.objects import Interrupted, ObjectStore, StoredObject, download_resuming, objects_of
from sigma_impressions.errors import ObjectUnreadable, StoreError
from sigma_impressions_tests.clouds import test_gcs, test_s3
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub

QUICK = Backoff(attempts=3, first=0.0)
MIB = 1024 * 1024


def item(size: int, key: str = "exports/a.csv") -> StoredObject:
    return StoredObject("bucket", key, "v1", size, datetime(2026, 3, 1, tzinfo=UTC))


def fetch(size: int, transfer: Callable[[BinaryIO], None], target: Path) -> None:
    download_resuming(item(size), target, transfer, QUICK, "gs://bucket/exports/a.csv")


# --- downloads


def test_a_body_longer_than_listed_is_no_progress_and_is_not_written(tmp_path: Path) -> None:
    tries: list[int] = []

    def transfer(file: BinaryIO) -> None:
        tries.append(file.tell())
        assert len(tries) < 20
        for _ in range(4):
            file.write(bytes(MIB))
            assert (tmp_path / "download").stat().st_size <= 2 * MIB

    with pytest.raises(ObjectUnreadable, match="more than the 2,097,152 bytes of the object arrived"):
        fetch(2 * MIB, transfer, tmp_path / "download")
    assert tries == [0] * QUICK.attempts
    assert not (tmp_path / "download").exists()


def test_coming_to_the_same_place_again_is_no_progress(tmp_path: Path) -> None:
    sent = iter([3, 1] * 20)

    def from_the_beginning(file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        for _ in range(next(sent)):
            file.write(bytes(MIB))
        raise Interrupted("reset", in_body=True)

    with pytest.raises(ObjectUnreadable, match="reset"):
        fetch(9 * MIB, from_the_beginning, tmp_path / "download")


STORES: dict[str, tuple[Callable[[HttpStub], ObjectStore], StoredObject, dict[str, str]]] = {
    "S3": (test_s3.impatient, test_s3.ITEM, {"ETag": f'"{test_s3.ETAG}"'}),
    "GCS": (lambda stub: test_gcs.store(stub.url), test_gcs.ITEM, {}),
}


@pytest.mark.parametrize("cloud", STORES)
def test_no_store_writes_more_than_it_has_listed(cloud: str, tmp_path: Path) -> None:
    made, listed, headers = STORES[cloud]
    body = b"x" * (listed.size + 3 * MIB)
    with http_stub(lambda _: Answer(200, body, headers)) as stub, pytest.raises(ObjectUnreadable, match="more than"):
        made(stub).download(listed, tmp_path / "download")
    assert len([request for request in stub.requests if "a.csv" in request.path]) == QUICK.attempts
    assert not (tmp_path / "download").exists()


@pytest.mark.parametrize("cloud", STORES)
def test_a_body_that_comes_in_drips_is_given_up(cloud: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "DOWNLOAD_SECONDS", 0.5)
    made, listed, headers = STORES[cloud]
    started = time.monotonic()
    dripping = Answer(200, b"x" * listed.size, headers, drip=0.05)
    with http_stub(lambda _: dripping) as stub, pytest.raises(ObjectUnreadable, match="Gave up reading") as raised:
        made(stub).download(listed, tmp_path / "download")
    assert raised.value.reason == "sent too slowly"
    assert time.monotonic() - started < 5
    assert not (tmp_path / "download").exists()


# --- listings


def test_a_listing_in_circles_ends() -> None:
    pages: Iterator[list[StoredObject]] = ([item(1, f"{n % 3}.csv")] for n in count())
    with pytest.raises(StoreError, match="The listing of gs://bucket/exports/ does not end"):
        list(objects_of(pages, "gs://bucket/exports/"))


def test_a_listing_of_empty_pages_ends() -> None:
    with pytest.raises(StoreError, match="does not end"):
        list(objects_of(([] for _ in count()), "gs://bucket/exports/"))


def test_some_pages_may_be_empty() -> None:
    pages = iter([[], [item(1, "a.csv")], *[[]] * 500, [item(1, "b.csv")], []])
    assert [found.key for found in objects_of(pages, "x")] == ["a.csv", "b.csv"]


def test_a_listing_of_ever_new_keys_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "LISTED_LIMIT", 1000)
    with pytest.raises(StoreError, match="more than 1,000 objects"):
        list(objects_of(([item(1, f"{n}.csv")] for n in count()), "x"))


def test_a_page_that_comes_in_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PAGE_SECONDS", 0.2)
    body = b"<ListBucketResult><Name>b</Name>" + b" " * 10_000 + b"</ListBucketResult>"
    with http_stub(lambda _: Answer(200, body, drip=0.05)) as stub, pytest.raises(StoreError, match="for one page"):
        list(test_s3.impatient(stub).list("exports/"))


def test_a_continuation_token_that_repeats_ends_a_listing_on_s3() -> None:
    with http_stub(lambda _: Answer(200, test_s3.page("a.csv", truncated=True))) as stub:
        found = test_s3.impatient(stub).list("")
        with pytest.raises(StoreError, match="does not end"):
            list(found)
        assert len(stub.requests) < 5


def test_page_tokens_that_take_turns_end_a_listing_on_gcs() -> None:
    def turning(request: Request) -> Answer:
        blob: dict[str, Any] = {"generation": "1", "size": "3", "updated": "2026-01-01T00:00:00Z"}
        other = "b" if "pageToken=a" in request.path else "a"
        listing = {"kind": "storage#objects", "items": [{"name": other, **blob}], "nextPageToken": other}
        return Answer(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    with http_stub(turning) as stub:
        with pytest.raises(StoreError, match="does not end"):
            list(test_gcs.store(stub.url).list("exports/"))
        assert len(test_gcs.object_requests(stub)) < 5
