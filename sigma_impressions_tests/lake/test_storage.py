"""Storage locations without a server: options, the cache, and what errors say."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from deltalake.exceptions import CommitFailedError, DeltaProtocolError, SchemaMismatchError, TableNotFoundError

from sigma_impressions.clouds.gcs.files import gcs_options
from sigma_impressions.clouds.s3.files import s3_options
from sigma_impressions.errors import SettingsError, StorageError
from sigma_impressions.lake import cache
from sigma_impressions.lake.cache import FileCache
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import AS_OF_DATES
from sigma_impressions.lake.storage import BucketStorage, LocalStorage, clear_errors
from sigma_impressions.lake.tables import Tables
from sigma_impressions.settings.read import read_settings
from sigma_impressions.wiring import tables
from sigma_impressions_tests.clouds.http_stub import Answer, Request, http_stub

SECRET = "the-secret-access-key-of-this-test"
KEYS = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": SECRET, "aws_session_token": None}


def storage_of(
    monkeypatch: pytest.MonkeyPatch, uri: str, ambient: Mapping[str, str] | None = None, **settings: str
) -> BucketStorage:
    for name in list(os.environ):
        if name.startswith(("AWS_", "STORAGE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    for name, value in (ambient or {}).items():
        monkeypatch.setenv(name, value)
    stored = tables(read_settings({"bucket_uri": "s3://exports-bucket/", "storage": uri, **settings}))
    assert isinstance(stored.storage, BucketStorage)
    return stored.storage


def test_a_commit_on_s3_is_a_conditional_put() -> None:
    assert s3_options(KEYS, "eu-central-1", None) == {
        "aws_access_key_id": "AKIAEXAMPLE",
        "aws_secret_access_key": SECRET,
        "aws_region": "eu-central-1",
        "aws_conditional_put": "etag",
    }


@pytest.mark.parametrize(("endpoint", "allowed"), [("http://127.0.0.1:9000", True), ("https://s3.example.com", False)])
def test_only_an_endpoint_without_tls_allows_http(endpoint: str, allowed: bool) -> None:
    options = s3_options({}, None, endpoint)
    assert options["aws_endpoint_url"] == endpoint
    assert ("aws_allow_http" in options) == allowed


@pytest.mark.parametrize("emulator", ["http://127.0.0.1:4443", "127.0.0.1:4443", "http://127.0.0.1:4443/"])
def test_an_emulator_of_google_cloud_storage_needs_no_token(emulator: str) -> None:
    options = gcs_options(emulator)
    account = json.loads(options["google_service_account_key"])
    assert account["gcs_base_url"] == "http://127.0.0.1:4443"
    assert account["disable_oauth"] is True
    assert options["allow_http"] == "true"
    assert gcs_options(None) == {}


def test_the_keys_of_the_source_are_used_for_the_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": SECRET, "aws_region": "eu-west-1"}
    storage = storage_of(monkeypatch, "s3://tables/usage", cache=str(tmp_path), **keys)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    options = storage.options()
    assert options is not None
    assert options["aws_secret_access_key"] == SECRET
    assert options["aws_region"] == "eu-west-1"
    assert options["aws_endpoint_url"] == "http://127.0.0.1:1"
    assert SECRET not in repr(storage)
    assert storage.uri("export_files") == "s3://tables/usage/export_files"
    assert storage.local.parent == tmp_path


def test_ambient_keys_are_those_of_the_sdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(f"[team]\naws_access_key_id = AKIATEAM\naws_secret_access_key = {SECRET}\n")
    profile = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_PROFILE": "team"}
    storage = storage_of(monkeypatch, "s3://tables/usage", profile, cache=str(tmp_path))
    options = storage.options()
    assert options is not None
    assert options["aws_access_key_id"] == "AKIATEAM"


def test_locations_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    uris = ["s3://tables/a", "gs://tables/a", "s3://tables/a-b", "s3://tables/a/b", "s3://tables"]
    assert len({storage_of(monkeypatch, uri, cache=str(tmp_path)).local for uri in uris}) == len(uris)


@pytest.mark.parametrize("uri", ["s3://tables/a&b", "s3://tables/100%41", "gs://tables/a//b", "s3://tables/../b"])
def test_prefixes_that_libraries_write_in_different_ways_are_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match=r"SIGMA_IMPRESSIONS_STORAGE: leads to a prefix that h(as|olds)"):
        read_settings({"bucket_uri": "s3://exports-bucket/", "storage": uri})


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "many"])
def test_the_size_of_the_cache_is_a_whole_number(size: str) -> None:
    with pytest.raises(SettingsError, match="SIGMA_IMPRESSIONS_CACHE_GIGABYTES: must be a whole number"):
        read_settings({"bucket_uri": "s3://exports-bucket/", "cache_gigabytes": size})


# --- Errors -----------------------------------------------------------------------------------------------------


def answer(code: str, status: int) -> ClientError:
    details = {"Error": {"Code": code, "Message": f"{SECRET} {status}"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(details, "PutObject")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (answer("AccessDenied", 403), "s3:PutObject"),
        (answer("NoSuchBucket", 404), "does not exist"),
        (answer("ExpiredToken", 400), "expired"),
        (OSError(f"Generic S3 error: 403 Forbidden {SECRET}"), "access is denied"),
        (OSError(f"Generic S3 error: SignatureDoesNotMatch 403 {SECRET}"), "credentials were not accepted"),
        (OSError(f"Received redirect 301 {SECRET}"), "another region"),
        (EndpointConnectionError(endpoint_url=f"http://{SECRET}"), "could not be reached"),
    ],
)
def test_an_error_of_the_store_says_what_to_do(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_of(monkeypatch, "s3://tables/usage", cache=str(tmp_path))
    with pytest.raises(StorageError, match=says) as raised, clear_errors(storage, "writing to s3://tables/usage/x"):
        raise error
    assert "s3://tables/usage/x" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__


def test_what_delta_lake_repeats_of_an_answer_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A table that is there, in a store that lets nobody list any more when the table is committed to."""
    Tables(tmp_path / "local").open(AS_OF_DATES)
    log = "as_of_dates/_delta_log/00000000000000000000.json"
    content, listable = (tmp_path / "local" / log).read_bytes(), True

    def store(request: Request) -> Answer:
        if request.method == "PUT":
            return Answer(200, headers={"ETag": '"1"'})
        if "list-type" in request.path:
            entry = (
                f"<Key>usage/{log}</Key><LastModified>2026-11-20T00:00:00Z</LastModified><Size>{len(content)}</Size>"
            )
            listing = f"<ListBucketResult><Contents>{entry}</Contents></ListBucketResult>"
            fault = f"<Error><Code>ExpiredToken</Code><Token-0>{SECRET}</Token-0></Error>"
            return Answer(200, listing.encode()) if listable else Answer(400, fault.encode())
        return Answer(200, content, {"ETag": '"1"'}) if request.path.endswith(log) else Answer(404)

    with http_stub(store) as stub:
        ambient = {"AWS_ENDPOINT_URL_S3": stub.url, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": SECRET}
        location = storage_of(monkeypatch, "s3://tables/usage", ambient, cache=str(tmp_path), aws_region="eu-central-1")
        handle = Tables(location).open(AS_OF_DATES)
        listable = False
        with pytest.raises(StorageError, match="have expired") as raised:
            append_rows(handle, AS_OF_DATES.no_rows().clear(1))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_conflicts_and_what_is_wrong_with_a_table_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage = storage_of(monkeypatch, "s3://tables/usage", cache=str(tmp_path))
    for kind in (CommitFailedError, TableNotFoundError, DeltaProtocolError, SchemaMismatchError):
        with pytest.raises(kind), clear_errors(storage, "writing"):
            raise kind("Version 3 is there already")


def test_errors_of_the_local_disk_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage = storage_of(monkeypatch, "s3://tables/usage", cache=str(tmp_path))
    with pytest.raises(OSError, match="No space left"), clear_errors(storage, "writing"):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="Generic"), clear_errors(LocalStorage(tmp_path), "writing"):
        raise OSError("Generic")


