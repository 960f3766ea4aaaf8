"""Whole runs on an S3 server: in any order, repeated, at once, without rights; and what they leave behind."""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from sigma_impressions.demo.generate import FILE_DATE_PATTERN, PREFIX, export_period, resources
from sigma_impressions.demo.vocabulary import MAIL_DOMAIN
from sigma_impressions.scan import ScanOptions, chunks, scan_all
from sigma_impressions.tables import (
    AS_OF_DATES,
    DAILY_IMPRESSIONS,
    EVENT_DATES,
    EXPORT_FILES,
    METRIC_TABLES,
    NORMALIZED_IMPRESSIONS,
    RAW_EXPORT_FILES,
    REJECTED_ROWS,
    RESOURCE_HISTORY,
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
    Table,
    Tables,
)
from sigma_impressions_tests.commands import environment, sigma_impressions
from sigma_impressions_tests.conftest import LISTER, READER

DELTA_TABLES = (
    RAW_EXPORT_FILES,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    REJECTED_ROWS,
    DAILY_IMPRESSIONS,
    EVENT_DATES,
    SIGMA_RESOURCES,
    RESOURCE_HISTORY,
    RESOURCE_SNAPSHOTS,
    *METRIC_TABLES,
    AS_OF_DATES,
)
OF_A_RUN = {
    "capture_id",
    "fingerprint",
    "snapshot_id",
    "first_seen_at",
    "vanished_at",
    "captured_at",
    "built_at",
    "computed_at",
    "taken_at",
    "published_at",
    "made_from",
}
"""Columns that tell when and under which name a run made a row: they differ between runs over the same exports."""

DATABASE = "sigma_impressions.duckdb"
TODAY = datetime.now(UTC).date()
SECRET_KEY = "SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY"
KEY_ID = "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID"


def fill(bucket: Any, days: int) -> None:
    """The exports of the last days up to yesterday, one of them refused."""
    for key, data in export_period(TODAY - timedelta(days=1), days):
        bucket.put(key, data)


def settings(bucket: Any, folder: Path) -> dict[str, str]:
    """Settings for the bucket, the keys among them, with the generated resources."""
    folder.mkdir(exist_ok=True)
    where = folder / "sigma_resources.parquet"
    resources().write_parquet(where)
    found = bucket.environment()
    found[KEY_ID], found[SECRET_KEY] = found.pop("AWS_ACCESS_KEY_ID"), found.pop("AWS_SECRET_ACCESS_KEY")
    return {
        **found,
        "SIGMA_IMPRESSIONS_BUCKET_URI": f"{bucket.uri}{PREFIX}",
        "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": FILE_DATE_PATTERN,
        "SIGMA_IMPRESSIONS_RESOURCES": str(where),
    }


def sorted_rows(frame: pl.DataFrame) -> pl.DataFrame:
    kept = frame.select(column for column in frame.columns if column not in OF_A_RUN)
    return kept.sort([name for name, dtype in kept.schema.items() if not dtype.is_nested()], nulls_last=True)


def contents(storage: Path) -> dict[str, pl.DataFrame]:
    """All Delta tables and all tables of the published database, without what is of one run only."""
    tables = Tables(storage)
    found = {table.name: sorted_rows(tables.read(table).collect()) for table in DELTA_TABLES}
    # Where the snapshot was read from is another folder for each storage.
    found[RESOURCE_SNAPSHOTS.name] = found[RESOURCE_SNAPSHOTS.name].drop("read_from")
    with duckdb.connect(str(storage / DATABASE), read_only=True) as connection:
        for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            frame = pl.from_arrow(connection.sql(f"FROM {name}").to_arrow_table())
            assert isinstance(frame, pl.DataFrame)
            found[f"published {name}"] = sorted_rows(frame)
    return found


def assert_same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> None:
    assert one.keys() == other.keys()
    for name, rows in one.items():
        assert rows.height or name.endswith("unmatched_impressions"), f"{name} is empty: nothing was compared"
        try:
            assert_frame_equal(rows, other[name])
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def state(storage: Path) -> dict[str, object]:
    """The version of every table, and the identity of the published file."""
    versions: dict[str, object] = {table.name: version(storage, table) for table in DELTA_TABLES}
    found = (storage / DATABASE).stat()
    return {**versions, DATABASE: (found.st_ino, found.st_mtime_ns)}


def version(storage: Path, table: Table) -> int:
    return Tables(storage).open(table).version()


def scan_in(
    folder: Path, env: Mapping[str, str], parts: list[list[date]], monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """Scan parts of the days in this process, as `backfill` does, with project and instance in `folder`."""
    with monkeypatch.context() as patched:
        for name, value in environment(folder, env).items():
            patched.setenv(name, value)
        return scan_all(Console(file=io.StringIO()), folder / "dagster_home", parts, ScanOptions(), "test")


def test_days_in_any_order_and_grouping_give_the_same_tables(
    s3_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 9)
    first, last = TODAY - timedelta(days=9), TODAY
    together, apart = tmp_path / "together", tmp_path / "apart"
    env = settings(s3_bucket, together)
    done = sigma_impressions("backfill", "--from", str(first), "--to", str(last), env=environment(together, env))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2/2]" in done.stdout

    days = [day for (day,) in chunks(first, last, size=1)]
    random.Random(4).shuffle(days)
    env_apart = settings(s3_bucket, apart)
    assert scan_in(apart, env_apart, [[day] for day in days], monkeypatch) is None
    assert_same(contents(together / "data"), contents(apart / "data"))

    before = state(together / "data")
    assert scan_in(together, env, list(chunks(first, last)), monkeypatch) is None
    assert scan_in(together, env, [[day] for day in days[:2]], monkeypatch) is None
    assert state(together / "data") == before


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
    assert [line.split()[0] for line in checked.stdout.splitlines()] == ["ok"] * 7
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
        assert failed.returncode == 1, name
        message = failed.stderr
        assert all(part in message for part in (*wanted[name], s3_bucket.name, PREFIX)), (name, message)
        checked = command("check", **changed)
        assert checked.returncode == 1
        assert "FAIL" in checked.stdout
        assert all(part in checked.stdout for part in wanted[name]), (name, checked.stdout)
        assert state(tmp_path / "data")[DATABASE] == published

    after = contents(tmp_path / "data")
    # A run that may list but not read has noted the new file; nothing else has changed.
    assert after.pop(RAW_EXPORT_FILES.name).height == before.pop(RAW_EXPORT_FILES.name).height + 1
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

    env = environment(both, settings(s3_bucket, both))
    command = [sys.executable, "-c", "from sigma_impressions.cli import main; main()", "run"]
    processes = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)

    expected, found = contents(one / "data"), contents(both / "data")
    # Both may have written the rows of a file; only those that the registry names are counted.
    for name in (RAW_EXPORT_FILES.name, NORMALIZED_IMPRESSIONS.name, REJECTED_ROWS.name):
        found[name] = found[name].unique(maintain_order=True)
    # Both may have stored the snapshot; they are the same.
    for name in (SIGMA_RESOURCES.name, RESOURCE_HISTORY.name, RESOURCE_SNAPSHOTS.name):
        found[name] = found[name].unique(maintain_order=True)
    assert_same(expected, found)
    before = state(both / "data")
    again = sigma_impressions("run", env=env)
    assert again.returncode == 0, again.stderr
    assert state(both / "data") == before
