"""Which paths and prefixes are refused, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigma_impressions.paths import fault_of_dagster_home, fault_of_path, fault_of_prefix

FINE = [
    "plain",
    "My Prøject [1] {a,b} 100% it's",
    'q"*^|`~$&<>@:;,!=+(-).',
    "event_date=2026-01-01",
    "日本\u00a0語\u200d",
    "50%a",
]


@pytest.mark.parametrize("name", FINE)
def test_almost_all_names_are_fine(name: str) -> None:
    folder = Path("/srv") / name / "data"
    assert fault_of_path(folder, of_tables=True) is None
    assert fault_of_dagster_home(folder) is None
    assert fault_of_path(Path("/srv/what?/100%41")) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a\\b", r"a backslash (\)"),
        ("a\nb", "U+000A"),
        ("a\x7fb", "U+007F"),
        ("a\x9bb", "U+009B"),
        ("a\udcff", "no UTF-8"),
    ],
)
def test_what_no_library_expresses_is_named(name: str, fault: str) -> None:
    for found in (
        fault_of_path(Path("/srv") / name),
        fault_of_path(Path("/srv") / name, of_tables=True),
        fault_of_dagster_home(Path("/srv") / name),
        fault_of_prefix(name),
    ):
        assert found is not None
        assert fault in found
        assert found.isprintable()


def test_what_one_library_reads_in_another_way_is_refused_there() -> None:
    assert "holds %41, which Delta Lake takes for 'A'" in str(fault_of_path(Path("/srv/100%41"), of_tables=True))
    assert "holds %C3, which Dagster takes" in str(fault_of_dagster_home(Path("/srv/%C3%A9")))
    assert "holds a question mark (?)" in str(fault_of_dagster_home(Path("/srv/what?")))


def test_a_link_to_a_folder_that_cannot_be_expressed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "100%41").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "100%41")
    assert "holds %41" in str(fault_of_path(tmp_path / "link" / "data", of_tables=True))


@pytest.mark.parametrize("prefix", ["", "usage", "a/b.c/..d", "My Prøject [1] {a,b} 100%", "event_date=2026-01-01/x"])
def test_prefixes_that_are_fine(prefix: str) -> None:
    assert fault_of_prefix(prefix) is None


@pytest.mark.parametrize(
    "prefix", ["a//b", "a/./b", "../a", "a/..", ".", "it's", "a&b", "what?", "a#b", "100%41", "<a>"]
)
def test_prefixes_that_are_refused(prefix: str) -> None:
    assert fault_of_prefix(prefix) is not None
