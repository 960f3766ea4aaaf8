"""Keys, headers and names that were written to deceive a terminal: a command shows them, and they do nothing."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sigma_impressions.cli import main
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import S3Bucket

pytestmark = pytest.mark.slow

FORGED = "exports/zz\x1b]0;PWN\x07\nok  match: 999% \u202egpj.\u2028forged.csv"
"""A key that sets the title of the terminal, then draws a line as of a check that has passed."""

SHOWN = "exports/zz?]0;PWN??ok  match: 999% ?gpj.?forged.csv"
HEADER = f'request_time,user_email,workbook_url_id,{"x" * 10_000},\x1b[2J\u202e,"two\nok  match: lines"'
NAME = FORGED.replace("exports/", "")


def settings(bucket: S3Bucket, folder: Path) -> dict[str, str]:
    """An export that is read, with such a key and header, whose day its key does not tell."""
    bucket.put(FORGED, f"{HEADER}\n2026-11-20 09:00:00,ann@example.com,wb1,,,\n".encode())
    resources = folder / "resources.csv"
    resources.write_text(f'resource_type,workbook_url_id,name\nsigma_workbook,wb1,"{NAME}"\n', encoding="utf-8")
    return environment(
        folder,
        {
            **bucket.environment(),
            "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}exports",
            "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)",
            "SIGMA_IMPRESSIONS_RESOURCES": str(resources),
        },
    )


def on_a_terminal(*arguments: str, env: dict[str, str]) -> str:
    """What a command shows on a terminal, without what the terminal's own spinner and colours send."""
    terminal, its_side = pty.openpty()
    command = [sys.executable, "-c", "from sigma_impressions.cli import main; main()", *arguments]
    size = {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50"}
    shown = bytearray()
    with subprocess.Popen(command, env={**env, **size}, stdin=its_side, stdout=its_side, stderr=its_side):
        os.close(its_side)
        # Reading ends with an error when the last process that has the terminal open has ended.
        with contextlib.suppress(OSError):
            while read := os.read(terminal, 65_536):
                shown += read
        os.close(terminal)
    return re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r", "", shown.decode())


def assert_inert(output: str) -> None:
    lines = output.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.startswith("ok  match")] == []
    assert max(map(len, lines)) < 5_000


def test_check_prints_no_line_of_somebody_else(s3_bucket: S3Bucket, tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["check"], env=settings(s3_bucket, tmp_path)).stdout
    assert_inert(shown)
    assert f"the newest export is {SHOWN}" in shown
    assert all(line.startswith(("ok  ", "FAIL", "skip")) for line in shown.splitlines())


def test_a_run_prints_no_line_of_somebody_else(s3_bucket: S3Bucket, tmp_path: Path) -> None:
    s3_bucket.put(FORGED.replace("zz", "yy"), b"\x1b[2J\xe2\x80\xa8,b\n1,2\n")
    shown = on_a_terminal("run", env=settings(s3_bucket, tmp_path))
    assert_inert(shown)
    assert f"their last-modified day is taken, for example {SHOWN.replace('zz', 'yy')}" in shown
    assert f"{SHOWN}: 1 rows, 1 accepted" in shown
    refused = " ".join(SHOWN.replace("zz", "yy").split())
    assert f"1 of 2 files were refused, for example {refused}: missing required column." in shown
    assert re.search(r"^zz\?]0;PWN\?\?ok  match: 999% \?gpj\.\?forged\.csv +1 +1$", shown, re.MULTILINE), "the table"