# --- The cache --------------------------------------------------------------------------------------------------


SIZE = 100
"""Bytes of each file that `fetch` fetches."""


def fetch(name: str, target: Path) -> None:
    target.write_bytes(name[:1].encode() * SIZE)


def fail(name: str, target: Path) -> None:
    target.write_bytes(b"half")
    raise OSError("reset")


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    kept = FileCache(tmp_path / "files", 10**6)
    (path,) = kept.paths({"t/p=1/a.parquet": SIZE}, fetch)
    assert path == tmp_path / "files" / "t" / "p=1" / "a.parquet"
    assert path.read_bytes() == b"t" * 100
    assert FileCache(tmp_path / "files", 10**6).paths({"t/p=1/a.parquet": SIZE}, fail) == [path]


def test_half_a_file_is_never_taken_for_one(tmp_path: Path) -> None:
    kept = FileCache(tmp_path / "files", 10**6)
    with pytest.raises(OSError, match="reset"):
        kept.paths({"a": SIZE, "b": SIZE}, fail)
    assert files(tmp_path) == set()


def test_a_copy_that_was_cut_is_fetched_again(tmp_path: Path) -> None:
    kept = FileCache(tmp_path / "files", 10**6)
    (path,) = kept.paths({"a": SIZE}, fetch)
    path.write_bytes(b"")
    assert kept.paths({"a": SIZE}, fetch) == [path]
    assert path.stat().st_size == SIZE
    with pytest.raises(ValueError, match=r"^b has 100 bytes instead of 99$"):
        kept.paths({"b": 99}, fetch)
    assert files(tmp_path) == {"a"}


