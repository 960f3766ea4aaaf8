"""What the commands load before they answer: those that run no job know nothing of Dagster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.report.published import publish

HEAVY = ("dagster", "polars", "duckdb", "deltalake", "pyarrow", "pydantic", "boto3", "google", "aiohttp", "rich")
"""Libraries that take a tenth of a second or more to load."""

RUN = """
import atexit, sys
atexit.register(lambda: print("loaded:", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from sigma_impressions.cli import main
main()
"""


def loaded_by(*arguments: str, folder: Path) -> set[str]:
    """The libraries that a command has loaded when it ends."""
    settings = {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/exports", "SIGMA_IMPRESSIONS_STORAGE": str(folder)}
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, env=environment(folder, settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("loaded:")[2].split()) & {*HEAVY, "dagster_aws", "dagster_gcp"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_that_takes_long(option: str, tmp_path: Path) -> None:
    assert loaded_by(option, folder=tmp_path) == set()


@pytest.mark.slow
def test_the_report_and_exported_tables_load_no_dagster(tmp_path: Path) -> None:
    publish(tmp_path / DATABASE_NAME, workbooks=3, elements_each=1, users=3)
    for arguments in (("report",), ("export", "tables", "--to", str(tmp_path / "files"))):
        found = loaded_by(*arguments, folder=tmp_path)
        assert {name for name in found if name.startswith("dagster")} == set()
        assert {"duckdb", "polars"} <= found
        assert not found & {"boto3", "google", "aiohttp"}
    assert (tmp_path / "files" / "user_activity.csv").is_file()
