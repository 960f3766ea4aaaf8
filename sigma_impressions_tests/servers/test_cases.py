"""The cases end to end: objects on a real server, the command line, the published database."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from sigma_impressions_tests import cases
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.processes import sigma_impressions


def run_case(case: cases.Case, bucket: Any, folder: Path) -> subprocess.CompletedProcess[str]:
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
    captured = sigma_impressions("run", env=env)
    assert captured.returncode == 0, captured.stdout + captured.stderr
    stated = sigma_impressions("run", "--as-of", case.as_of.isoformat(), env=env)
    assert stated.returncode == 0, stated.stdout + stated.stderr
    return stated


@pytest.mark.parametrize("name", cases.NAMES)
def test_on_s3(name: str, s3_bucket: Any, tmp_path: Path) -> None:
    case = cases.load(name)
    run_case(case, s3_bucket, tmp_path)
    cases.assert_as_expected(case, tmp_path / "data" / "sigma_impressions.duckdb")


@pytest.mark.parametrize("name", ["overlap", "windows"])
def test_on_gcs(name: str, gcs_bucket: Any, tmp_path: Path) -> None:
    case = cases.load(name)
    run_case(case, gcs_bucket, tmp_path)
    cases.assert_as_expected(case, tmp_path / "data" / "sigma_impressions.duckdb")