def test_what_a_killed_process_has_fetched_by_half_goes(tmp_path: Path) -> None:
    (tmp_path / "c.0123.partial").write_bytes(b"half")
    FileCache(tmp_path, 10**6).paths({"a": SIZE}, fetch)
    assert files(tmp_path) == {"a"}


def used_before(folder: Path, *names: str) -> None:
    FileCache(folder, 10**6).paths(dict.fromkeys(names, SIZE), fetch)
    for number, name in enumerate(names):
        when = time.time() - 10_000 + number
        os.utime(folder / name, (when, when))


def test_the_files_used_longest_ago_go_first(tmp_path: Path) -> None:
    used_before(tmp_path, "a", "b", "c", "d")
    FileCache(tmp_path, 250).paths({"new": SIZE}, fetch)
    assert files(tmp_path) == {"c", "d", "new"}


def test_what_was_used_by_a_clock_that_was_ahead_goes_first(tmp_path: Path) -> None:
    used_before(tmp_path, "a", "b")
    os.utime(tmp_path / "a", (time.time() + 10**7,) * 2)
    FileCache(tmp_path, 150).paths({"new": SIZE}, fetch)
    assert files(tmp_path) == {"b", "new"}


def test_what_this_process_has_used_stays(tmp_path: Path) -> None:
    used_before(tmp_path, "a", "b")
    FileCache(tmp_path, 10**6).paths({"a": SIZE}, fetch)
    FileCache(tmp_path, 0).paths({"new": SIZE}, fetch)
    assert files(tmp_path) == {"a", "new"}


def test_nothing_goes_while_somebody_else_has_paths(tmp_path: Path) -> None:
    used_before(tmp_path, "a", "b")
    reader = FileCache(tmp_path, 10**6)
    reader.paths({}, fetch)
    FileCache(tmp_path, 0).paths({}, fetch)
    assert files(tmp_path) == {"a", "b"}
    del reader
    FileCache(tmp_path, 0).paths({}, fetch)
    assert files(tmp_path) == set()


def test_an_uploaded_file_need_not_be_fetched(tmp_path: Path) -> None:
    (tmp_path / "staged").write_bytes(b"x")
    kept = FileCache(tmp_path / "files", 10**6)
    kept.take(tmp_path / "staged", "t/a")
    (path,) = kept.paths({"t/a": 1}, fail)
    assert path.read_bytes() == b"x"
    assert path.stat().st_mtime + 1 >= cache._STARTED
