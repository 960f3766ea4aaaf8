"""Export files on S3: against an S3 server, and against a stub for the faults that the server cannot produce."""

from __future__ import annotations

import json
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import boto3
import pytest
from botocore.loaders import JSONFileLoader
from botocore.utils import parse_timestamp
from moto.server import ThreadedMotoServer

from sigma_impressions.clouds.backoff import Backoff
from sigma_impressions.clouds.objects import Interrupted, StoredObject, download_resuming
from sigma_impressions.clouds.s3 import S3
from sigma_impressions.clouds.s3.client import _descriptions
from sigma_impressions.clouds.s3.files import S3Files
from sigma_impressions.clouds.s3.objects import S3Store, client_config
from sigma_impressions.clouds.s3.pages import parse_time
from sigma_impressions.errors import ObjectChanged, ObjectGone, StoreError
from sigma_impressions.exports.listing import is_export_key
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub

BUCKET = "exports-bucket"
KEY_ID, SECRET, TOKEN = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLE"
QUICK = Backoff(attempts=3, first=0.0)
BODY = bytes(range(256)) * 40
ETAG = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    moto.stop()


@pytest.fixture
def endpoint(server: str) -> Iterator[str]:
    """The server without any object, and without checks of rights."""
    post(f"{server}/moto-api/reset")
    owner(server).create_bucket(Bucket=BUCKET)
    yield server
    # All servers of a process share this switch, also those of other modules.
    post(f"{server}/moto-api/reset-auth", b"inf")


