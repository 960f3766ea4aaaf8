"""Runs in processes of their own that can be killed: the pipeline alone, and the command line."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sigma_impressions_tests.commands import environment

# The imports take longer than most runs here: a server process has them done and forks, so that kills hit the work.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["sigma_impressions_tests.servers.preloaded"])

Work = tuple[Callable[..., None], tuple[Any, ...]]
"""What a process does: a function of this module, and its arguments."""


class Machine:
    """A storage with a Dagster instance, on which work is started; what it prints is in `log`."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, new_instance: bool = False) -> None:
        self.storage = folder / "data"
        self.log = folder / "log"
        self._environment = environment(folder, settings, new_instance=new_instance)

    def start(self, work: Work) -> Any:
        """Start some work; the process."""
        process = _PROCESSES.Process(target=_work, args=(work, self._environment, self.log))
        process.start()
        return process

    def run(self, work: Work) -> float:
        """Do some work to its end; how many seconds it took."""
        started = time.monotonic()
        self.end(self.start(work))
        return time.monotonic() - started

    def end(self, process: Any) -> None:
        """Wait for a process, which must not fail."""
        process.join()
        assert process.exitcode == 0, self.log.read_text(encoding="utf-8")

    def kill(self, work: Work, seconds: float) -> bool:
        """Start some work and kill it after some time; false if it had ended by then."""
        process = self.start(work)
        process.join(seconds)
        if process.exitcode is not None:
            self.end(process)
            return False
        process.kill()
        process.join()
        return True


def _work(work: Work, variables: Mapping[str, str], log: Path, errors: Path | None = None) -> None:
    os.environ.clear()
    os.environ.update(variables)
    for stream, path in ((sys.__stdout__, log), (sys.__stderr__, errors or log)):
        assert stream is not None
        with path.open("ab", buffering=0) as output:
            os.dup2(output.fileno(), stream.fileno())
    function, arguments = work
    function(*arguments)


def sigma_impressions(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process with just these variables; what it prints, and its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "stdout", Path(folder) / "stderr"
        process = _PROCESSES.Process(target=_work, args=(command(*arguments), dict(env), *outputs))
        process.start()
        process.join(300)
        if process.exitcode is None:
            process.kill()
            process.join()
        said = [output.read_text(encoding="utf-8") for output in outputs]
    assert process.exitcode is not None
    return subprocess.CompletedProcess(arguments, process.exitcode, *said)


def nothing() -> Work:
    """No work: starts the server process with its imports, which would count as time of the first work."""
    return _nothing, ()


def _nothing() -> None:
    pass


def command(*arguments: str) -> Work:
    """The command line."""
    return _command, (list(arguments),)


def _command(arguments: list[str]) -> None:
    from sigma_impressions.cli import main

    main(arguments)


def pipeline(days: Sequence[date]) -> Work:
    """All steps of a run over some days, one after the other as in a run of the Dagster job, without Dagster."""
    return _pipeline, (days,)


def _pipeline(days: Sequence[date]) -> None:
    from sigma_impressions.exports.capture import capture_pending
    from sigma_impressions.exports.listing import sort_out
    from sigma_impressions.exports.manifest import record_listing
    from sigma_impressions.metrics.as_of import refresh_metrics
    from sigma_impressions.metrics.daily import refresh_daily_impressions
    from sigma_impressions.publish.settle import publish_settled
    from sigma_impressions.settings.read import environment_values, read_settings
    from sigma_impressions.upstream.snapshot_file import read_snapshot
    from sigma_impressions.upstream.snapshots import capture_snapshot
    from sigma_impressions.wiring import (
        file_date_pattern,
        object_store,
        reading_rules,
        resources_bucket,
        resources_location,
        tables,
    )

    settings = read_settings(environment_values(os.environ))
    stored, store, pattern = tables(settings), object_store(settings), file_date_pattern(settings)
    where = resources_location(settings)
    resources = read_snapshot(where, resources_bucket(settings))
    capture_snapshot(stored, resources, where, datetime.now(UTC))
    listing = sort_out(store.list(settings.bucket_uri.prefix), set(days), pattern)
    record_listing(stored, listing, datetime.now(UTC))
    capture_pending(stored, lambda: store, reading_rules(settings), pattern=pattern, report=print, warn=print)
    refresh_daily_impressions(stored, settings.overlapping_exports)
    refresh_metrics(stored, days)
    publish_settled(stored, settings.overlapping_exports, days, None, report=print)


def publisher(name: str, files: int) -> Work:
    """Capture one file after the other, of which there are no rows, and publish after each."""
    return _publisher, (name, files)


def _publisher(name: str, files: int) -> None:
    from sigma_impressions.publish.settle import publish_settled
    from sigma_impressions.report.write import report_companion
    from sigma_impressions.settings.read import environment_values, read_settings
    from sigma_impressions.wiring import tables
    from sigma_impressions_tests.metrics.captured import capture

    stored = tables(read_settings(environment_values(os.environ)))
    companion = report_companion(stored.storage, "Usage", _fail)
    for number in range(files):
        capture(stored, f"{name} {number}", [])
        publish_settled(stored, "largest", [], None, report=print, companion=companion)


def reader(files: int, until: Path | None = None) -> Work:
    """Read the published pair again and again, until it shows so many files; it never shows an older one.

    With `until` also until that file is there, and at times there may be no pair: before the first one, and after a
    publisher was killed, until the next one is done.
    """
    return _reader, (files, until)


def _reader(files: int, until: Path | None) -> None:
    import duckdb

    from sigma_impressions.errors import ReportError
    from sigma_impressions.report.write import published_pair
    from sigma_impressions.settings.read import environment_values, read_settings
    from sigma_impressions.wiring import storage

    stored = storage(read_settings(environment_values(os.environ)))
    seen = [(datetime.min.replace(tzinfo=UTC), 0)]
    read = refused = 0
    while seen[-1][1] < files or (until is not None and not until.exists()):
        try:
            with published_pair(stored) as pair:
                # In its bottom the page tells of all inputs, as the database does.
                assert pair.publication.made_from in pair.report.read_text(encoding="utf-8")
                with duckdb.connect(str(pair.database), read_only=True) as connection:
                    ((counted,),) = connection.execute("SELECT count(*) FROM export_files").fetchall()
        except ReportError:
            if until is None:
                raise
            refused += 1
            time.sleep(1)
            continue
        read += 1
        found = pair.publication.published_at, counted
        if found != seen[-1]:
            assert found[0] > seen[-1][0], f"{found} after {seen}"
            assert found[1] >= seen[-1][1], f"{found} after {seen}"
            seen.append(found)
        time.sleep(0.1)
    print(f"{len(seen) - 1} publications were read in {read} looks; {refused} looks were refused")


def _fail(message: str) -> None:
    raise AssertionError(message)
