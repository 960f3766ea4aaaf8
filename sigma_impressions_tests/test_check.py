"""What `check` finds out before a run does: of Dagster, of the disk and of the storage location."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from sigma_impressions.check.disk import LEAST_FREE, check_disk
from sigma_impressions.check.instance import check_home
from sigma_impressions.check.resources import matched
from sigma_impressions.check.source import check_source
from sigma_impressions.check.step import Step
from sigma_impressions.lake.schemas import DAILY_IMPRESSIONS, EXPORT_FILES, SCHEMA_VERSION
from sigma_impressions.lake.tables import Tables
from sigma_impressions.project import INSTANCE_SETTINGS
from sigma_impressions.settings.read import environment_values, read_settings
from sigma_impressions.upstream.contract import SCHEMA
from sigma_impressions_tests.commands import add_instance, without_settings
from sigma_impressions_tests.rights import forbid_hard_links, linux_only, obeying_modes


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project with no other settings than the bucket's, which is not asked."""
    without_settings(monkeypatch)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://bucket/exports")
    # On the same disk, wherever the folders of the tests are.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))
    return tmp_path


def steps() -> Mapping[str, Step]:
    """The steps before those that ask the bucket, by their names."""
    found = {}
    for step in check_source(environment_values(os.environ)):
        if step.name == "credentials":
            break
        found[step.name] = step
    return found


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_nothing_is_left_where_nothing_was(project: Path) -> None:
    found = steps()
    assert [(name, step.passed) for name, step in found.items()] == [
        ("settings", True),
        ("dagster", True),
        ("disk", True),
        ("storage", True),
    ]
    assert "gets our dagster.yaml from the first command" in found["dagster"].message
    assert "send telemetry" in found["dagster"].message
    assert found["disk"].message.endswith("free for the storage, DAGSTER_HOME and temporary files")
    assert files_of(project) == []


# --- Dagster ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened_before", "settings", "passed", "says"),
    [
        (False, "telemetry: {enabled: false}\nrun_monitoring: {enabled: true}\n", True, "runs are recorded in {home}"),
        (True, "run_monitoring: {enabled: true}\n", True, "Dagster's telemetry is on"),
        (True, "telemetry: {enabled: false}\n", True, "run_monitoring is off in dagster.yaml"),
        (False, "telemetry: [", False, "{home}/dagster.yaml is no YAML with settings. Look at line 1"),
    ],
)
def test_the_settings_of_the_instance(
    opened_before: bool, settings: str, passed: bool, says: str, project: Path
) -> None:
    home = project / "dagster_home"
    home.mkdir()
    if opened_before:
        add_instance(home)
    (home / INSTANCE_SETTINGS).write_text(settings, encoding="utf-8")
    before = files_of(home)
    step = check_home(home)
    assert step.passed is passed
    assert says.format(home=home) in step.message
    assert {path.name for path in set(files_of(home)) - set(before)} <= ({".opening.lock"} if opened_before else set())


def test_a_home_that_cannot_be_used(project: Path) -> None:
    home = project / "dagster_home"
    home.write_bytes(b"")
    assert check_home(home).message == f"DAGSTER_HOME leads to {home}, which is no folder"
    home.unlink()
    home.mkdir()
    (home / INSTANCE_SETTINGS).symlink_to("nowhere")
    assert "is a link that leads nowhere" in check_home(home).message
    (home / INSTANCE_SETTINGS).unlink()
    (home / INSTANCE_SETTINGS).write_bytes(b"")
    (home / INSTANCE_SETTINGS).chmod(0)
    with obeying_modes():
        assert check_home(home).message == f"{home / INSTANCE_SETTINGS} cannot be read: Permission denied"
    (home / INSTANCE_SETTINGS).chmod(0o600)
    add_instance(home)
    (home / "lost+found").mkdir(mode=0)
    with obeying_modes():
        assert check_home(home).passed
    (home / "history" / "runs").chmod(0o500)
    with obeying_modes():
        found = check_home(home)
    assert found.passed is False
    assert found.message.startswith(f"{home / 'history' / 'runs'} cannot be read and written by this user")


