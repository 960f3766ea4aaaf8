"""Temporary folders of a run, beside those of others that come and go, and files in folders where others write too."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sigma_impressions.lake.scratch import locked, put_in_place, replacing, scratch_folder, sweep_partials


@pytest.mark.slow
def test_folders_that_come_and_go_at_once_are_nobody_elses(tmp_path: Path) -> None:
    def work(number: int) -> None:
        with scratch_folder(tmp_path) as folder:
            for name in ("a", "b", "c"):
                (folder / name).write_text(str(number))
            assert {path.name for path in folder.iterdir()} >= {"a", "b", "c"}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(2_000)))
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_a_killed_owner_left_half_removed_goes_with_the_next_one(tmp_path: Path) -> None:
    left = tmp_path / f"sigma-impressions-{'0' * 32}"
    left.mkdir()
    (left / "rows.parquet").touch()
    with scratch_folder(tmp_path):
        assert not left.exists()


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    with replacing(target) as partial:
        partial.write_text("first")
        assert not target.exists()
    with pytest.raises(ZeroDivisionError), replacing(target) as partial:
        partial.write_text("half of the sec")
        raise ZeroDivisionError
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def test_what_is_written_is_its_owners_from_the_first_byte(tmp_path: Path) -> None:
    with replacing(tmp_path / "report.html") as partial:
        assert mode(partial) == 0o600
        partial.write_text("everything about everybody")
    assert mode(tmp_path / "report.html") == 0o600
    with locked(tmp_path / "lock"):
        assert mode(tmp_path / "lock") == 0o600
    with scratch_folder(tmp_path) as folder:
        assert mode(folder) == 0o700


def test_a_file_that_was_opened_to_others_stays_open(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("before")
    target.chmod(0o644)
    with replacing(target) as partial:
        assert mode(partial) == 0o600
        partial.write_text("after")
    assert (target.read_text(), mode(target)) == ("after", 0o644)


@pytest.mark.parametrize(
    ("before", "made", "after"),
    [
        (None, 0o400, 0o400),
        (0o600, 0o400, 0o400),
        (0o640, 0o400, 0o440),
        (0o666, 0o400, 0o444),
        (0o400, 0o440, 0o440),
        (0o440, 0o400, 0o440),
        (0o400, 0o600, 0o400),
    ],
)
def test_a_file_that_is_made_read_only_keeps_its_readers(
    before: int | None, made: int, after: int, tmp_path: Path
) -> None:
    file, target = tmp_path / "new", tmp_path / "usage.duckdb"
    if before is not None:
        target.touch()
        target.chmod(before)
    file.touch()
    file.chmod(made)
    put_in_place(file, target)
    assert mode(target) == after


def test_no_link_is_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("as it was")
    secret.chmod(0o644)
    for name in ("report.html", ".report.html.partial", "lock"):
        (tmp_path / name).symlink_to(secret)
    with replacing(tmp_path / "report.html") as partial:
        partial.write_text("the report")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock"):
        pass
    report = tmp_path / "report.html"
    assert (report.is_symlink(), report.read_text(), mode(report)) == (False, "the report", 0o600)
    assert secret.read_text() == "as it was"


def test_only_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    zeros = "0" * 32
    left = tmp_path / f".report.html.{zeros}.partial"
    others = [tmp_path / name for name in (f".other.html.{zeros}.partial", ".report.html.mine.partial", "notes")]
    for path in (left, *others):
        path.touch()
    link = tmp_path / f".report.html.{'1' * 32}.partial"
    link.symlink_to(others[-1])
    with replacing(tmp_path / "report.html") as partial:
        assert not left.exists()
        sweep_partials(tmp_path / "report.html")
        assert partial.exists(), "somebody is writing it"
    assert all(path.exists() for path in (*others, link))


def test_folders_of_others_are_not_swept(tmp_path: Path) -> None:
    others = [tmp_path / name for name in ("project", "0" * 32, "sigma-impressions")]
    for path in others:
        path.mkdir()
        (path / "file").touch()
    with scratch_folder(tmp_path):
        pass
    assert all((path / "file").exists() for path in others)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_what_another_user_has_prepared_is_not_used(tmp_path: Path) -> None:
    nobody, zeros = 65534, "0" * 32
    tmp_path.chmod(0o1777)
    target, partial_file = tmp_path / "report.html", tmp_path / f".report.html.{zeros}.partial"
    for path in (target, partial_file):
        path.touch()
        path.chmod(0o666)
        os.chown(path, nobody, nobody)
    folder = tmp_path / f"sigma-impressions-{zeros}"
    folder.mkdir()
    os.chown(folder, nobody, nobody)
    with replacing(target) as partial:
        partial.write_text("the report")
    with scratch_folder(tmp_path):
        pass
    assert (target.stat().st_uid, mode(target), target.read_text()) == (0, 0o600, "the report")
    assert partial_file.read_text() == ""
    assert folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_two_users_may_share_a_folder_for_scratch() -> None:
    # Not in pytest's folder, which other users cannot enter.
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o1777)
        code = f"""
import os, pathlib
from sigma_impressions.lake.scratch import scratch_folder
os.setuid(65534)
with scratch_folder(pathlib.Path({shared!r})) as folder:
    print(folder.lstat().st_uid)
"""
        with scratch_folder(Path(shared)):
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (said.stdout.strip(), said.stderr) == ("65534", "")
