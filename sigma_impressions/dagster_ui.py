"""The Dagster UI of this project, with Dagster's daemon: started, waited for and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sigma_impressions.errors import OperatorError
from sigma_impressions.project import PROJECT_VARIABLE, WORKSPACE, use_dagster_home

HOST = "127.0.0.1"
DEFAULT_PORT = 3000

LOCATION = "sigma_impressions"
"""What the code location is called in `workspace.yaml`."""

_PORTS_TRIED = 100
_SECONDS_BETWEEN_PROBES = 0.2

_SUPERSEDED = "ignore:Function `dev_command` is superseded"
"""`dg dev` would need a `dg` project."""

_WORKING_DIRECTORY = "working_directory"
"""A folder of the Dagster instance that holds no `.env`."""

_WORKSPACE_TEXT = f"""\
load_from:
  - python_module:
      module_name: sigma_impressions.definitions
      location_name: {LOCATION}
"""


def free_port(wanted: int, host: str = HOST) -> int:
    """The wanted port of a host of this machine, or the next one that is free. Raises `OperatorError`."""
    last = min(wanted + _PORTS_TRIED, 65_536) - 1
    for port in range(wanted, last + 1):
        with socket.socket() as probe:
            # Dagster's server does so too: a port whose last user has just gone is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise OperatorError(f"No port from {wanted} to {last} of {host} is free. Name another one with --port.")


def _takes_connections(host: str, port: int) -> bool:
    try:
        socket.create_connection((_of_this_machine(host), port), timeout=1).close()
    except OSError:
        return False
    return True


def _of_this_machine(host: str) -> str:
    """The name under which this machine reaches what listens on an address."""
    return HOST if host in ("0.0.0.0", "::", "") else host


def landing_page(host: str, port: int) -> str:
    """The URL of the page that shows all assets of this project."""
    return f"http://{_of_this_machine(host)}:{port}/locations/{LOCATION}/asset-groups/sigma_impressions/lineage"


def serve(
    project: Path,
    port: int,
    host: str = HOST,
    *,
    answers: Callable[[], None],
    workspace: Path | None = None,
    options: Sequence[str] = (),
) -> int:
    """Run `dagster dev` on the settings of this process until it ends; its exit code.

    `answers` is called when the UI does. `workspace` names the code locations, by default this package alone;
    `options` are further ones of `dagster dev`.
    Raises `KeyboardInterrupt` if the command is interrupted, when everything that was started has stopped.
    """
    # `dagster dev` lets a `.env` of its working directory win over the environment. So it gets a folder without one,
    # and the settings of this process, where the environment has won.
    folder = use_dagster_home(project) / _WORKING_DIRECTORY
    folder.mkdir(exist_ok=True)
    if workspace is None:
        workspace = folder / WORKSPACE
        workspace.write_text(_WORKSPACE_TEXT)
    filters = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _SUPERSEDED)))
    environment = {**os.environ, PROJECT_VARIABLE: str(project), "PYTHONWARNINGS": filters}
    # By it `dg` tells Dagster of other files with variables.
    environment.pop("DAGSTER_PROJECT_ENV_FILE_PATHS", None)
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace)]
    process = subprocess.Popen(
        [*command, "--host", host, "--port", str(port), *options],
        cwd=folder,
        env=environment,
        # Of its own group, so that Ctrl-C reaches it once, from here, and all that it starts can be stopped.
        start_new_session=True,
    )
    try:
        while process.poll() is None and not _takes_connections(host, port):
            time.sleep(_SECONDS_BETWEEN_PROBES)
        if process.poll() is None:
            answers()
        return process.wait()
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the UI and what it started: politely, then for good."""
    # Not SIGINT, of which Python makes a traceback while it still imports.
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(timeout=patience)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # Whoever presses Ctrl-C again wants it to be over sooner.
            continue
    # It leaves its children where it is killed, or interrupted while it starts them.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