# --- The disk -----------------------------------------------------------------------------------------------------


def test_a_disk_that_is_nearly_full_is_told(project: Path) -> None:
    settings = read_settings(environment_values(os.environ))
    assert check_disk(settings, project).passed
    full = check_disk(settings, project, least_free=10**18)
    assert full.passed is False
    assert (
        "free for the storage, DAGSTER_HOME and temporary files; a run should have 1,000,000,000.0 GB" in full.message
    )
    assert LEAST_FREE < 10**9


# Sees a file system of its own for temporary files, of which nothing is left.
SMALL = """
import os, subprocess, sys
from sigma_impressions.check.disk import check_disk
from sigma_impressions.settings.read import environment_values, read_settings

for options in ("size=120m", "remount,size=12m"):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", sys.argv[1]], check=True)
    print(check_disk(read_settings(environment_values(os.environ)), None))
"""


@linux_only
def test_temporary_files_need_less_than_what_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = project / "small"
    small.mkdir()
    monkeypatch.setenv("TMPDIR", str(small))
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run(
        [*alone, sys.executable, "-c", SMALL, str(small)], capture_output=True, text=True, check=True, timeout=60
    )
    enough, too_small = done.stdout.splitlines()
    assert "passed=True" in enough
    assert "126 MB free for temporary files" in enough
    assert "passed=False" in too_small
    assert "13 MB free for temporary files; a run should have 20 MB at least" in too_small


def test_a_folder_to_spill_to_that_cannot_be_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spill = project / "spill"
    spill.symlink_to(project / "volume that is not mounted")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_SPILL", str(spill))
    found = steps()["disk"]
    assert found.passed is False
    said = f"SIGMA_IMPRESSIONS_SPILL: {spill} is a link that leads nowhere, to {project}/volume that is not mounted"
    assert found.message.startswith(said)


# --- The storage location -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a file", "a link that leads nowhere", "closed"])
def test_a_storage_location_that_cannot_be_written(what: str, project: Path) -> None:
    data = project / "data"
    if what == "a file":
        data.write_bytes(b"")
    elif what == "closed":
        data.mkdir(mode=0o500)
    else:
        data.symlink_to("nowhere")
    with obeying_modes():
        found = steps()["storage"]
    assert found.passed is False
    says = {"a file": "is no folder", "closed": "cannot be written: Permission denied"}
    assert found.message == f"{data} {says.get(what, 'is a link that leads nowhere, to nowhere')}"


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["s3://tables/here", "gs://tables/here"])
def test_a_cache_that_cannot_be_written(uri: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = project / "cache"
    cache.mkdir(mode=0o500)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_STORAGE", uri)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_CACHE", str(cache))
    with obeying_modes():
        found = steps()["storage"]
    assert found.passed is False
    assert found.message.startswith(f"The local copies of {uri} lie in {cache}/")
    assert found.message.endswith(f"cannot be written (it would be made in {cache}): Permission denied")


def test_tables_that_are_there_are_looked_at_and_left_as_they_are(project: Path) -> None:
    stored = Tables(project / "data")
    stored.open(EXPORT_FILES)
    versioned(stored, SCHEMA_VERSION - 1)
    before = files_of(project)
    found = steps()["storage"]
    assert (found.passed, found.message) == (
        True,
        f"{project / 'data'} can be written; 2 tables, 1 of which the next run upgrades",
    )
    assert files_of(project) == before


def test_a_table_of_a_newer_program_is_told(project: Path) -> None:
    versioned(Tables(project / "data"), SCHEMA_VERSION + 1)
    found = steps()["storage"]
    assert found.passed is False
    assert f"{DAILY_IMPRESSIONS.name} has schema version {SCHEMA_VERSION + 1}, this program" in found.message


