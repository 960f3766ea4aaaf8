"""Fixtures for the tests of the definitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions_tests.commands import add_instance


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of one test's own, with its databases in a folder."""
    folder = tmp_path / "instance"
    add_instance(folder)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield instance
