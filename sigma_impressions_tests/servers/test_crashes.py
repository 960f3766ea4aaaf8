"""Runs that are killed, and runs at once: nobody ever reads half a result, and the end is that of calm runs."""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sigma_impressions.demo.generate import export_period
from sigma_impressions.maintenance import maintain
from sigma_impressions.storage import LocalStorage
from sigma_impressions.tables import ALL_TABLES, WORK_FOLDER, Tables
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.results import (
    DATABASE,
    OF_A_RUN,
    TODAY,
    assert_same,
    contents,
    settings,
    state,
)
from sigma_impressions_tests.test_maintenance import age

_DAYS = 10
_STEPS = 5
_KILLS = 5
"""Of each command; with two commands in each step, 50."""

# The imports take longer than these runs: a server process has them done and forks, so that kills hit the work.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["sigma_impressions.cli", "sigma_impressions.scan", "sigma_impressions.console"])


def _command(arguments: list[str], env: Mapping[str, str], log: Path) -> None:
    """What a process runs: the command line, with the variables given and no others."""
    from sigma_impressions.cli import main

    os.environ.clear()
    os.environ.update(env)
    with log.open("ab", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    main(arguments)


class Machine:
    """A storage with an instance, on which commands are started."""

    def __init__(self, folder: Path, bucket: Any) -> None:
        self.storage = folder / "data"
        self.log = folder / "log"
        self._env = environment(folder, settings(bucket, folder))

    def start(self, arguments: list[str]) -> Any:
        process = _PROCESSES.Process(target=_command, args=(arguments, self._env, self.log))
        process.start()
        return process

    def run(self, arguments: list[str]) -> float:
        """Run a command to its end; its seconds."""
        started = time.monotonic()
        process = self.start(arguments)
        process.join()
        assert process.exitcode == 0, self.log.read_text(encoding="utf-8")
        return time.monotonic() - started

    def kill(self, arguments: list[str], seconds: float) -> bool:
        """Start a command and kill it after some time; false if it had ended by then."""
        process = self.start(arguments)
        process.join(seconds)
        if process.exitcode is not None:
            assert process.exitcode == 0, self.log.read_text(encoding="utf-8")
            return False
        process.kill()
        process.join()
        return True


def published(database: Path) -> tuple[tuple[str, int, int], ...]:
    """What a reader finds: of each table the name, the number of rows and a digest of them, read twice."""
    with duckdb.connect(str(database), read_only=True) as connection:
        first = _digests(connection)
        time.sleep(0.1)
        assert _digests(connection) == first, "what a reader holds open has changed"
    return first


def _digests(connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, int, int], ...]:
    found = []
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
        columns = ", ".join(c for c in connection.table(name).columns if c not in OF_A_RUN)
        query = f"SELECT count(*), sum(hash(r)::HUGEINT) FROM (SELECT {columns} FROM {name}) r"
        rows, digest = connection.execute(query).fetchall()[0]
        found.append((name, rows, digest or 0))
    return tuple(found)


@contextmanager
def reader(database: Path) -> Iterator[list[tuple[tuple[str, int, int], ...]]]:
    """Someone who reads the published database again and again; what they found each time."""
    found: list[tuple[tuple[str, int, int], ...]] = []
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.wait(0.05):
                if database.exists():
                    found.append(published(database))
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
    if faults:
        raise faults[0]


def commands() -> list[list[str]]:
    """A backfill of the older days, and a run over the newer ones up to today."""
    first, last = TODAY - timedelta(days=_DAYS), TODAY - timedelta(days=5)
    return [["backfill", "--from", str(first), "--to", str(last)], ["run", "--days-back", "5"]]


def unused_files(tables: Tables) -> set[Path]:
    """Data files in the folders of the tables that no newest version names."""
    assert isinstance(tables.storage, LocalStorage)
    held = {path for table in ALL_TABLES for path in (tables.root / table.name).rglob("*.parquet")}
    held = {path for path in held if "_delta_log" not in path.parts}
    return held - {Path(uri) for table in ALL_TABLES for uri in tables.open(table).file_uris()}


@pytest.mark.slow
def test_killed_runs_leave_the_last_complete_result_and_are_made_good(s3_bucket: Any, tmp_path: Path) -> None:
    rng = random.Random(50)
    calm, killed = Machine(tmp_path / "calm", s3_bucket), Machine(tmp_path / "killed", s3_bucket)
    exports = list(export_period(TODAY - timedelta(days=1), _DAYS))
    rng.shuffle(exports)  # files of every day arrive in every step
    complete = set()
    kills = 0
    with reader(killed.storage / DATABASE) as reads:
        for step in range(_STEPS):
            for key, data in exports[step::_STEPS]:
                s3_bucket.put(key, data)
            for arguments in commands():
                seconds = calm.run(arguments)
                complete.add(published(calm.storage / DATABASE))
                for _ in range(_KILLS):
                    while not killed.kill(arguments, rng.uniform(0, seconds)):
                        pass
                    kills += 1
                killed.run(arguments)
                assert published(killed.storage / DATABASE) in complete
    assert kills == 50
    assert len(complete) == _STEPS * len(commands())
    assert len(reads) > kills
    unexpected = [read for read in reads if read not in complete]
    assert not unexpected, f"{len(unexpected)} of {len(reads)} reads saw what no run had completed"

    assert_same(contents(calm.storage), contents(killed.storage))
    assert [path.name for path in (killed.storage / WORK_FOLDER).iterdir() if path.is_dir()] == []
    before = state(killed.storage)
    killed.run(commands()[1])
    assert state(killed.storage) == before

    tables = Tables(killed.storage)
    age(killed.storage, days=9)
    assert unused_files(tables)
    maintain(tables, timedelta(days=7), lambda _: None)
    assert unused_files(tables) == set()
    assert_same(contents(calm.storage), contents(killed.storage))


@pytest.mark.slow
def test_three_processes_at_once_end_in_the_tables_of_one(s3_bucket: Any, tmp_path: Path) -> None:
    rng = random.Random(3)
    alone, together = Machine(tmp_path / "alone", s3_bucket), Machine(tmp_path / "together", s3_bucket)
    rounds = 10
    exports = list(export_period(TODAY - timedelta(days=1), _DAYS))
    rng.shuffle(exports)
    backfill, run = commands()
    middle = ["backfill", "--from", str(TODAY - timedelta(days=7)), "--to", str(TODAY - timedelta(days=2))]
    for number in range(rounds):
        for key, data in exports[number::rounds]:
            s3_bucket.put(key, data)
        for arguments in (backfill, run):
            alone.run(arguments)
        processes = [together.start(arguments) for arguments in (backfill, middle, run)]
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0], together.log.read_text(encoding="utf-8")
        assert_same(contents(alone.storage), contents(together.storage))
    before = state(together.storage)
    together.run(run)
    assert state(together.storage) == before
