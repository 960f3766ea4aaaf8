"""A Redis of the tests' own, from the system's packages, with a password, in memory alone."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from sigma_impressions_tests.servers.programs import START_SECONDS, any_free_port, await_answer, start


@contextmanager
def running_redis(program: str) -> Iterator[str]:
    """The URL, with its password, of a server that runs until the caller is done with it or dies."""
    password, port = secrets.token_urlsafe(), any_free_port()
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        # Not on the command line, which everybody on the machine may read.
        configuration, log = Path(folder, "redis.conf"), Path(folder, "log")
        options = {"bind": "127.0.0.1", "port": port, "requirepass": password, "save": '""', "appendonly": "no"}
        configuration.write_text("".join(f"{name} {value}\n" for name, value in options.items()), encoding="ascii")
        configuration.chmod(0o600)
        process = start([program, str(configuration)], Path(folder), log)
        try:
            url = f"redis://:{password}@127.0.0.1:{port}/0"
            with redis.Redis.from_url(url) as client:
                await_answer("Redis", client.ping, redis.ConnectionError, process, log)
            yield url
        finally:
            process.kill()
            process.wait(START_SECONDS)
