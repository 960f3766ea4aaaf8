"""The deployment with Celery on one machine, for trying: however it is ended, nothing of it is kept."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigma_impressions_tests.at_terminal import CTRL_C, ROOT, at_terminal
from sigma_impressions_tests.commands import KEPT

pytestmark = pytest.mark.soak

TRY = (sys.executable, str(ROOT / "deploy" / "celery" / "try.py"))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where temporary files go: a short path, since PostgreSQL has a socket there."""
    with tempfile.TemporaryDirectory() as folder:
        # PostgreSQL may run as another user.
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("end", [CTRL_C, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "stopped", "terminal closed"])
def test_nothing_is_kept(end: str | signal.Signals, temporary: Path, redis_url: str, postgres_url: str) -> None:
    variables = {name: os.environ[name] for name in KEPT if name in os.environ} | {"TMPDIR": str(temporary)}
    with at_terminal([], env=variables, cwd=temporary, command=TRY) as terminal:
        terminal.wait_for("Ctrl-C ends everything", 120)
        assert list(temporary.iterdir())
        if isinstance(end, str):
            terminal.press(end)
        else:
            os.kill(terminal.process.pid, end)
        assert terminal.ended() == 0, terminal.text
    assert list(temporary.iterdir()) == []
