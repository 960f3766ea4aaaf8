"""Tables in a bucket: the same results as in a local directory, shared by machines that share nothing else."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake.exceptions import CommitFailedError
from polars.testing import assert_frame_equal
from rich.console import Console

from sigma_impressions.check.source import check_source
from sigma_impressions.check.step import Step
from sigma_impressions.clouds.s3.files import S3Files
from sigma_impressions.console import Progress
from sigma_impressions.errors import DamagedError
from sigma_impressions.lake.commits import replace_rows
from sigma_impressions.lake.inventory import require_intact, take_stock, verify
from sigma_impressions.lake.repair import drop_damaged
from sigma_impressions.lake.schemas import (
    ALL_TABLES,
    DAILY_IMPRESSIONS,
    EXPORT_FILES,
    NORMALIZED_IMPRESSIONS,
    RESOURCE_SNAPSHOTS,
)
from sigma_impressions.lake.storage import BucketStorage
from sigma_impressions.lake.tables import Tables, files_of, retry_conflicts, sizes_of
from sigma_impressions.lake.tables import scan as scan_table
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions.report.write import published_pair
from sigma_impressions.scan import ScanOptions, scan_all
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.upkeep.compact import maintain
from sigma_impressions.upkeep.edit_users import pseudonymize_stored
from sigma_impressions.users import Pseudonyms
from sigma_impressions.wiring import tables
from sigma_impressions_tests import cases
from sigma_impressions_tests.commands import environment
from sigma_impressions_tests.conftest import LISTER, READER, RemoteStorage
from sigma_impressions_tests.metrics.captured import capture
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.servers.processes import Machine, command

TODAY = datetime.now(UTC).date()


@contextmanager
def machine(folder: Path, settings: Mapping[str, str]) -> Iterator[Tables]:
    """This process as a machine with a project, an instance and a cache of its own in `folder`."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patched:
        for name in os.environ:
            if name.startswith(("AWS_", "SIGMA_", "GOOGLE_", "STORAGE_")):
                patched.delenv(name)
        for name, value in environment(folder, settings).items():
            patched.setenv(name, value)
        yield tables(read_settings(environment_values(os.environ)))


def scan(folder: Path, *parts: list[date], as_of: date | None = None) -> None:
    progress = Progress(Console(file=io.StringIO()))
    scanned = scan_all(progress, folder / "dagster_home", parts or ([TODAY],), ScanOptions(as_of), "test")
    assert scanned.failure is None


def settings_of(case: cases.Case, bucket: Any, storage: RemoteStorage, folder: Path) -> dict[str, str]:
    for file in case.files:
        bucket.put(file["key"], case.data(file))
    return {
        **bucket.environment(),
        **case.settings,
        **storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": bucket.uri,
        "SIGMA_IMPRESSIONS_RESOURCES": str(case.write_resources(folder)),
        "SIGMA_IMPRESSIONS_STORAGE": storage.uri,
    }


