"""Runs that are killed, and runs at once: nobody ever reads half a result, and the end is that of calm runs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sigma_impressions.demo.generate import export_period
from sigma_impressions.lake.schemas import ALL_TABLES
from sigma_impressions.lake.storage import LocalStorage
from sigma_impressions.lake.tables import WORK_FOLDER, Tables
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions_tests.servers.processes import Machine, command, nothing, pipeline
from sigma_impressions_tests.servers.results import (
    DATABASE,
    OF_A_RUN,
    TODAY,
    assert_same,
    assert_same_so_far,
    contents,
    settings,
    state,
)
from sigma_impressions_tests.upkeep.ages import age

pytestmark = pytest.mark.timeout(600)

Reading = tuple[tuple[str, int, int], ...]
"""What a reader finds: of each table the name, the number of rows and a digest of them."""

DAYS = [TODAY - timedelta(days=days) for days in range(6, 0, -1)]


def machine(folder: Path, bucket: Any) -> Machine:
    return Machine(folder, settings(bucket, folder))


def shuffled_exports(rng: random.Random) -> list[tuple[str, bytes]]:
    """The exports of the days in any order: files of every day arrive all the time."""
    exports = list(export_period(DAYS[-1], len(DAYS)))
    rng.shuffle(exports)
    # What is no export comes last, so that the first run has something to read.
    return sorted(exports, key=lambda export: ".csv" not in export[0])


_ONE_AT_A_TIME = threading.Lock()
"""Within a process DuckDB opens a path once: who connects while another has the file before it open reads that one."""


def reading(database: Path) -> Reading:
    """What the database holds, read twice on the same connection."""
    with _ONE_AT_A_TIME, duckdb.connect(str(database), read_only=True) as connection:
        first = _digests(connection)
        time.sleep(0.05)
        assert _digests(connection) == first, "what a reader holds open has changed"
    return first


def _digests(connection: duckdb.DuckDBPyConnection) -> Reading:
    found = []
    for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
        columns = ", ".join(c for c in connection.table(name).columns if c not in OF_A_RUN)
        query = f"SELECT count(*), sum(hash(r)::HUGEINT) FROM (SELECT {columns} FROM {name}) r" if columns else None
        if query is not None:
            rows, digest = connection.execute(query).fetchall()[0]
            found.append((name, rows, int(digest or 0)))
    return tuple(found)


@contextmanager
def reader(database: Path) -> Iterator[list[Reading]]:
    """Someone who reads the published database again and again; what they found each time."""
    found: list[Reading] = []
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.wait(0.2):
                if database.exists():
                    found.append(reading(database))
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


def unused_files(tables: Tables) -> set[Path]:
    """Data files in the folders of the tables that no newest version names."""
    assert isinstance(tables.storage, LocalStorage)
    held = {path for table in ALL_TABLES for path in (tables.root / table.name).rglob("*.parquet")}
    held = {path for path in held if "_delta_log" not in path.parts}
    return held - {Path(uri) for table in ALL_TABLES for uri in tables.open(table).file_uris()}


@pytest.mark.parametrize(("steps", "kills_of_each"), [(1, 1), pytest.param(5, 5, marks=pytest.mark.soak)])
@pytest.mark.slow
def test_killed_runs_leave_the_last_complete_result_and_are_made_good(
    steps: int, kills_of_each: int, s3_bucket: Any, tmp_path: Path
) -> None:
    rng = random.Random(50)
    calm, killed = machine(tmp_path / "calm", s3_bucket), machine(tmp_path / "killed", s3_bucket)
    exports = shuffled_exports(rng)
    # Of each step a part of the days, as a backfill does it, and then all up to today, as a run does.
    parts: list[list[date]] = [DAYS[:4], [*DAYS[2:], TODAY]]
    complete: list[Reading] = []
    kills = 0
    calm.run(nothing())
    with reader(killed.storage / DATABASE) as reads:
        for step in range(steps):
            for key, data in exports[step::steps]:
                s3_bucket.put(key, data)
            for days in parts:
                seconds = calm.run(pipeline(days))
                complete.append(reading(calm.storage / DATABASE))
                for _ in range(kills_of_each):
                    while not killed.kill(pipeline(days), rng.uniform(0, seconds)):
                        pass
                    kills += 1
                killed.run(pipeline(days))
                assert reading(killed.storage / DATABASE) == complete[-1]
    assert kills == steps * len(parts) * kills_of_each
    assert len(set(complete)) > steps, "most runs have something to do"
    assert len(reads) > kills
    unexpected = [read for read in reads if read not in complete]
    assert not unexpected, f"{len(unexpected)} of {len(reads)} readings show what no run had completed"
    order = [complete.index(read) for read in reads]
    assert order == sorted(order), "an older result took the place of a newer one"

    assert_same(contents(calm.storage), contents(killed.storage))
    assert [path.name for path in (killed.storage / WORK_FOLDER).iterdir() if path.is_dir()] == []
    before = state(killed.storage)
    killed.run(pipeline(parts[-1]))
    assert state(killed.storage) == before

    tables = Tables(killed.storage)
    assert unused_files(tables)
    # Twice: files that the first one has merged go with the second.
    for _ in range(2):
        age(killed.storage, days=9)
        maintain(tables, timedelta(days=7), lambda _: None)
    assert unused_files(tables) == set()
    assert_same(contents(calm.storage), contents(killed.storage))


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.slow
def test_a_killed_run_of_the_command_line_blocks_no_later_one(kills: int, s3_bucket: Any, tmp_path: Path) -> None:
    rng = random.Random(7)
    calm, killed = machine(tmp_path / "calm", s3_bucket), machine(tmp_path / "killed", s3_bucket)
    for key, data in shuffled_exports(rng):
        s3_bucket.put(key, data)
    backfill = command("backfill", "--from", str(DAYS[0]), "--to", str(DAYS[-1]))
    seconds = calm.run(backfill)
    for kill in range(kills):
        share = (kill + rng.random()) / kills
        while not killed.kill(backfill, seconds * share):
            share /= 2  # The calm one had a busier machine.
    killed.run(backfill)
    assert_same(contents(calm.storage), contents(killed.storage))


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.soak)])
@pytest.mark.slow
def test_three_processes_at_once_end_in_the_tables_of_one(rounds: int, s3_bucket: Any, tmp_path: Path) -> None:
    rng = random.Random(3)
    alone, together = machine(tmp_path / "alone", s3_bucket), machine(tmp_path / "together", s3_bucket)
    exports = shuffled_exports(rng)
    parts = [DAYS[:4], DAYS[2:], [*DAYS[4:], TODAY]]
    for number in range(rounds):
        for key, data in exports[number::rounds]:
            s3_bucket.put(key, data)
        alone.run(pipeline([*DAYS, TODAY]))
        for process in [together.start(pipeline(days)) for days in parts]:
            together.end(process)
        assert_same_so_far(contents(alone.storage), contents(together.storage))
    assert_same(contents(alone.storage), contents(together.storage))
    before = state(together.storage)
    together.run(pipeline(DAYS))
    assert state(together.storage) == before