def test_a_table_whose_log_is_damaged_is_named(project: Path) -> None:
    stored = Tables(project / "data")
    stored.open(DAILY_IMPRESSIONS)
    (log,) = (project / "data" / DAILY_IMPRESSIONS.name / "_delta_log").glob("*.json")
    log.write_bytes(b"{")
    found = steps()["storage"]
    assert found.passed is False
    assert f"the log of {project / 'data' / DAILY_IMPRESSIONS.name} (_delta_log) lacks entries" in found.message


def versioned(stored: Tables, version: int) -> None:
    """A table of another schema version."""
    table = DeltaTable(stored.open(DAILY_IMPRESSIONS).table_uri)
    table.alter.set_table_properties({"sigma_impressions.schema_version": str(version)}, raise_if_not_exists=False)


@pytest.mark.parametrize("below", ["", "_delta_log", "event_date=2026-11-01", "event_date=2026-11-01/fingerprint=x"])
def test_a_folder_of_a_table_that_cannot_be_written_is_named(below: str, project: Path) -> None:
    stored = Tables(project / "data")
    stored.open(DAILY_IMPRESSIONS)
    folder = project / "data" / DAILY_IMPRESSIONS.name / below
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o500)
    with obeying_modes():
        found = steps()["storage"]
    assert found.passed is False
    assert found.message.startswith(f"{folder} cannot be read and written by this user. All tables have to belong to")


def test_a_table_that_is_a_link_to_nowhere_is_named(project: Path) -> None:
    link = project / "data" / DAILY_IMPRESSIONS.name
    link.parent.mkdir()
    link.symlink_to("/volume/that/is/gone")
    assert f"{link} is a link that leads nowhere, to /volume/that/is/gone" in steps()["storage"].message


@linux_only
def test_a_file_system_without_hard_links_is_told(project: Path) -> None:
    code = "from sigma_impressions_tests.test_check import steps; print(steps()['storage'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=forbid_hard_links,
    )
    assert "passed=False" in done.stdout
    assert f"{project / 'data'} lies on a file system without hard links (Operation not supported)" in done.stdout
    assert files_of(project) == []


URL_ID, OTHER_URL_ID, UUID = "2opi6VLEne4BaPyj00US50", "3opi6VLEne4BaPyj00US51", "0b1e5c6a-6d5f-4a27-8f64-7a4a0fd5f0aa"


@pytest.mark.parametrize(
    ("viewed", "known", "said"),
    [
        ([URL_ID], [], "The resources hold no workbook."),
        (["Sales 2026"], [(OTHER_URL_ID, "sales 2026")], "The exports name workbooks by their names"),
        (["Sales 2026", "Ops"], [(OTHER_URL_ID, None)], "The exports hold no IDs of workbooks"),
        ([URL_ID], [("Sales 2026", "Sales 2026")], "The resources hold no IDs of workbooks"),
        ([URL_ID.upper()], [(URL_ID, "Sales")], "They differ in case"),
        ([URL_ID, "Sales"], [(OTHER_URL_ID, "Ops")], "Are these the resources of the same Sigma organization?"),
        ([UUID], [(OTHER_URL_ID, "Sales")], "Are these the resources of the same Sigma organization?"),
        (["w1"], [("w2", "Sales")], "Are these the resources of the same Sigma organization?"),
    ],
)
def test_why_no_sample_row_matches_a_resource(
    viewed: list[str], known: list[tuple[str, str | None]], said: str
) -> None:
    rows = [{"resource_type": "sigma_workbook", "workbook_url_id": url_id, "name": name} for url_id, name in known]
    workbooks = pl.DataFrame(rows, schema=SCHEMA)
    (step,) = matched(pl.Series(viewed), workbooks)
    assert step.passed is False
    assert step.message.startswith("0")
    assert f"{viewed[0]!r}" in step.message
    assert said in step.message
    assert ("a known ID is" in step.message) is bool(known)
    assert "None" not in step.message
