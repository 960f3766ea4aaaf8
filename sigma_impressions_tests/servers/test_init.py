"""`init` from nothing to the first published metrics, on an S3 server that asks for keys."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dotenv import dotenv_values

import sigma_impressions
from sigma_impressions.demo.fake_sigma import FakeSigma, Organization
from sigma_impressions.demo.generate import PREFIX, export_files, resources
from sigma_impressions_tests.at_terminal import DOWN, ENTER, UP, Terminal, at_terminal
from sigma_impressions_tests.commands import COMMAND, KEPT
from sigma_impressions_tests.servers.results import DATABASE, KEY_ID, SECRET_KEY, TODAY

EMPTY_THE_LINE = "\x15"

URI = "SIGMA_IMPRESSIONS_BUCKET_URI"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has installed the package, of which no checkout is around."""
    site = tmp_path_factory.mktemp("site")
    package = Path(sigma_impressions.__file__).parent
    shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, "PYTHONPATH": str(site)}


def export(bucket: Any, days: int) -> None:
    """The exports of the last days, all of them good: any may be the newest, which the test of a source reads."""
    for age in range(1, days + 1):
        for key, data in export_files(TODAY - timedelta(days=age)):
            bucket.put(key, data)


def reply(terminal: Terminal, question: str, *keys: str) -> None:
    """Wait for a question that is asked now, and press keys."""
    terminal.wait_for_question(question)
    terminal.press(*keys)


def impressions(project: Path) -> int:
    with duckdb.connect(str(project / "data" / DATABASE), read_only=True) as connection:
        (total,) = connection.execute("SELECT sum(total_impressions_60d) FROM resource_impressions").fetchone() or (0,)
    return int(total)


def test_by_keyboard_from_nothing_to_the_first_metrics(
    s3_bucket: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    export(s3_bucket, 3)
    server = s3_bucket.server
    with FakeSigma(Organization.of_resources(resources())) as sigma:
        variables = sigma.environment()
        with at_terminal(["init"], env=installed, cwd=tmp_path) as terminal:
            reply(terminal, "Name of the source", ENTER)
            reply(terminal, "Bucket URI", f"{s3_bucket.name}/{PREFIX}", ENTER)
            terminal.wait_for("must begin with s3:// or gs://")
            reply(terminal, "Bucket URI", EMPTY_THE_LINE, f"{s3_bucket.uri}{PREFIX}", ENTER)
            reply(terminal, "Days back", EMPTY_THE_LINE, "7", ENTER)
            terminal.wait_for("The maximum is 6")
            reply(terminal, "Days back", EMPTY_THE_LINE, "3", ENTER)
            reply(terminal, "Credentials for the bucket", DOWN, ENTER)
            reply(terminal, "Access key ID", server.access_key_id, ENTER)
            reply(terminal, "Secret access key", "not-the-secret", ENTER)
            reply(terminal, "AWS region", server.region, ENTER)
            reply(terminal, "Endpoint", server.endpoint_url, ENTER)
            reply(terminal, "Workbooks and elements", ENTER)
            reply(terminal, "Region of your Sigma", UP, ENTER)
            reply(terminal, "Region of your Sigma organization (URL)", sigma.url, ENTER)
            reply(terminal, "Client ID", variables["SIGMA_CLIENT_ID"], ENTER)
            reply(terminal, "Client secret", variables["SIGMA_CLIENT_SECRET"], ENTER)
            reply(terminal, "Where the tables", ENTER)
            reply(terminal, "What now?", ENTER)
            assert "FAIL  list:" in terminal.text
            assert not (tmp_path / ".env").exists()
            reply(terminal, "» Secret access key: set", ENTER)
            reply(terminal, "Secret access key (set; Enter keeps it)", server.secret_access_key, ENTER)
            assert terminal.ended() == 0
            end = terminal.text.rpartition("Testing the source:")[2]
        assert "FAIL" not in end
        # Wherever the lines are broken.
        assert f"Wrote8variablesinto{tmp_path / '.env'},whichonlyyoucanread." in "".join(end.split())
        assert "Next, in this folder:\n  sigma-impressions run " in end
        for secret in (server.access_key_id, server.secret_access_key, variables["SIGMA_CLIENT_SECRET"]):
            assert secret not in terminal.text
        assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
        with at_terminal(["run"], env=installed, cwd=tmp_path) as terminal:
            assert terminal.ended() == 0, terminal.text
    assert impressions(tmp_path) > 100


def test_from_options_without_a_terminal(s3_bucket: Any, installed: dict[str, str], tmp_path: Path) -> None:
    export(s3_bucket, 1)
    server = s3_bucket.server
    resources().write_parquet(tmp_path / "resources.parquet")
    options = ["--bucket-uri", f"{s3_bucket.uri}{PREFIX}", "--resources", "resources.parquet"]
    options += ["--endpoint-url", server.endpoint_url, "--aws-region", server.region, "--secrets", "-"]
    keys = {KEY_ID: server.access_key_id, SECRET_KEY: server.secret_access_key}
    given = "".join(f"{name}={text}\n" for name, text in keys.items())
    command = [*COMMAND, "init", *options]
    done = subprocess.run(
        command, input=given, env=installed, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.secret_access_key not in done.stdout + done.stderr
    assert "backfill --from " in done.stdout
    assert f"--to {TODAY}" in done.stdout
    assert dotenv_values(tmp_path / ".env") == {
        URI: f"{s3_bucket.uri}{PREFIX}",
        **keys,
        "SIGMA_IMPRESSIONS_AWS_REGION": server.region,
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        "SIGMA_IMPRESSIONS_RESOURCES": "resources.parquet",
    }
