"""A PostgreSQL of the tests' own, from the system's packages, with a password and a fresh database for whoever asks."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from sigma_impressions_tests.servers.programs import START_SECONDS, any_free_port, await_answer, start

_USER = "sigma_impressions"
_NOBODY = 65534
# What is here need not outlive the machine, and other programs of this one need not find it.
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server; everybody needs the password."""

    address: str
    password: str = field(repr=False)

    def new_database(self) -> str:
        """The URL of a database that nobody else has."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with closing(psycopg2.connect(self._url("postgres"))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def connect_once(self) -> None:
        """Raises `psycopg2.OperationalError` if the server does not answer yet."""
        psycopg2.connect(self._url("postgres"), connect_timeout=2).close()

    def _url(self, database: str) -> str:
        return f"postgresql://{_USER}:{self.password}@{self.address}/{database}"


def postgres_programs() -> Path | None:
    """The folder of `initdb` and `postgres`, which Debian's packages do not put on the PATH; None without them."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    found = shutil.which("initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(versions))]))
    return None if found is None else Path(found).resolve().parent


@contextmanager
def running_postgres(programs: Path) -> Iterator[PostgresServer]:
    """A server with a folder of its own, until the caller is done with it or dies."""
    # Not in pytest's folder, which other users cannot enter.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        data, log, password_file = (Path(folder, name) for name in ("data", "log", "password"))
        password = secrets.token_urlsafe()
        password_file.write_text(password, encoding="ascii")
        as_user = _as_nobody(Path(folder), password_file)
        _initialize(programs, data, password_file, as_user)
        port = any_free_port()
        options = [f"--{name}={value}" for name, value in {**_OPTIONS, "port": port}.items()]
        process = start([*as_user, str(programs / "postgres"), "-D", str(data), *options], Path(folder), log)
        try:
            server = PostgresServer(f"127.0.0.1:{port}", password)
            await_answer("PostgreSQL", server.connect_once, psycopg2.OperationalError, process, log)
            yield server
        finally:
            # At once: nothing of it is kept.
            process.send_signal(signal.SIGQUIT)
            process.wait(START_SECONDS)


def _as_nobody(*owned: Path) -> list[str]:
    """What precedes a command, as the server refuses to run as root; the files become those of its user."""
    if os.geteuid() != 0:
        return []
    for path in owned:
        os.chown(path, _NOBODY, _NOBODY)
    setpriv = shutil.which("setpriv")
    assert setpriv is not None, "setpriv is missing: util-linux has it"
    # The kernel forgets that a process ends with its parent when the user changes.
    return [setpriv, f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--pdeathsig=KILL"]


def _initialize(programs: Path, data: Path, password_file: Path, as_user: list[str]) -> None:
    command = [
        *(*as_user, str(programs / "initdb"), "--pgdata", str(data)),
        *("--username", _USER, "--pwfile", str(password_file), "--auth", "scram-sha-256"),
        *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
    ]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
