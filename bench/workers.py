"""A backfill by the workers of `deploy/celery`, beside one process that does it alone."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bench.history import History
from bench.measure import measure
from sigma_impressions.demo.generate import PREFIX, last_export_day
from sigma_impressions.demo.object_store import EmbeddedObjectStore
from sigma_impressions_tests.servers.cluster import USAGE, Cluster, filled
from sigma_impressions_tests.servers.postgres import postgres_programs, running_postgres
from sigma_impressions_tests.servers.redis import running_redis
from sigma_impressions_tests.servers.ui import Ui

_DAYS = 30
_ROWS = 200_000
_ROUNDS = 3
_ALONE = "one process"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    yield "A backfill by several workers"
    yield (
        f"A backfill of {_DAYS} days of {_ROWS:,} rows from the UI, with exports and tables on an S3 server. It, "
        "Redis, PostgreSQL, code server, webserver, daemon and workers (`deploy/celery`, a task is a run) are all on "
        "this machine and share its processors. From the click to the end of the last run, with what Dagster's daemon "
        f"waits before it asks for the runs, and for each of them. `{_ALONE}`: `sigma-impressions backfill` over the "
        "same days and buckets, without all of these."
    )
    yield ""
    yield f"| way | seconds | {_ALONE} = 1 | rows a second |"
    yield "| --- | --- | --- | --- |"
    days = _days()
    with EmbeddedObjectStore(folder / "s3") as store:
        settings = filled(store, folder, _exports(days), History().resources())
        ways = {_ALONE: 0, "1 worker": 1, "2 workers": 2}
        results: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(_ROUNDS):
            for way, workers in ways.items():
                tables = {"SIGMA_IMPRESSIONS_STORAGE": f"s3://{USAGE}/{workers}-{number}"}
                scratch = folder / "machines"
                scratch.mkdir()
                seconds = (_by_workers if workers else _alone)(scratch, days, settings | tables, workers)
                results[way].append(seconds)
                shutil.rmtree(scratch)
    medians = {way: sorted(seconds)[_ROUNDS // 2] for way, seconds in results.items()}
    for way, seconds in medians.items():
        yield f"| {way} | {seconds:.0f} | {seconds / medians[_ALONE]:.2f} | {_DAYS * _ROWS / seconds:,.0f} |"


def _days() -> Sequence[date]:
    last = last_export_day(datetime.now(UTC))
    return [last - timedelta(days=back) for back in reversed(range(_DAYS))]


def _exports(days: Sequence[date]) -> Iterator[tuple[str, bytes]]:
    history = History()
    for day in days:
        rows = history.rows(day, _ROWS).select("request_time", "user_email", "workbook_url_id", "element_id", "count")
        yield f"{PREFIX}{day}T00-00-00 usage.csv", rows.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ").encode()


def _alone(folder: Path, days: Sequence[date], settings: dict[str, str], workers: int) -> float:
    project = {"SIGMA_IMPRESSIONS_PROJECT": str(folder), "SIGMA_IMPRESSIONS_CACHE": str(folder / "cache")}
    program = str(Path(sys.executable).with_name("sigma-impressions"))
    return measure(
        (program, "backfill", "--from", str(days[0]), "--to", str(days[-1]), "--quiet"),
        {**settings, **project, "DAGSTER_HOME": str(folder)},
    ).seconds


def _by_workers(folder: Path, days: Sequence[date], settings: dict[str, str], workers: int) -> float:
    redis, postgres = shutil.which("redis-server"), postgres_programs()
    if redis is None or postgres is None:
        raise RuntimeError("Redis and PostgreSQL are not installed (Debian: apt-get install redis-server postgresql)")
    settings |= {"SIGMA_IMPRESSIONS_START_DATE": str(days[0]), "CELERY_RUNS": str(workers)}
    with ExitStack() as running:
        broker = running.enter_context(running_redis(redis))
        database = running.enter_context(running_postgres(postgres)).new_database()
        cluster = running.enter_context(Cluster(folder, "run", broker, database, settings))
        for number in range(workers):
            cluster.start_worker(f"worker-{number + 1}")
        cluster.start_control()
        ui = Ui(cluster)
        ui.wait(lambda: cluster.ready() == workers)
        started = time.perf_counter()
        ui.backfill(days)
        ui.wait_for_the_end()
        seconds = time.perf_counter() - started
        statuses = {run["status"] for run in ui.runs()}
        if statuses != {"SUCCESS"}:
            raise RuntimeError(f"The runs ended as {statuses}")
    return seconds
