"""The command `ui`: on which settings, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sigma_impressions.dagster_ui import HOST, free_port, landing_page
from sigma_impressions.errors import OperatorError
from sigma_impressions.project import WORKSPACE, project_folder
from sigma_impressions_tests.at_terminal import CTRL_C, Terminal, at_terminal
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.graphql import await_server, source_of

ROOT = Path(__file__).parents[1]


def test_a_port_that_is_taken_is_left_for_the_next_one() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert port < free_port(port) < port + 100


def test_where_no_port_is_free_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sigma_impressions.dagster_ui._PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(OperatorError, match=rf"No port from {port} to {port} of 127.0.0.1 is free"):
            free_port(port)


def test_the_page_of_a_server_for_all_addresses_is_one_that_a_browser_opens() -> None:
    assert landing_page("0.0.0.0", 3001).startswith("http://127.0.0.1:3001/locations/sigma_impressions/")


@contextmanager
def _ui(project: Path, **settings: str) -> Iterator[tuple[Terminal, str]]:
    """The command at a terminal, when its UI answers, and the address of that."""
    env = {**environment(project, {}), **settings}
    with at_terminal(["ui", "--port", str(free_port(3400))], env=env, cwd=project, columns=200) as terminal:
        terminal.wait_for("Dagster UI: ")
        (line,) = [line for line in terminal.lines if line.startswith("Dagster UI: ")]
        url = line.split()[2].partition("/locations")[0]
        await_server(url)
        yield terminal, url


def _left_running(home: Path) -> list[str]:
    """The commands of processes of this machine that work with a Dagster instance."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if f"DAGSTER_HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_environment_wins_over_the_file_and_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    project = tmp_path / "a project"
    project.mkdir()
    (project / ".env").write_text("SIGMA_IMPRESSIONS_BUCKET_URI=s3://of-the-file/a\n")
    with _ui(project, SIGMA_IMPRESSIONS_BUCKET_URI="s3://of-the-environment/b") as (terminal, url):
        assert requests.get(landing_page(HOST, int(url.rpartition(":")[2])), timeout=30).ok
        assert source_of(url) == "s3://of-the-environment/b/"
        assert _left_running(project / "dagster_home")

        terminal.press(CTRL_C)
        code = terminal.ended()

        assert (code, terminal.text.splitlines()[-1]) == (0, "Stopped.")
        assert "Traceback" not in terminal.text
        assert not _left_running(project / "dagster_home")


@pytest.mark.slow
def test_what_only_the_file_sets_counts_and_a_service_manager_stops_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SIGMA_IMPRESSIONS_BUCKET_URI=s3://of-the-file/a\n")
    with _ui(tmp_path) as (terminal, url):
        assert source_of(url) == "s3://of-the-file/a/"

        os.kill(terminal.process.pid, signal.SIGTERM)

        assert terminal.ended() == 0
        assert not _left_running(tmp_path / "dagster_home")


@pytest.mark.slow
def test_a_ui_that_is_killed_leaves_nothing_running(tmp_path: Path) -> None:
    with _ui(tmp_path, SIGMA_IMPRESSIONS_BUCKET_URI="s3://acme-audit/a") as (terminal, _):
        (dagster,) = Path(f"/proc/{terminal.process.pid}/task/{terminal.process.pid}/children").read_text().split()
        os.kill(int(dagster), signal.SIGKILL)

        assert terminal.ended() != 0
        assert not _left_running(tmp_path / "dagster_home")


def test_the_workspace_of_the_checkout_is_the_one_that_is_used_elsewhere() -> None:
    from sigma_impressions.dagster_ui import _WORKSPACE_TEXT

    assert (ROOT / WORKSPACE).read_text() == _WORKSPACE_TEXT
    assert project_folder() == ROOT
