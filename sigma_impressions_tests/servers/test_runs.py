"""Whole runs on an S3 server: in any order, repeated, at once, without rights; and what they leave behind."""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sigma_impressions.console import Progress
from sigma_impressions.demo.generate import PREFIX, export_period
from sigma_impressions.demo.vocabulary import MAIL_DOMAIN
from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables, files_of
from sigma_impressions.scan import ScanOptions, chunks, scan_all
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import LISTER, READER
from sigma_impressions_tests.servers.processes import Machine, command, pipeline, sigma_impressions
from sigma_impressions_tests.servers.results import (
    DATABASE,
    KEY_ID,
    SECRET_KEY,
    TODAY,
    assert_same,
    contents,
    fill,
    settings,
    state,
)


def scan_in(
    folder: Path, env: Mapping[str, str], parts: list[list[date]], monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """Scan parts of the days in this process, as `backfill` does, with project and instance in `folder`."""
    with monkeypatch.context() as patched:
        for name, value in environment(folder, env).items():
            patched.setenv(name, value)
        progress = Progress(Console(file=io.StringIO()))
        return scan_all(progress, folder / "dagster_home", parts, ScanOptions(), "test").failure


def test_days_in_any_order_and_grouping_give_the_same_tables(
    s3_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 7)
    first, last = TODAY - timedelta(days=7), TODAY
    together, apart = tmp_path / "together", tmp_path / "apart"
    env = settings(s3_bucket, together)
    done = sigma_impressions("backfill", "--from", str(first), "--to", str(last), env=environment(together, env))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2/2]" in done.stdout

    days = [day for (day,) in chunks(first, last, size=1)]
    random.Random(4).shuffle(days)
    env_apart = settings(s3_bucket, apart)
    # Alone or some together, most of them without Dagster, whose part in a run is the same for each.
    machine = Machine(apart, env_apart)
    for some in ([0], [1, 2], [3], [4, 5]):
        machine.run(pipeline([days[number] for number in some]))
    assert scan_in(apart, env_apart, [[day] for day in days[-2:]], monkeypatch) is None
    assert_same(contents(together / "data"), contents(apart / "data"))

    before = state(together / "data")
    assert scan_in(together, env, list(chunks(first, last)), monkeypatch) is None
    Machine(together, env).run(pipeline(days[:1]))
    assert state(together / "data") == before


def test_a_run_over_a_damaged_storage_says_what_to_do_and_the_command_does_it(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 3)
    env = environment(tmp_path, settings(s3_bucket, tmp_path))
    assert sigma_impressions("run", env=env).returncode == 0
    before = contents(tmp_path / "data")
    named = "storage_is_intact: What is stored is damaged: normalized_impressions, file date"
    tables = Tables(tmp_path / "data")
    file = tables.root / "normalized_impressions" / files_of(tables.open(NORMALIZED_IMPRESSIONS))["path"][0]
    file.unlink()
    # Once with a file that is missing, once with all of the table.
    for lost in (None, "normalized_impressions"):
        if lost:
            shutil.rmtree(tmp_path / "data" / lost)
            shutil.rmtree(tmp_path / "data" / "resource_impressions")
        failed = sigma_impressions("run", env=env)
        assert failed.returncode == 1
        assert named in " ".join(failed.stderr.split())
        assert "Traceback" not in failed.stdout + failed.stderr
    assert sigma_impressions("maintain", "--verify", env=env).returncode == 1
    given_up = sigma_impressions("maintain", "--drop-damaged", "--verify", env=env)
    assert given_up.returncode == 0, given_up.stderr
    assert "Given up: normalized_impressions, file date" in given_up.stdout
    assert sigma_impressions("run", env=env).returncode == 0
    assert_same(contents(tmp_path / "data"), before)


def holding(folder: Path, secret: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_faults_of_rights_are_told_and_leave_the_result(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 3)
    good = settings(s3_bucket, tmp_path)
    said = ""

    def command(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        nonlocal said
        ended = sigma_impressions(*arguments, env=environment(tmp_path, {**good, **changed}))
        said += ended.stdout + ended.stderr
        return ended

    checked = command("check")
    assert checked.returncode == 0, checked.stdout
    # No members are read here, and no warehouse is set.
    marks = {line.split()[1].rstrip(":"): line.split()[0] for line in checked.stdout.splitlines()}
    assert marks.pop("members") == marks.pop("warehouse") == "skip"
    assert list(marks.values()) == ["ok"] * 11
    assert not (tmp_path / "data").exists()

    ran = command("run")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    before = contents(tmp_path / "data")
    published = state(tmp_path / "data")[DATABASE]

    (newest,) = [data for key, data in export_period(TODAY, 1) if "Workbook usage" in key and "manual" not in key]
    s3_bucket.put(f"{PREFIX}{TODAY}T00-30-00 Workbook usage.csv", newest)
    wrong = "not-the-secret-of-this-access-key"
    faults = {
        "list": {KEY_ID: READER.access_key_id, SECRET_KEY: READER.secret_access_key},
        "get": {KEY_ID: LISTER.access_key_id, SECRET_KEY: LISTER.secret_access_key},
        "key": {SECRET_KEY: wrong},
    }
    wanted = {"list": ["s3:ListBucket"], "get": ["s3:GetObject"], "key": [KEY_ID, SECRET_KEY]}
    for name, changed in faults.items():
        failed = command("run", **changed)
        # Other files of its days were read before: a file that may not be read stops no run, and is told.
        assert failed.returncode == (0 if name == "get" else 1), name
        message = failed.stdout if name == "get" else failed.stderr
        assert all(part in message for part in (*wanted[name], s3_bucket.name, PREFIX)), (name, message)
        checked = command("check", **changed)
        assert checked.returncode == 1
        assert "FAIL" in checked.stdout
        assert all(part in checked.stdout for part in wanted[name]), (name, checked.stdout)
        if name == "get":
            assert state(tmp_path / "data")[DATABASE] != published, "The file that could not be read is published"
            published = state(tmp_path / "data")[DATABASE]
        assert state(tmp_path / "data")[DATABASE] == published

    after = contents(tmp_path / "data")
    # A run that may list but not read has noted the new file; nothing else has changed.
    for name in (RAW_EXPORT_FILES.name, "export_files", "published export_files"):
        assert after.pop(name).height == before.pop(name).height + 1
    assert_same(before, after)
    mended = command("run")
    assert mended.returncode == 0, mended.stderr
    assert "Files captured        1 (0 refused)" in mended.stdout

    assert "Traceback" not in said
    assert re.findall(rf"\S*@{re.escape(MAIL_DOMAIN)}", said) == []
    # Where the search looks, it finds: the bucket's name is in the log of the runs.
    assert holding(tmp_path / "dagster_home", s3_bucket.name)
    for secret in (good[SECRET_KEY], READER.secret_access_key, LISTER.secret_access_key, wrong):
        assert secret not in said
        assert holding(tmp_path, secret) == []


def test_runs_at_once_give_the_result_of_one(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 3)
    one, both = tmp_path / "one", tmp_path / "both"
    alone = sigma_impressions("run", env=environment(one, settings(s3_bucket, one)))
    assert alone.returncode == 0, alone.stdout + alone.stderr

    machine = Machine(both, settings(s3_bucket, both), new_instance=True)
    for process in [machine.start(command("run")) for _ in range(2)]:
        machine.end(process)

    expected, found = contents(one / "data"), contents(both / "data")
    assert_same(expected, found)
    before = state(both / "data")
    machine.run(command("run"))
    assert state(both / "data") == before
