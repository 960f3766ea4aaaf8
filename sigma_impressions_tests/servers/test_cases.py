"""The cases end to end: objects on a real server, the command line, the published database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sigma_impressions_tests import cases
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.processes import sigma_impressions


def run_case(case: cases.Case, bucket: Any, folder: Path, *before: str) -> None:
    """Run the command as of the case's date, after the commands `before`."""
    for file in case.files:
        bucket.put(file["key"], case.data(file))
    env = environment(
        folder,
        {
            **bucket.environment(),
            **case.settings,
            "SIGMA_IMPRESSIONS_BUCKET_URI": bucket.uri,
            "SIGMA_IMPRESSIONS_RESOURCES": str(case.write_resources(folder)),
        },
    )
    for arguments in (*((command,) for command in before), ("run", "--as-of", case.as_of.isoformat())):
        done = sigma_impressions(*arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", cases.NAMES)
def test_on_s3(name: str, s3_bucket: Any, tmp_path: Path) -> None:
    case = cases.load(name)
    run_case(case, s3_bucket, tmp_path)
    cases.assert_as_expected(case, tmp_path / "data" / "sigma_impressions.duckdb")


@pytest.mark.parametrize("name", ["overlap", "windows"])
def test_on_gcs(name: str, gcs_bucket: Any, tmp_path: Path) -> None:
    case = cases.load(name)
    # What was captured before is stated as of a date that somebody names later.
    run_case(case, gcs_bucket, tmp_path, "run")
    cases.assert_as_expected(case, tmp_path / "data" / "sigma_impressions.duckdb")
