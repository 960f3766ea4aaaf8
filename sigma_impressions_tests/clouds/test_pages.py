"""Pages of S3 listings: read without the SDK's parser, and as it reads them."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import Any

import boto3
import pytest
from botocore import parsers
from botocore.config import Config

from sigma_impressions.clouds.s3.objects import S3Store
from sigma_impressions.clouds.s3.pages import collections_paused, read_entries_quickly
from sigma_impressions_tests.clouds.http_stub import Answer, http_stub

BUCKET = "exports-bucket"
SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
TIME = "<LastModified>2026-03-01T00:00:00.000Z</LastModified>"
ETAG = "<ETag>&quot;0123&quot;</ETag>"
OWNER = "<Owner><ID>75aa</ID><DisplayName>someone</DisplayName></Owner><StorageClass>STANDARD</StorageClass>"


def page(*entries: str, space: str = SPACE, more: str = "<EncodingType>url</EncodingType>") -> bytes:
    listed = "\n".join(f"<Contents>{entry}</Contents>" for entry in entries)
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {space}><Name>b</Name><Prefix>sigma%2F</Prefix>'
        f"<IsTruncated>false</IsTruncated>{more}{listed}<KeyCount>{len(entries)}</KeyCount></ListBucketResult>"
    ).encode()


PLAIN = f"<Key>sigma%2Fa+b%2Bc.csv</Key>{TIME}{ETAG}<Size>3</Size>"
PAGES = {
    "plain": page(PLAIN, PLAIN.replace("a+b", "%C3%BC")),
    "no encoding": page(f"<Key>sigma/a b%20&amp;ü &#10;.csv</Key>{TIME}{ETAG}<Size>3</Size>", more=""),
    "more of each": page(PLAIN + OWNER, OWNER + PLAIN),
    "no namespace": page(PLAIN, space=""),
    "another namespace": page(PLAIN, space='xmlns="http://obs.example.com/doc"'),
    "a prefix for the namespace": page(PLAIN).replace(b"xmlns=", b"xmlns:s3="),
    "a namespace of some entries": page(PLAIN, f'<Key xmlns="urn:other">k</Key>{TIME}{ETAG}<Size>3</Size>'),
    "entries of several namespaces": page(PLAIN, PLAIN.replace("a+b", "d")).replace(
        b"<Contents>", b'<Contents xmlns="urn:other">', 1
    ),
    "a carriage return beside the entries": page(PLAIN, more="<NextContinuationToken>k&#13;1</NextContinuationToken>"),
    "CDATA and comments": page(f"<Key><![CDATA[a<b>.csv]]></Key>{TIME}<!-- here -->{ETAG}<Size>3</Size>"),
    "a comment within": page(f"<Key>a<!-- here -->b.csv</Key>{TIME}{ETAG}<Size>3</Size>"),
    "checksums": page(
        f"{PLAIN}<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumAlgorithm>SHA1</ChecksumAlgorithm>"
    ),
    "another time": page(PLAIN.replace("2026-03-01T00:00:00.000Z", "Sun, 01 Mar 2026 00:00:00 GMT")),
    "a size with blanks": page(PLAIN.replace("<Size>3", "<Size> 3 ")),
    "no ETag": page(f"<Key>a.csv</Key>{TIME}<Size>3</Size>", PLAIN),
    "nothing of all": page(f"<Key/>{TIME}<ETag/><Size>0</Size>"),
    "a marker": page(f"<Key>sigma%2F</Key>{TIME}{ETAG}<Size>0</Size>", PLAIN),
    "two keys": page("<Key>b.csv</Key>" + PLAIN),
    "no size": page(PLAIN.replace("<Size>3", "<Size>three")),
    "no time": page(PLAIN.replace("2026-03-01T00:00:00.000Z", "soon")),
    "an empty entry": page(PLAIN, ""),
    "empty": page(),
    "an error": b"<Error><Code>AccessDenied</Code></Error>",
    "cut": page(PLAIN)[:-20],
    "no XML": b"It works!",
}


def client(url: str) -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


served: list[bytes] = []
"""What the stub of `clients` answers."""


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Any, Any]]:
    """A client as the SDK makes it, and one that reads entries here."""
    with http_stub(lambda _: Answer(200, served[0])) as stub:
        usual, quick = client(stub.url), client(stub.url)
        read_entries_quickly(quick)
        yield usual, quick


def outcome(client: Any) -> Any:
    """What a listing gives of the entries, or what kind of error."""
    try:
        answer = client.list_objects_v2(Bucket=BUCKET)
    except Exception as error:
        return type(error).__name__
    wanted = ("Key", "LastModified", "ETag", "Size")
    entries = [{name: entry.get(name) for name in wanted} for entry in answer.pop("Contents", ())]
    del answer["ResponseMetadata"]
    return answer, entries


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_read_as_the_sdk_reads_it(body: bytes, clients: tuple[Any, Any]) -> None:
    usual, quick = clients
    served[:] = [body]
    assert outcome(quick) == outcome(usual)


def test_the_entries_of_a_page_are_none_of_the_parsers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = parsers.RestXMLParser._parse_shape

    def counted(self: Any, shape: Any, node: Any) -> Any:
        parsed.append(shape.name)
        return parse(self, shape, node)

    monkeypatch.setattr(parsers.RestXMLParser, "_parse_shape", counted)
    with http_stub(lambda _: Answer(200, page(*[PLAIN] * 1000))) as stub:
        assert len(list(S3Store(client(stub.url), BUCKET).list("sigma/"))) == 1000
    assert 0 < len(parsed) < 100


def test_collections_go_on_afterwards() -> None:
    def states() -> Iterable[bool]:
        with collections_paused():
            yield gc.isenabled()
            with collections_paused():
                yield gc.isenabled()
            yield gc.isenabled()
        yield gc.isenabled()

    assert list(states()) == [False, False, False, True]
