"""What commands and runs leave on a machine is their user's alone, and holds no secret, however much is logged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.servers.processes import sigma_impressions
from sigma_impressions_tests.servers.results import KEY_ID, SECRET_KEY, fill, settings


def open_to_others(folder: Path) -> set[str]:
    """The files and folders below a folder that somebody else may read, write or enter."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.lstat().st_mode & 0o077}


LOG_EVERYTHING = "python_logs: {managed_python_loggers: [root], python_log_level: DEBUG}"


def test_all_that_is_written_is_the_owners_and_holds_no_secret(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 1)
    env = environment(tmp_path, settings(s3_bucket, tmp_path))
    env |= {"DAGSTER_HOME": str(tmp_path / "home"), "SIGMA_IMPRESSIONS_SPILL": "spill"}
    secrets = [env[KEY_ID].encode(), env[SECRET_KEY].encode()]
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "dagster.yaml").write_text(LOG_EVERYTHING)
    (tmp_path / "home" / "dagster.yaml").chmod(0o600)
    before = {path.name for path in tmp_path.iterdir()} - {"home"}

    def command(*arguments: str) -> None:
        done = sigma_impressions(*arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr

    umask = os.umask(0o022)
    try:
        command("run")
        command("report", "--to", str(tmp_path / "mail.html"))
        command("export", "tables", "--to", str(tmp_path / "tables"))
        command("digest", "--by-owner", str(tmp_path / "owners"))
        written = {path.name for path in tmp_path.iterdir()} - before
        assert written >= {"data", "home", "spill", "mail.html", "tables"}
        assert {name for name in open_to_others(tmp_path) if name.partition("/")[0] in written} == set()
    finally:
        os.umask(umask)
    logged = {path: path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert any(b"STEP_SUCCESS" in content for content in logged.values())
    assert [path for path, content in logged.items() for secret in secrets if secret in content] == []