OFTEN = ("mixed_1", "windows")
"""The cases of the suite; the long repetitions have all."""


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.soak) for name in cases.NAMES]
)
def test_cases_with_the_tables_in_a_bucket(
    name: str, remote_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path
) -> None:
    case = cases.load(name)
    with machine(tmp_path, settings_of(case, s3_bucket, remote_storage, tmp_path)) as stored:
        scan(tmp_path, as_of=case.as_of)
        with published_pair(stored.storage) as pair:
            cases.assert_as_expected(case, pair.database)
        assert stored.root.is_relative_to(tmp_path / "data" / "cache")


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_no_copy_of_an_address_stays_in_a_bucket_or_its_cache(
    remote_storage: RemoteStorage, s3_server: Any, tmp_path: Path
) -> None:
    settings = {
        **remote_storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://not-read/",
        "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri,
    }
    bucket, client = remote_storage.uri.split("/")[2], s3_server.client()

    def objects() -> dict[str, bytes]:
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
        return {item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}

    with machine(tmp_path, settings) as stored:
        for day in (19, 20):
            viewed = [Row(datetime(2026, 11, day, 9, tzinfo=UTC), f"user{day}@x.org", "wb1", None, 1, None)]
            capture(stored, f"file {day}", viewed)
        refresh_daily_impressions(stored, "largest")
        assert any(b"@x.org" in data for data in objects().values())
        copies = stored.root / "files"
        assert list(copies.rglob("*.parquet"))
        pseudonymize_stored(stored, Pseudonyms("k" * 16), lambda _: None)
        assert not any(b"@x.org" in data for data in objects().values())
        assert not list(copies.rglob("*.parquet"))
        assert refresh_daily_impressions(stored, "largest").built == ()
        users = stored.read(DAILY_IMPRESSIONS).collect()["user_email"].sort()
        assert users.to_list() == sorted(Pseudonyms("k" * 16).of_one(f"user{day}@x.org") for day in (19, 20))


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_maintenance_in_a_bucket(remote_storage: RemoteStorage, tmp_path: Path) -> None:
    settings = {
        **remote_storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://not-read/",
        "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri,
    }
    viewed = [Row(datetime(2026, 11, day, 9, tzinfo=UTC), "ada@x", "wb1", None, 1, None) for day in (19, 20)]
    with machine(tmp_path, settings) as stored:
        for number in range(3):
            capture(stored, f"file {number}", viewed)
        before = {table.name: stored.read(table).collect() for table in (EXPORT_FILES, NORMALIZED_IMPRESSIONS)}
        stray = tmp_path / "stray"
        stray.write_bytes(b"x")
        stored.storage.adopt(NORMALIZED_IMPRESSIONS.name, [(stray, "file_date=2026-01-01/under-way.parquet")])
        done = {maintained.table: maintained for maintained in maintain(stored, timedelta(days=1), lambda _: None)}
        assert not any(maintained.skipped for maintained in done.values())
        for name in before:
            assert (done[name].files_before, done[name].files_after) == (3, 1)
        # A file that is not committed yet may belong to a run under way; one that was replaced is kept for a day.
        assert "file_date=2026-01-01/under-way.parquet" in stored.storage.sizes(NORMALIZED_IMPRESSIONS.name)
        assert len(stored.storage.sizes(NORMALIZED_IMPRESSIONS.name)) == 5
        for table in (EXPORT_FILES, NORMALIZED_IMPRESSIONS):
            assert_frame_equal(stored.read(table).collect(), before[table.name], check_row_order=False)


def test_what_is_damaged_in_a_bucket_is_named_whatever_a_cache_still_holds(
    remote_storage: RemoteStorage, tmp_path: Path
) -> None:
    settings = {
        **remote_storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://not-read/",
        "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri,
    }
    viewed = [Row(datetime(2026, 11, 20, 9, tzinfo=UTC), "ada@x", "wb1", None, 1, None)]
    with machine(tmp_path / "first", settings) as stored:
        for number in range(3):
            capture(stored, f"file {number}", viewed)
        require_intact(stored)
        missing, changed, _ = files_of(stored.newest(NORMALIZED_IMPRESSIONS))["path"].sort()
        assert isinstance(stored.storage, BucketStorage)
        files = stored.storage._remote
        # The same number of other bytes, which only reading finds.
        local = Path(stored.storage.paths(NORMALIZED_IMPRESSIONS.name, {changed: bytes_of(stored, changed)})[0])
        other = tmp_path / "other"
        other.write_bytes(bytes(byte ^ 1 for byte in local.read_bytes()))
        files.upload(other, stored.storage._key(NORMALIZED_IMPRESSIONS.name, changed))
        require_intact(stored)
        assert [damage.file for damage in verify(stored, [NORMALIZED_IMPRESSIONS])] == [changed]

        files.delete(stored.storage._key(NORMALIZED_IMPRESSIONS.name, missing))
        expected = f"normalized_impressions, file date 2026-11-20: {missing} is missing"
        assert [str(damage) for damage in take_stock(stored)] == [expected]
    with machine(tmp_path / "second", settings) as stored:
        with pytest.raises(DamagedError, match=rf"{missing} is missing.* maintain --drop-damaged"):
            stored.read(NORMALIZED_IMPRESSIONS).collect()
        assert drop_damaged(stored, lambda line: None) == 3  # two files, and the registration of what they held
        assert stored.read(NORMALIZED_IMPRESSIONS).collect().height == 1
        assert take_stock(stored) == verify(stored) == []

        stored.storage.remove(NORMALIZED_IMPRESSIONS.name)
    with (
        machine(tmp_path / "third", settings) as stored,
        pytest.raises(DamagedError, match="not in the table any more"),
    ):
        require_intact(stored)