def post(url: str, data: bytes = b"") -> None:
    request = urllib.request.Request(url, data=data, method="POST", headers={"Content-Type": "text/plain"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


@cache
def sdk() -> boto3.session.Session:
    """One session for all clients: each would read again what the SDK knows of services, longer than most tests."""
    return boto3.session.Session()


def client(endpoint: str, key_id: str = KEY_ID, secret: str = SECRET, token: str | None = None, **extra: Any) -> Any:
    return sdk().client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=client_config().merge(extra.pop("config", None) or client_config()),
        **extra,
    )


@cache
def owner(endpoint: str) -> Any:
    """A client that may do everything; one for all tests, because making one takes longer than most of them."""
    return client(endpoint)


def put(endpoint: str, key: str, body: bytes = b"a,b\n", **extra: Any) -> str:
    """Store an object; its version."""
    return str(owner(endpoint).put_object(Bucket=BUCKET, Key=key, Body=body, **extra)["ETag"].strip('"'))


def store(endpoint: str, **extra: Any) -> S3Store:
    return S3Store(owner(endpoint), BUCKET, backoff=QUICK, **extra)


def listed(endpoint: str, prefix: str) -> StoredObject:
    (item,) = store(endpoint).list(prefix)
    return item


# --- a bucket that works ------------------------------------------------------------------------------------


def test_an_object_is_listed_with_its_version_size_and_time(endpoint: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    version = put(endpoint, "exports/2026/ü a+b%20.csv", b"12345")
    item = listed(endpoint, "exports/")
    assert (item.bucket, item.key, item.version, item.size) == (BUCKET, "exports/2026/ü a+b%20.csv", version, 5)
    assert '"' not in item.version
    assert item.last_modified.tzinfo is UTC
    assert before <= item.last_modified <= datetime.now(UTC)


def test_a_listing_goes_on_over_all_pages_in_the_order_of_keys(endpoint: str) -> None:
    keys = [f"exports/{n:03}.csv" for n in range(12)]
    for key in reversed(keys):
        put(endpoint, key)
    put(endpoint, "exports-old/000.csv")
    assert [item.key for item in store(endpoint, page_size=5).list("exports/")] == keys
    after = [item.key for item in store(endpoint, page_size=5).list("exports/", start_after=keys[8])]
    assert after == keys[9:]


def test_pages_are_fetched_while_iterating() -> None:
    with http_stub(lambda _: Answer(200, page("a.csv", truncated=True))) as stub:
        found = store(stub.url).list("")
        assert not stub.requests
        assert next(found).key == "a.csv"
        assert len(stub.requests) == 1


def test_directory_markers_are_left_out_and_empty_files_are_not(endpoint: str) -> None:
    put(endpoint, "exports/", b"")
    put(endpoint, "exports/sub/", b"")
    put(endpoint, "exports/empty.csv", b"")
    put(endpoint, "exports/odd/", b"not empty")
    assert [item.key for item in store(endpoint).list("exports/")] == ["exports/empty.csv", "exports/odd/"]


def test_what_lies_directly_below_a_prefix_is_told_without_what_is_deeper(endpoint: str) -> None:
    for key in ("sigma/2026/a.csv", "sigma/2026/b.csv", "sigma-old/a.csv", "c.csv", "sigma/notes.txt"):
        put(endpoint, key)
    assert sorted(store(endpoint).below("")) == ["c.csv", "sigma-old/", "sigma/"]
    assert sorted(store(endpoint).below("sigma/")) == ["sigma/2026/", "sigma/notes.txt"]
    assert store(endpoint).below("Sigma/") == []
    assert len(store(endpoint, page_size=2).below("")) <= 2


def test_an_empty_prefix_is_an_empty_listing(endpoint: str) -> None:
    assert list(store(endpoint).list("nothing/")) == []


@pytest.mark.parametrize("body", [b"", b"x", BODY])
def test_a_download_is_the_object_as_stored(endpoint: str, tmp_path: Path, body: bytes) -> None:
    put(endpoint, "exports/a.csv.gz", body, ContentEncoding="gzip")
    target = tmp_path / "download"
    target.write_bytes(b"left over" * 10_000)
    store(endpoint).download(listed(endpoint, "exports/"), target)
    assert target.read_bytes() == body


def test_stat_is_what_the_listing_says(endpoint: str) -> None:
    put(endpoint, "exports/a.csv")
    item, found = listed(endpoint, "exports/"), store(endpoint).stat("exports/a.csv")
    assert (found.key, found.version, found.size) == (item.key, item.version, item.size)
    assert found.last_modified == item.last_modified.replace(microsecond=0)


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
    owner(endpoint).delete_object(Bucket=BUCKET, Key=item.key)
    with pytest.raises(ObjectGone, match=r"exports/a\.csv does not exist"):
        store(endpoint).download(item, tmp_path / "download")
    with pytest.raises(ObjectGone):
        store(endpoint).stat(item.key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a.csv", True), ("a/b.CSV", True), ("a.csv.gz", True), ("a.Csv.GZ", True), ("a.csv.zip", False), ("csv", False)],
)
def test_which_keys_can_be_export_files(key: str, expected: bool) -> None:
    assert is_export_key(key) is expected


# --- rights and credentials ---------------------------------------------------------------------------------


def with_rights(endpoint: str, *actions: str) -> S3Store:
    """A store whose user may do only these actions."""
    iam = boto3.session.Session().client(
        "iam", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=KEY_ID, aws_secret_access_key=SECRET
    )
    iam.create_user(UserName="reader")
    if actions:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    post(f"{endpoint}/moto-api/reset-auth", b"0")
    return S3Store(client(endpoint, key["AccessKeyId"], key["SecretAccessKey"]), BUCKET, backoff=QUICK)


def test_list_denied(endpoint: str) -> None:
    reader = with_rights(endpoint, "s3:GetObject")
    with pytest.raises(StoreError) as raised:
        list(reader.list("exports/"))
    for part in ("s3:ListBucket", "s3:prefix", BUCKET, "exports/", "Grant", "or is the name misspelt?"):
        assert part in str(raised.value)
    with pytest.raises(StoreError, match="s3:ListBucket"):
        reader.below("")


def test_get_denied(endpoint: str, tmp_path: Path) -> None:
    put(endpoint, "exports/a.csv")
    reader = with_rights(endpoint, "s3:ListBucket")
    (item,) = reader.list("exports/")
    for read in (lambda: reader.download(item, tmp_path / "download"), lambda: reader.stat(item.key)):
        with pytest.raises(StoreError) as raised:
            read()
        for part in ("s3:GetObject", BUCKET, "exports/a.csv", "Grant"):
            assert part in str(raised.value)


def test_a_wrong_secret_is_told_as_such_and_not_repeated(endpoint: str) -> None:
    right = with_rights(endpoint, "s3:*")
    key_id = right._client._request_signer._credentials.access_key
    with pytest.raises(StoreError) as raised:
        list(S3Store(client(endpoint, key_id, SECRET), BUCKET).list("exports/"))
    assert "credentials are not valid" in str(raised.value)
    assert_no_secret(raised.value, key_id, SECRET)


def test_bucket_missing(endpoint: str) -> None:
    other = S3Store(owner(endpoint), "no-such-bucket")
    for read in (lambda: list(other.list("exports/")), lambda: other.stat("exports/a.csv")):
        with pytest.raises(StoreError, match=r"no-such-bucket does not exist.*SIGMA_IMPRESSIONS_BUCKET_URI"):
            read()


def test_no_credentials(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    ambient = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1")
    with pytest.raises(StoreError, match="No AWS credentials were found for listing s3://exports-bucket/exports/"):
        list(S3Store(ambient, BUCKET).list("exports/"))


def assert_no_secret(error: BaseException, *secrets: str) -> None:
    told = "".join(traceback.format_exception(error))
    for secret in secrets:
        assert secret not in told


# --- faults that need a stub --------------------------------------------------------------------------------


def failure(code: str, more: str = "") -> bytes:
    """An answer as S3 gives it; it repeats the credentials, which no message of ours may do."""
    return (
        f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{KEY_ID} {TOKEN}</Message>'
        f"<AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><Token-0>{TOKEN}</Token-0>{more}</Error>"
    ).encode()


def page(key: str, *, truncated: bool = False) -> bytes:
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        f"<Contents><Key>{key}</Key><LastModified>2026-03-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{ETAG}&quot;</ETag><Size>{len(BODY)}</Size></Contents></ListBucketResult>"
    ).encode()


ITEM = StoredObject(BUCKET, "exports/a.csv", ETAG, len(BODY), datetime(2026, 3, 1, tzinfo=UTC))


def content(request: Request, *, cut: int | None = None, ranges: bool = True, etag: str = ETAG) -> Answer:
    """The object from the byte on that was asked for; with `cut` only that many bytes of it arrive."""
    start = request.range_start() if ranges else 0
    headers = {"ETag": f'"{etag}"'}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    return Answer(206 if start else 200, BODY[start:], headers, cut)


def impatient(stub: HttpStub) -> S3Store:
    """A store whose SDK does not retry by itself, so that only our own retries are seen."""
    config = client_config().merge(type(client_config())(retries={"total_max_attempts": 1}))
    return S3Store(client(stub.url, token=TOKEN, config=config), BUCKET, backoff=QUICK)


@pytest.mark.parametrize(
    ("status", "code", "more", "says"),
    [
        (301, "PermanentRedirect", "", "set SIGMA_IMPRESSIONS_AWS_REGION to the region"),
        (400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", "SIGMA_IMPRESSIONS_AWS_REGION=eu-west-1"),
        (403, "InvalidAccessKeyId", "", "Correct SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "", "Correct SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", "", "SIGMA_IMPRESSIONS_AWS_SESSION_TOKEN"),
        (403, "RequestTimeTooSkewed", "", "Set the clock"),
        (403, "AccessDenied", "", "s3:ListBucket"),
        (404, "NoSuchBucket", "", "does not exist"),
        (503, "SlowDown", "", "S3 answered SlowDown (HTTP 503)"),
        (400, "Strange", "", "Strange (HTTP 400)"),
        (400, f"Strange {KEY_ID}", "", "an unknown error (HTTP 400)"),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, code: str, more: str, says: str) -> None:
    # The SDK follows a redirection by a HEAD for the region; were it redirected too, it would ask for ever.
    def answer(request: Request) -> Answer:
        return Answer(403) if request.method == "HEAD" else Answer(status, failure(code, more))

    with http_stub(answer) as stub, pytest.raises(StoreError) as raised:
        list(impatient(stub).list("exports/"))
    assert says in str(raised.value)
    assert f"s3://{BUCKET}/exports/" in str(raised.value)
    assert_no_secret(raised.value, KEY_ID, SECRET, TOKEN)


def test_a_region_that_only_a_header_names() -> None:
    moved = Answer(301, failure("PermanentRedirect"), {"x-amz-bucket-region": "eu-west-1"})
    with http_stub(lambda _: moved) as stub, pytest.raises(StoreError, match="REGION=eu-west-1"):
        list(impatient(stub).list("exports/"))


def test_a_head_without_a_reason_is_explained_by_a_get() -> None:
    def answer(request: Request) -> Answer:
        return Answer(400) if request.method == "HEAD" else Answer(400, failure("ExpiredToken"))

    with http_stub(answer) as stub, pytest.raises(StoreError, match="expired or not valid"):
        impatient(stub).stat("exports/a.csv")


def test_endpoint_unreachable() -> None:
    with http_stub(content) as stub:
        gone = impatient(stub)
    with pytest.raises(StoreError, match=r"the endpoint 127\.0\.0\.1:\d+ could not be reached") as raised:
        list(gone.list("exports/"))
    assert "AWS_ENDPOINT_URL" in str(raised.value)


def answers(*prepared: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    """One prepared answer after the other; the last one again and again."""
    left = list(prepared)

    def answer(request: Request) -> Answer:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def test_a_truncated_body_is_resumed_where_it_stopped(tmp_path: Path) -> None:
    broken = answers(lambda r: content(r, cut=1000), lambda r: content(r, cut=2000), content)
    with http_stub(broken) as stub:
        impatient(stub).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY
    assert [request.headers.get("range") for request in stub.requests] == [None, "bytes=1000-", "bytes=3000-"]
    assert {request.headers["if-match"] for request in stub.requests} == {f'"{ETAG}"'}


def test_throttling_and_faults_of_the_store_are_retried(tmp_path: Path) -> None:
    throttled = answers(
        lambda _: Answer(503, failure("SlowDown")), lambda _: Answer(500, failure("InternalError")), content
    )
    with http_stub(throttled) as stub:
        impatient(stub).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY


def test_a_store_without_ranges_sends_the_object_again_from_its_beginning(tmp_path: Path) -> None:
    with http_stub(answers(lambda r: content(r, cut=1000), lambda r: content(r, ranges=False))) as stub:
        impatient(stub).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY


def test_an_object_that_changes_between_two_tries_is_changed(tmp_path: Path) -> None:
    changed = answers(lambda r: content(r, cut=1000), lambda _: Answer(412, failure("PreconditionFailed")))
    with http_stub(changed) as stub, pytest.raises(ObjectChanged):
        impatient(stub).download(ITEM, tmp_path / "download")
    assert not (tmp_path / "download").exists()


def test_a_store_without_if_match_is_caught_by_its_etag(tmp_path: Path) -> None:
    with http_stub(lambda r: content(r, etag="f" * 32)) as stub, pytest.raises(ObjectChanged):
        impatient(stub).download(ITEM, tmp_path / "download")


def test_a_body_that_never_arrives_is_given_up_and_leaves_no_file(tmp_path: Path) -> None:
    with http_stub(lambda r: content(r, cut=0)) as stub, pytest.raises(StoreError) as raised:
        impatient(stub).download(ITEM, tmp_path / "download")
    assert len(stub.requests) == QUICK.attempts
    assert f"Gave up reading s3://{BUCKET}/exports/a.csv after 3 tries" in str(raised.value)
    assert not (tmp_path / "download").exists()
    assert_no_secret(raised.value, KEY_ID, SECRET, TOKEN)


def test_a_complete_body_of_the_wrong_size_is_not_accepted(tmp_path: Path) -> None:
    with http_stub(lambda _: Answer(200, b"short", {"ETag": f'"{ETAG}"'})) as stub, pytest.raises(StoreError):
        impatient(stub).download(ITEM, tmp_path / "download")
    assert not (tmp_path / "download").exists()


def test_a_large_object_survives_more_faults_than_there_are_tries(tmp_path: Path) -> None:
    piece = 1024 * 1024
    large = StoredObject(BUCKET, "exports/large.csv", ETAG, 6 * piece, ITEM.last_modified)
    offsets: list[int] = []

    def transfer(file: BinaryIO) -> None:
        offsets.append(file.tell())
        file.write(bytes(piece))
        raise Interrupted("reset")

    download_resuming(large, tmp_path / "download", transfer, Backoff(attempts=2, first=0.0), "large")
    assert offsets == [n * piece for n in range(6)]
    assert (tmp_path / "download").stat().st_size == large.size


def test_an_error_of_the_local_disk_is_not_retried(tmp_path: Path) -> None:
    tries: list[int] = []

    def transfer(file: BinaryIO) -> None:
        tries.append(file.tell())
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        download_resuming(ITEM, tmp_path / "download", transfer, QUICK, "a.csv")
    assert tries == [0]
    assert not (tmp_path / "download").exists()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T03:20:00.000Z",
        "2026-11-23T03:20:00Z",
        "2026-11-23T03:20:00.123456789Z",
        "2026-11-23T05:20:00+02:00",
        "Mon, 23 Nov 2026 03:20:00 GMT",
        "2026-11-23T03:20:00",
        1795404000,
        "1795404000.5",
    ],
)
def test_a_time_is_read_as_the_sdk_reads_it(text: Any) -> None:
    assert parse_time(text) == parse_timestamp(text)


# --- stores, and what stands in front of them, that do not answer as S3 does

LISTED = "<Key>exports/a.csv</Key><Size>3</Size><LastModified>2026-01-01T00:00:00Z</LastModified>"


def entries(content: str) -> bytes:
    etag = f"<ETag>{ETAG}</ETag>"
    return f"<ListBucketResult><Name>b</Name><Contents>{content}{etag}</Contents></ListBucketResult>".encode()


NO_LISTINGS = {
    "nothing": b"",
    "a login page": b"<html><body><br>Please sign in",
    "a login page in XML": b'<html xmlns="http://www.w3.org/1999/xhtml"><body><p>Please sign in</p></body></html>',
    "a list of buckets": b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>",
    "text": b"It works!",
    "JSON": b'{"items": []}',
    "no entry": entries(""),
    "an entry without a key": entries(LISTED.replace("Key", "Name")),
    "an entry with two keys": entries("<Key>exports/b.csv</Key>" + LISTED),
    "no size": entries(LISTED.replace("3", "three")),
    "a size below zero": entries(LISTED.replace("3", "-3")),
    "a size of 5,000 digits": entries(LISTED.replace("3", "3" * 5000)),
    "no time": entries(LISTED.replace("2026-01-01T00:00:00Z", "soon")),
    "a time before all calendars": entries(LISTED.replace("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00")),
}


@pytest.mark.parametrize("body", NO_LISTINGS.values(), ids=NO_LISTINGS.keys())
def test_an_answer_that_is_no_listing_is_not_an_empty_bucket(body: bytes) -> None:
    with http_stub(lambda _: Answer(200, body)) as stub, pytest.raises(StoreError) as raised:
        list(impatient(stub).list("exports/"))
    assert stub.url.removeprefix("http://") in str(raised.value)
    assert "AWS_ENDPOINT_URL_S3" in str(raised.value)
    assert "sign in" not in str(raised.value)


@pytest.mark.parametrize(
    "headers", [{"Last-Modified": "soon"}, {"Last-Modified": "Mon, 01 Jan 99999 00:00:00 GMT"}, {}]
)
def test_a_head_or_body_without_a_proper_time_is_told_in_a_sentence(headers: dict[str, str], tmp_path: Path) -> None:
    with http_stub(lambda _: Answer(200, BODY, {"ETag": ETAG, **headers})) as stub:
        with pytest.raises(StoreError, match=r"gave no size and time of s3://exports-bucket/exports/a\.csv"):
            impatient(stub).stat("exports/a.csv")
        if headers:
            with pytest.raises(StoreError, match="gave no size and time"):
                impatient(stub).download(ITEM, tmp_path / "download")


def test_a_listing_of_nothing_is_an_empty_bucket() -> None:
    body = b"<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"
    with http_stub(lambda _: Answer(200, body)) as stub:
        assert list(impatient(stub).list("exports/")) == []


def test_a_listing_without_etags_is_refused_by_name() -> None:
    body = f"<ListBucketResult><Name>b</Name><Contents>{LISTED}</Contents></ListBucketResult>".encode()
    with http_stub(lambda _: Answer(200, body)) as stub, pytest.raises(StoreError, match="without an ETag") as raised:
        list(impatient(stub).list("exports/"))
    assert "exports/a.csv" in str(raised.value)


@pytest.mark.parametrize("etag", [ETAG, f"W/{ETAG}"])
def test_a_store_that_refuses_if_match_with_its_own_etag_is_read_without(etag: str, tmp_path: Path) -> None:
    def refusing(request: Request) -> Answer:
        if "if-match" in request.headers:
            return Answer(412, failure("PreconditionFailed"))
        return Answer(200, BODY, {"ETag": f'W/"{ETAG}"' if etag.startswith("W/") else f'"{ETAG}"'})

    with http_stub(refusing) as stub:
        impatient(stub).download(ITEM, tmp_path / "download")
    assert (tmp_path / "download").read_bytes() == BODY


def test_without_if_match_another_version_is_not_taken(tmp_path: Path) -> None:
    def overwritten(request: Request) -> Answer:
        if "if-match" in request.headers:
            return Answer(412, failure("PreconditionFailed"))
        return Answer(200, BODY, {"ETag": f'"{ETAG if request.method == "HEAD" else "e" * 32}"'})

    with http_stub(overwritten) as stub, pytest.raises(StoreError, match="another ETag when it sends"):
        impatient(stub).download(ITEM, tmp_path / "download")
    assert not (tmp_path / "download").exists()


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
@pytest.mark.parametrize(
    "value", ["127.0.0.1:9000", '"http://127.0.0.1:9000"', "http://", "localhost", "http://key:secret@host", "ftp://h"]
)
def test_an_endpoint_that_is_no_url_is_told_in_a_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    for opening in (lambda: S3("id", "secret").objects("bucket"), S3("id", "secret").table_options):
        with pytest.raises(StoreError, match=f"{variable} must be a URL such as https://host:9000") as raised:
            opening()
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("value", ["http://127.0.0.1:9000", "https://s3.example.com/", "HTTPS://host/path"])
def test_an_endpoint_that_is_a_url_is_taken(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", value)
    assert S3("id", "secret").table_options()["aws_endpoint_url"] == value


def test_what_the_sdk_knows_of_services_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    S3("id", "secret", aws_region="us-east-1").objects("bucket")
    folders = [*_descriptions(None).search_paths]
    read: list[str] = []
    load = JSONFileLoader.load_file

    def counted(self: JSONFileLoader, path: str) -> Any:
        read.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", counted)
    S3("other", "secret", aws_region="eu-west-1").objects("bucket")
    assert not read
    assert _descriptions(None).search_paths == folders, "they grow with every client"


# --- replacing an object ------------------------------------------------------------------------------------


def at(version: str) -> Answer:
    """The answer of a store whose object is at a version."""
    return Answer(200, BODY, {"ETag": f'"{version}"', "Last-Modified": "Sun, 01 Mar 2026 00:00:00 GMT"})


@pytest.mark.parametrize(
    ("status", "code", "version", "there"),
    [
        (412, "PreconditionFailed", ETAG, "another"),
        (412, "PreconditionFailed", None, ETAG),
        (409, "ConditionalRequestConflict", ETAG, ETAG),
        (404, "NoSuchKey", ETAG, None),
    ],
)
def test_who_was_overtaken_is_told(
    status: int, code: str, version: str | None, there: str | None, tmp_path: Path
) -> None:
    def answer(request: Request) -> Answer:
        if request.method == "PUT":
            return Answer(status, failure(code))
        return Answer(404, failure("NoSuchKey")) if there is None else at(there)

    (tmp_path / "file").write_bytes(BODY)
    with http_stub(answer) as stub, pytest.raises(ObjectChanged, match=f"s3://{BUCKET}/a was overwritten") as raised:
        S3Files(client(stub.url), BUCKET).replace(tmp_path / "file", "a", version)
    sent = stub.requests[0]
    assert (sent.headers.get("if-match"), sent.headers.get("if-none-match"), sent.body) == (
        (f'"{version}"', None, BODY) if version else (None, "*", BODY)
    )
    assert_no_secret(raised.value, KEY_ID, SECRET, TOKEN)


def test_a_store_that_refuses_the_version_that_it_has_is_told_as_such(tmp_path: Path) -> None:
    def answer(request: Request) -> Answer:
        return Answer(412, failure("PreconditionFailed")) if request.method == "PUT" else at(ETAG)

    (tmp_path / "file").write_bytes(BODY)
    with http_stub(answer) as stub, pytest.raises(StoreError, match=r"refuses to replace .* nobody could publish"):
        S3Files(client(stub.url), BUCKET).replace(tmp_path / "file", "a", ETAG)
