"""What somebody at a terminal waits for: a run in which nothing changed, a code location that is loaded."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import Command, Measured, compare, measure

_DAYS = 70
_ROUNDS = 5
_BUCKET = "bench"
_PARTS = ("integrity", "import")
"""What is measured within a process."""


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    yield "Waiting at a terminal"
    yield (
        f"`run`: the command over {_DAYS} days of the demo's exports on an S3 server of the same machine, all of them "
        "captured and published, so that it finds nothing to do. `integrity`: the part of it that compares what the "
        "storage should hold with what it holds, in a process of its own, in which no table is open yet. `import`: "
        "what `sigma_impressions.definitions` adds to `import dagster`. `dagster`: a job of one step that does "
        "nothing, in the same Dagster instance: Dagster's own part of each run. `demo`: without its UI, from an empty "
        "folder, and again. The others are whole processes."
    )
    yield ""
    yield "| what | seconds | peak memory |"
    yield "| --- | --- | --- |"
    for name, measured in _measure(folder).items():
        seconds = f"{measured.work_seconds:.2f}" if name in _PARTS else f"{measured.seconds:.1f}"
        yield f"| {name} | {seconds} | {measured.memory} |"


def _measure(folder: Path) -> dict[str, Measured]:
    from sigma_impressions.demo.generate import FILE_DATE_PATTERN, PREFIX, export_period, last_export_day, resources
    from sigma_impressions.demo.object_store import EmbeddedObjectStore

    today = datetime.now(UTC)
    run = str(Path(sys.executable).with_name("sigma-impressions"))
    demos = _demos(run, folder / "demo")
    with EmbeddedObjectStore(folder / "store") as store:
        store.create_bucket(_BUCKET)
        for key, data in export_period(last_export_day(today), _DAYS):
            store.client().put_object(Bucket=_BUCKET, Key=key, Body=data)
        resources().write_parquet(folder / "sigma_resources.parquet")
        os.environ.update(
            {
                **store.environment(),
                "SIGMA_IMPRESSIONS_PROJECT": str(folder),
                "SIGMA_IMPRESSIONS_STORAGE": str(folder / "storage"),
                "DAGSTER_HOME": str(folder / "dagster_home"),
                "SIGMA_IMPRESSIONS_BUCKET_URI": f"s3://{_BUCKET}/{PREFIX}",
                "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
                "SIGMA_IMPRESSIONS_RESOURCES": str(folder / "sigma_resources.parquet"),
            }
        )
        (folder / "dagster_home").mkdir()
        measure((run, "backfill", "--from", f"{today - timedelta(days=_DAYS):%Y-%m-%d}", "--to", f"{today:%Y-%m-%d}"))
        waits: dict[str, Command] = {
            **{command: (run, command) for command in ("run", "check", "report")},
            "dagster": ("bench.waits", "dagster"),
            "dagster definitions validate": (str(Path(run).with_name("dagster")), "definitions", "validate"),
            **{part: ("bench.waits", part) for part in _PARTS},
        }
        return {**compare(waits, _ROUNDS), **demos}


def _demos(command: str, project: Path) -> dict[str, Measured]:
    project.mkdir()
    environ = {"SIGMA_IMPRESSIONS_PROJECT": str(project)}
    return {name: measure((command, "demo", "--no-ui"), environ) for name in ("demo", "demo, again")}


def _run_nothing() -> None:
    import dagster as dg

    @dg.op
    def nothing() -> None:
        pass

    @dg.job(executor_def=dg.in_process_executor)
    def job() -> None:
        nothing()

    with dg.DagsterInstance.get() as instance:
        quietly = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        job.execute_in_process(run_config=quietly, instance=instance)


def _seconds_of(part: str) -> float:
    if part == "import":
        import dagster  # noqa: F401  # what comes with it is not the project's

        started = time.perf_counter()
        import sigma_impressions.definitions  # noqa: F401

        return time.perf_counter() - started
    from sigma_impressions.lake.inventory import require_intact
    from sigma_impressions.lake.tables import Tables

    started = time.perf_counter()
    require_intact(Tables(Path(os.environ["SIGMA_IMPRESSIONS_STORAGE"])))
    return time.perf_counter() - started


if __name__ == "__main__":
    if sys.argv[1] == "dagster":
        _run_nothing()
    else:
        print(_seconds_of(sys.argv[1]))
