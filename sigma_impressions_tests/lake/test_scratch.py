"""Temporary folders of a run, beside those of others that come and go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sigma_impressions.lake.scratch import replacing, scratch_folder


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
    left = tmp_path / "left"
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
