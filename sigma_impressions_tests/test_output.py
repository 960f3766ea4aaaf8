"""Terminals that lack a character, full disks, and pipes that were closed: a command does its work all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sigma_impressions_tests.commands import environment

COMMAND = f'"{sys.executable}" -m sigma_impressions'
SETTINGS = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x", "SIGMA_IMPRESSIONS_NAME": "利用状況"}

# A command that prints as a step does, within its work, and then goes on.
WORK = """
from sigma_impressions.cli import main
from sigma_impressions.terminal import open_console, say

@main.command("work")
def work():
    for number in range(300):
        say(open_console(), f"{number}: 2026-11-20 利用状況.csv")
    open("done", "w").close()

main(["work"])
"""


def shell(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    (folder / "work.py").write_text(WORK, encoding="utf-8")
    line = line.replace("WORK", f'"{sys.executable}" work.py').replace("COMMAND", COMMAND)
    env = {**environment(folder, SETTINGS), "PYTHONPATH": os.pathsep.join(sys.path), **more}
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, encoding="utf-8", errors="replace", timeout=60, check=False
    )


@pytest.mark.parametrize("encoding", ["iso-8859-1", "ascii:surrogateescape"])
def test_a_character_that_the_terminal_lacks_is_replaced(encoding: str, tmp_path: Path) -> None:
    done = shell("WORK", tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("0: 2026-11-20 ????.csv\n")
    assert (tmp_path / "done").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("line", ["WORK > /dev/full", "COMMAND --help > /dev/full"])
def test_a_full_disk_is_told_at_the_end(line: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert done.stderr == "The output could not be written (No space left on device); the command went on without it.\n"
    assert done.returncode == 0
    assert "WORK" not in line or (tmp_path / "done").exists()


@pytest.mark.parametrize("line", ["WORK | head -1", "WORK >&- 2>&-", "WORK > /dev/full 2> /dev/full", "WORK <&- >&-"])
def test_where_nobody_reads_the_work_is_done_in_silence(line: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "done").read_bytes() == b"", "No file of ours got what was printed"


def test_a_refusal_has_its_exit_code_also_where_nobody_can_read_it(tmp_path: Path) -> None:
    done = shell("COMMAND run --days-back 9 2> /dev/full", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
