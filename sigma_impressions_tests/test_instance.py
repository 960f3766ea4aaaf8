"""A Dagster instance that is new has our settings; one that cannot be opened is told in a sentence, not a traceback."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickStatus

from sigma_impressions.cli import main
from sigma_impressions.errors import InstanceError
from sigma_impressions.instance import instance_to_read, opened_instance
from sigma_impressions.project import INSTANCE_SETTINGS, use_dagster_home
from sigma_impressions_tests.commands import add_instance, environment
from sigma_impressions_tests.rights import obeying_modes
from sigma_impressions_tests.test_docs import ROOT

PASSWORD = "not-to-be-shown"
Opened = Callable[[Path], AbstractContextManager[dg.DagsterInstance | None]]

POSTGRESQL = "storage:\n  postgres:\n    postgres_url:\n      env: DAGSTER_POSTGRES_URL\n"


def test_the_file_of_the_checkout_is_the_one_that_is_written() -> None:
    shipped = ROOT / "sigma_impressions" / INSTANCE_SETTINGS
    assert (ROOT / "dagster_home" / INSTANCE_SETTINGS).read_bytes() == shipped.read_bytes()


def test_a_new_home_sends_no_telemetry_watches_runs_and_forgets_ticks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "new" / "home"))
    home = use_dagster_home(tmp_path)
    with opened_instance(home) as instance:
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 2)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        kept = {kind: instance.get_tick_retention_settings(kind) for kind in InstigatorType}
        assert set(kept[InstigatorType.SCHEDULE].values()) == {90}
        sensor = kept[InstigatorType.SENSOR]
        assert (sensor[TickStatus.SKIPPED], sensor[TickStatus.FAILURE], sensor[TickStatus.SUCCESS]) == (7, 30, 90)
    assert {path.name for path in home.iterdir() if path.name.startswith(".") or path.name == "logs"} == {
        ".opening.lock"
    }


@pytest.mark.parametrize("own", ["", "telemetry:\n  enabled: true\n"])
def test_settings_that_are_there_stay(own: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / INSTANCE_SETTINGS).write_text(own, encoding="utf-8")
    assert (use_dagster_home(tmp_path) / INSTANCE_SETTINGS).read_text(encoding="utf-8") == own
    assert [path.name for path in tmp_path.iterdir()] == [INSTANCE_SETTINGS]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (b"telemetry: [\n", "is no YAML with settings. Look at line 2. Correct it"),
        (b"enabled\n", "is no YAML with settings. Correct it"),
        (b"\xff\xfe\x00", "is no YAML with settings. Correct it"),
        (b"telemtry: {}\n", "has an entry that Dagster does not know: telemtry, at the root. Correct it"),
        (f"nux:\n  enabled: {PASSWORD}\n".encode(), "has a value that Dagster does not take, at root:nux:enabled"),
        (POSTGRESQL.encode(), "takes a value from the variable DAGSTER_POSTGRES_URL, which is not set. Set it"),
        (b"storage: {custom: {module: nowhere, class: X}}\n", "needs the module nowhere, which is not installed"),
    ],
)
@pytest.mark.parametrize("opened", [opened_instance, instance_to_read])
def test_settings_that_cannot_be_used_are_told_in_a_sentence(
    opened: Opened, settings: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / INSTANCE_SETTINGS).write_bytes(settings)
    with pytest.raises(InstanceError) as refused, opened(tmp_path):
        pass
    assert str(refused.value).startswith(f"{tmp_path / INSTANCE_SETTINGS} {says}")
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "says"), [("127.0.0.1:1", "does not answer. Start it"), ("none.invalid", "no host has this name")]
)
@pytest.mark.parametrize("opened", [opened_instance, instance_to_read])
def test_a_database_server_that_is_down_is_told_in_a_sentence(
    opened: Opened,
    host: str,
    says: str,
    *,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.0)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", f"postgresql+psycopg2://user:{PASSWORD}@{host}/dagster")
    (tmp_path / INSTANCE_SETTINGS).write_text(POSTGRESQL, encoding="utf-8")
    with pytest.raises(InstanceError, match=says) as refused, opened(tmp_path) as instance:
        assert instance is not None
        instance.get_runs(limit=1)
    assert PASSWORD not in str(refused.value)
    assert caplog.text == ""


def test_nothing_is_made_where_an_instance_is_only_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with instance_to_read(home) as instance:
        assert instance is None
    assert not home.exists()
    home.mkdir()
    (home / INSTANCE_SETTINGS).write_text("telemetry: {enabled: false}", encoding="utf-8")
    with instance_to_read(home) as instance:
        assert instance is None
    (home / "history").mkdir()
    (home / "history" / "runs.db").touch()
    with instance_to_read(home) as instance:
        assert instance is None
    found = sorted(path.name for path in home.rglob("*"))
    assert found == [INSTANCE_SETTINGS, "history", "runs.db"]
    assert (home / "history" / "runs.db").stat().st_size == 0


def test_whoever_only_looks_is_not_told_to_make_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with instance_to_read(tmp_path) as instance:
        assert instance is None
    assert caplog.text == ""


def test_records_that_cannot_be_read_are_told_in_a_sentence(tmp_path: Path) -> None:
    add_instance(tmp_path)
    (tmp_path / "history" / "runs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(InstanceError, match="cannot be used: file is not a database"), opened_instance(tmp_path) as it:
        it.get_runs(limit=1)


def test_settings_that_may_not_be_read_are_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / INSTANCE_SETTINGS).touch(mode=0)
    with (
        obeying_modes(),
        pytest.raises(InstanceError, match=r"dagster.yaml cannot be used: Permission denied"),
        opened_instance(tmp_path),
    ):
        pass


def test_an_error_of_the_work_itself_passes(tmp_path: Path) -> None:
    add_instance(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"), opened_instance(tmp_path):
        (tmp_path.parent / "nowhere").read_bytes()


COMMANDS = [("run",), ("maintain",), ("forget", "ana@example.com")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("what", ["a file", "below a file", "read-only", "broken settings"])
def test_no_command_ends_in_a_traceback(
    what: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    if what == "a file":
        home.write_bytes(b"")
    elif what == "below a file":
        home = tmp_path / "file" / "home"
        home.parent.write_bytes(b"")
    elif what == "read-only":
        # No user, whatever the rights, makes anything here.
        home = Path(f"/proc/{os.getpid()}/home")
    else:
        home.mkdir()
        (home / INSTANCE_SETTINGS).write_text("[", encoding="utf-8")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://bucket/x")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert done.stderr.count("\n") == 1
    assert str(home) in done.stderr


@pytest.mark.slow
def test_a_full_home_is_told_in_a_sentence(tmp_path: Path) -> None:
    env = environment(tmp_path, {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x"}, new_instance=True)
    done = subprocess.run(
        [sys.executable, "-c", "from sigma_impressions.cli import main; main()", "maintain"],
        # Nor for half a module, which the next process would take for a whole one.
        env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        # As on a disk that has no room for the databases.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert done.returncode == 1
    assert re.fullmatch(r"The databases of Dagster in DAGSTER_HOME, .* cannot be used: .*\n", done.stderr), done.stderr


def test_old_logs_are_deleted_as_documented(tmp_path: Path) -> None:
    """Of an old run all that was materialized stays known, and of others everything stays."""
    home = tmp_path / "dagster_home"
    add_instance(home)
    key, days = dg.AssetKey("counted"), dg.StaticPartitionsDefinition(["old", "new"])

    @dg.asset(key=key, partitions_def=days)
    def counted() -> None: ...

    with dg.DagsterInstance.local_temp(str(home)) as instance:
        runs = {day: dg.materialize([counted], instance=instance, partition_key=day).run_id for day in ("old", "new")}
    for path in home.rglob("*"):
        if path.is_dir() or runs["old"] in str(path) or path.name in {"index.db", "runs.db", "schedules.db"}:
            os.utime(path, (0, 0))
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = re.search(r"## What Dagster keeps.*?```sh\n(.*?)```", page, re.DOTALL)
    assert documented is not None
    subprocess.run(["sh", "-ec", documented[1]], cwd=tmp_path, check=True)

    left = {path.stem for path in (home / "history" / "runs").glob("*.db")} | {
        path.name for path in (home / "storage").iterdir()
    }
    assert runs["old"] not in left
    assert {runs["new"], "index"} <= left
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        assert instance.get_materialized_partitions(key) == {"old", "new"}
        assert len(instance.get_runs()) == 2
        assert instance.all_logs(runs["old"]) == []
        assert instance.all_logs(runs["new"]) != []
