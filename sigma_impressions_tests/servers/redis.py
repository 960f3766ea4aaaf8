"""A Redis of the tests' own, from the system's packages, with a password, in memory alone."""

from __future__ import annotations

import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from sigma_impressions.demo.object_store import end_with_parent

_START_SECONDS = 30


@contextmanager
def running_redis(program: str) -> Iterator[str]:
    """The URL, with its password, of a server that runs until the caller is done with it or dies."""
    password = secrets.token_urlsafe()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder, socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        held.close()
        # Not on the command line, which everybody on the machine may read.
        configuration, log = Path(folder, "redis.conf"), Path(folder, "log")
        options = {"bind": "127.0.0.1", "port": port, "requirepass": password, "save": '""', "appendonly": "no"}
        configuration.write_text("".join(f"{name} {value}\n" for name, value in options.items()), encoding="ascii")
        configuration.chmod(0o600)
        with log.open("wb") as output:
            process = subprocess.Popen(
                end_with_parent([program, str(configuration)]),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the caller, which stops the server after its own last word.
                start_new_session=True,
            )
        try:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            _wait_for_answer(url, process, log)
            yield url
        finally:
            process.kill()
            process.wait(_START_SECONDS)


def _wait_for_answer(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError as error:
                if process.poll() is not None or time.monotonic() >= deadline:
                    said = log.read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"Redis does not answer (exit code {process.poll()}): {said}") from error
                time.sleep(0.05)
            else:
                return
