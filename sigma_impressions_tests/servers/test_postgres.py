"""The PostgreSQL of the tests is what they take it for: closed without the password, and gone with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from sigma_impressions_tests.servers.postgres import PostgresServer

PARENT = """
import os
from sigma_impressions_tests.servers.postgres import postgres_programs, running_postgres

with running_postgres(postgres_programs()) as server:
    print(server.new_database(), flush=True)
    os.kill(os.getpid(), 9)
"""


def test_a_database_is_empty_and_opens_with_the_password_alone(postgres_server: PostgresServer) -> None:
    first, second = postgres_server.new_database(), postgres_server.new_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE t (i int)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)
    assert postgres_server.password not in repr(postgres_server)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first.replace(postgres_server.password, "wrong"))


def test_the_server_ends_with_a_process_that_is_killed(postgres_server: PostgresServer) -> None:
    # Not in pytest's folder, which the user of the server cannot enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        killed = subprocess.run(
            [sys.executable, "-c", PARENT],
            env={**os.environ, "TMPDIR": folder},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        deadline = time.monotonic() + 10
        while not refuses(killed.stdout.strip()):
            assert time.monotonic() < deadline, "the server still answers"
            time.sleep(0.05)


def refuses(url: str) -> bool:
    """Whether nobody listens there."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        return "refused" in str(error)
    return False
