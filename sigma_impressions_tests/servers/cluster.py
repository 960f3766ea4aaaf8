"""The deployment of `deploy/celery` on this machine: each process with a folder of its own, as on one of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import polars as pl
from celery import Celery

from sigma_impressions.dagster_ui import HOST, free_port
from sigma_impressions.demo.generate import FILE_DATE_PATTERN, PREFIX
from sigma_impressions.demo.object_store import EmbeddedObjectStore, end_with_parent
from sigma_impressions_tests.commands import KEPT
from sigma_impressions_tests.graphql import ask, await_server

PROJECT = Path(__file__).parents[2]
START = PROJECT / "deploy" / "celery" / "start"

Task = Literal["run", "step"]
"""What a task of a worker is."""

_EXPORTS = "sigma-exports"
USAGE = "sigma-usage"
"""The bucket of the tables of a deployment for trying."""

_START_SECONDS = 120
_END_SECONDS = 20

_LOADED = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
_ON = """mutation { startSensor(sensorSelector: { repositoryName: "__repository__",
    repositoryLocationName: "sigma_impressions", sensorName: "%s" }) { __typename ... on PythonError { message } } }"""


class Cluster:
    """Code server, webserver, daemon and workers, which have a database, a broker and a bucket in common."""

    def __init__(self, folder: Path, task: Task, redis: str, postgres: str, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self._code, self._ui = (free_port(port) for port in (14266, 13000))
        self._environment = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            # The programs of this environment, and the code of this checkout.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": str(PROJECT),
            "CELERY_TASK": task,
            "CELERY_BROKER_URL": redis,
            "CELERY_RESULT_BACKEND": redis,
            "DAGSTER_POSTGRES_URL": postgres.replace("postgresql://", "postgresql+psycopg2://"),
            "DAGSTER_CODE_PORT": str(self._code),
            "DAGSTER_UI_PORT": str(self._ui),
            **settings,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the UI is."""
        return f"http://{HOST}:{self._ui}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_control(self) -> None:
        """Start code server, webserver and daemon; return when the code location is loaded."""
        self.start("code", "code")
        self.start("webserver", "webserver")
        await_server(self.url, _START_SECONDS)
        until = time.monotonic() + _START_SECONDS
        while not ask(self.url, _LOADED)["repositoriesOrError"].get("nodes"):
            self.require_alive()
            assert time.monotonic() < until, "The code location was not loaded"
            time.sleep(0.5)
        self.start("daemon", "daemon")

    def switch_on(self, sensor: str) -> None:
        """Switch a sensor on, as somebody does in the UI."""
        started = ask(self.url, _ON % sensor)["startSensor"]
        assert started["__typename"] == "Sensor", started

    def start_worker(self, name: str) -> None:
        """Start a worker, with a Dagster home and a cache of its own."""
        self.start("worker", name)

    def start(self, program: str, name: str) -> None:
        """Start a process of the deployment under a name, which is that of its folder.

        It does not see the folders of those that are there already, where this user may hide them.
        """
        own = self.folder / name
        others = [it for it in self.folder.glob("*/dagster_home") if it.parent != own]
        (own / "dagster_home").mkdir(parents=True, exist_ok=True)
        with (own / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                end_with_parent([*_hiding([it.parent for it in others]), str(START), program]),
                cwd=own,
                env={
                    **self._environment,
                    "CELERY_WORKER": name,
                    "DAGSTER_HOME": str(own / "dagster_home"),
                    "SIGMA_IMPRESSIONS_PROJECT": str(own),
                    "SIGMA_IMPRESSIONS_CACHE": str(own / "cache"),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # With those that it starts it is a group, which ends at once.
                start_new_session=True,
            )

    def ready(self) -> int:
        """How many workers there are, as they say themselves."""
        return len(self._tasks())

    def busy(self) -> list[str]:
        """The workers that are at a task."""
        return sorted(name for name, tasks in self._tasks().items() if tasks)

    def _tasks(self) -> dict[str, list[object]]:
        with Celery(broker=self._environment["CELERY_BROKER_URL"]) as app:
            active: dict[str, list[object]] = app.control.inspect(timeout=2).active() or {}
        return {name.partition("@")[0]: tasks for name, tasks in active.items()}

    def kill(self, name: str) -> None:
        """End a process and those that it has started, at once, as a machine does that loses its power."""
        process = self.processes.pop(name)
        _signal(process, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End everything, workers first; what does not end in time is killed."""
        for process in reversed(self.processes.values()):
            _signal(process, signal.SIGTERM)
        until = time.monotonic() + _END_SECONDS
        for name in list(self.processes):
            with suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(max(0, until - time.monotonic()))
            self.kill(name)

    def require_alive(self) -> None:
        """Raise `RuntimeError`, with the end of its log, if a process has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                said = (self.folder / name / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{name} has ended with exit code {process.returncode}:\n{said[-4000:]}")


def filled(
    store: EmbeddedObjectStore, folder: Path, exports: Iterable[tuple[str, bytes]], known: pl.DataFrame
) -> dict[str, str]:
    """Put exports into a bucket of a store; the settings for them, with the tables in another bucket."""
    for bucket in (_EXPORTS, USAGE):
        store.create_bucket(bucket)
    client = store.client()
    for key, data in exports:
        client.put_object(Bucket=_EXPORTS, Key=key, Body=data)
    known.write_parquet(folder / "sigma_resources.parquet")
    return {
        **store.environment(),
        "SIGMA_IMPRESSIONS_BUCKET_URI": f"s3://{_EXPORTS}/{PREFIX}",
        "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
        "SIGMA_IMPRESSIONS_RESOURCES": str(folder / "sigma_resources.parquet"),
        "SIGMA_IMPRESSIONS_STORAGE": f"s3://{USAGE}/tables",
    }


def _hiding(folders: Sequence[Path]) -> list[str]:
    """What precedes a command whose process has other, empty folders in these places."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0 or not folders:
        return []
    # The names are arguments of the shell up to the empty one, where the command begins.
    hide = 'while [ -n "$1" ]; do mount -t tmpfs none "$1"; shift; done; shift; exec "$@"'
    return [unshare, "--mount", "sh", "-euc", hide, "sh", *map(str, folders), ""]


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    # Its group is there as long as one of its processes is.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