def bytes_of(stored: Tables, file: str) -> int:
    return sizes_of(files_of(stored.newest(NORMALIZED_IMPRESSIONS)))[file]


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_machines_that_share_only_the_bucket_share_the_state(
    remote_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path
) -> None:
    case = cases.load("overlap")
    settings = settings_of(case, s3_bucket, remote_storage, tmp_path)
    folders = [tmp_path / name for name in ("one", "two")]
    started = []
    for folder in folders:
        folder.mkdir()
        other = Machine(folder, settings)
        started.append((other, other.start(command("run", "--as-of", case.as_of.isoformat()))))
    for other, process in started:
        other.end(process)
    for folder in folders:
        (database,) = folder.glob(f"data/cache/*/{DATABASE_NAME}")
        cases.assert_as_expected(case, database)

    # A third one, later, finds all done: it captures nothing and commits nothing.
    with machine(tmp_path / "three", settings) as stored:
        before = {table.name: stored.open(table).version() for table in ALL_TABLES}
        files = stored.read(EXPORT_FILES).collect()
        assert files["file_id"].is_unique().all()
        assert files.height == len(case.files)
        scan(tmp_path / "three", as_of=case.as_of)
        cases.assert_as_expected(case, stored.root / DATABASE_NAME)
        after = {table.name: stored.open(table).version() for table in ALL_TABLES}
        # Today's as-of date, which the scan of today brings along, was computed by the others.
        assert after == before


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_the_check_tells_whether_the_tables_can_be_written(
    remote_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path
) -> None:
    local: list[Path] = []

    def step(settings: Mapping[str, str]) -> Step:
        wanted = {"SIGMA_IMPRESSIONS_BUCKET_URI": s3_bucket.uri, "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri}
        with machine(tmp_path, {**settings, **wanted}) as stored:
            local.append(stored.storage.local)
            (found,) = [step for step in check_source(environment_values(os.environ)) if step.name == "storage"]
        return found

    allowed = step(remote_storage.environment)
    assert allowed.passed, allowed.message
    bucket = remote_storage.uri.split("/")[2]
    assert s3_bucket.client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert not list(local[0].rglob("*.parquet"))
    for identity in (READER, LISTER):
        denied = step(s3_bucket.environment(identity))
        assert denied.passed is False
        assert "s3:PutObject" in denied.message
        assert remote_storage.uri in denied.message
        assert identity.secret_access_key not in denied.message
    wrong = step({**remote_storage.environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret-of-this-key"})
    assert wrong.passed is False
    assert "credentials were not accepted" in wrong.message


@pytest.mark.parametrize("remote_storage", ["s3"], indirect=True)
def test_the_check_tells_of_a_store_that_would_let_an_older_result_stay(
    remote_storage: RemoteStorage, s3_bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(self: S3Files, file: Path, key: str, version: str | None) -> str:
        self.upload(file, key)
        return self.objects.stat(key).version

    monkeypatch.setattr(S3Files, "replace", replace)
    wanted = {"SIGMA_IMPRESSIONS_BUCKET_URI": s3_bucket.uri, "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri}
    with machine(tmp_path, {**remote_storage.environment, **wanted}):
        (step,) = [step for step in check_source(environment_values(os.environ)) if step.name == "storage"]
    assert step.passed is False
    assert "ignores If-Match" in step.message
    assert s3_bucket.client.list_objects_v2(Bucket=remote_storage.uri.split("/")[2])["KeyCount"] == 0


def test_of_two_writers_of_one_version_one_has_a_conflict(remote_storage: RemoteStorage, tmp_path: Path) -> None:
    settings = {
        **remote_storage.environment,
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://not-read/",
        "SIGMA_IMPRESSIONS_STORAGE": remote_storage.uri,
    }
    with machine(tmp_path, settings) as stored:
        stored.open(RESOURCE_SNAPSHOTS)

        def add(number: int) -> None:
            """Read the number of workbooks, and write one more: a lost update would be seen."""

            def attempt() -> None:
                handle = stored.open(RESOURCE_SNAPSHOTS)
                workbooks = scan_table(handle).select(pl.col("workbooks").sum()).collect().item()
                row = {"snapshot_id": "counter", "workbooks": workbooks + 1, "taken_at": datetime.now(UTC)}
                schema = RESOURCE_SNAPSHOTS.schema
                replace_rows(handle, "snapshot_id", ["counter"], pl.DataFrame([row], schema=schema))

            retry_conflicts(attempt)

        first, second = stored.open(RESOURCE_SNAPSHOTS), stored.open(RESOURCE_SNAPSHOTS)
        row = pl.DataFrame([{"snapshot_id": "counter", "workbooks": 0}], schema=RESOURCE_SNAPSHOTS.schema)
        replace_rows(first, "snapshot_id", ["counter"], row)
        with pytest.raises(CommitFailedError):
            replace_rows(second, "snapshot_id", ["counter"], row)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(8)))
        (counted,) = stored.read(RESOURCE_SNAPSHOTS).collect()["workbooks"]
        assert counted == 8
