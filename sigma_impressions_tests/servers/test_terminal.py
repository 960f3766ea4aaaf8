"""Commands at a terminal: what a person sees while they run and at their end, and how they end when interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from sigma_impressions.interrupts import Interrupted
from sigma_impressions_tests.at_terminal import CTRL_C, Terminal, at_terminal
from sigma_impressions_tests.commands import COMMAND, environment
from sigma_impressions_tests.servers.processes import sigma_impressions
from sigma_impressions_tests.servers.results import DATABASE, TODAY, fill, settings

pytestmark = pytest.mark.slow

SPINNER = re.compile("[⠁-⣿]")

WITHOUT_CTRL_C = ("sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND)
"""As a script starts a command with `&`."""


def of_the_backfill() -> list[str]:
    """A backfill of two chunks."""
    return ["backfill", "--from", str(TODAY - timedelta(days=7)), "--to", str(TODAY)]


def assert_interrupted(terminal: Terminal, code: int, how: str = "Interrupted") -> None:
    """The command ends with this exit code and a sentence."""
    assert terminal.ended() == code, terminal.text
    assert_told(terminal, how)


def assert_told(terminal: Terminal, how: str) -> None:
    """The sentence has a line of its own, and there is nothing else of the interruption."""
    sentence = str(Interrupted()).replace("Interrupted", how)
    assert terminal.lines[: len(terminal.text.splitlines())][-1] == sentence, terminal.text
    assert not re.search(r"Traceback|Aborted|Interrupt.*Interrupt|DagsterExec|failed", terminal.text), terminal.text
    assert not SPINNER.search(terminal.text), terminal.text


def assert_nothing_under_way(env: Mapping[str, str]) -> None:
    """No run is left as one that goes on, and none holds a slot of a pool."""
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        runs = instance.get_runs()
        assert runs
        assert {run.status for run in runs} <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
        storage = instance.event_log_storage
        slots = [storage.get_concurrency_info(key) for key in storage.get_concurrency_keys()]
        assert not any(info.active_slot_count or info.pending_step_count for info in slots)


def fresh_in_runs(env: Mapping[str, str]) -> set[bool]:
    """What the check of the newest export file said in all runs."""
    with dg.DagsterInstance.from_config(env["DAGSTER_HOME"]) as instance:
        evaluations = [
            record.event_log_entry.dagster_event.asset_check_evaluation_data
            for run in instance.get_runs()
            for record in instance.get_records_for_run(
                run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
            ).records
        ]
    return {evaluation.passed for evaluation in evaluations if evaluation.check_name == "source_is_fresh"}


def test_a_backfill_that_is_interrupted_and_then_done(s3_bucket: Any, tmp_path: Path) -> None:
    fill(s3_bucket, 7)
    env = environment(tmp_path, {**settings(s3_bucket, tmp_path), "SIGMA_IMPRESSIONS_EXPORT_MAX_AGE_DAYS": "2"})
    with at_terminal(of_the_backfill(), env=env, cwd=tmp_path) as terminal:
        terminal.wait_for("chunk 1 of 2, ")
        terminal.wait_for("normalized_impressions")
        terminal.press(CTRL_C)
        assert_interrupted(terminal, 130)
    with at_terminal(of_the_backfill(), env=env, cwd=tmp_path, command=WITHOUT_CTRL_C) as terminal:
        terminal.wait_for("[2/2] ")
        os.kill(terminal.process.pid, signal.SIGTERM)
        assert_interrupted(terminal, 143, "Ended by SIGTERM")
    assert_nothing_under_way(env)

    with at_terminal(of_the_backfill(), env=env, cwd=tmp_path, columns=300) as terminal:
        terminal.wait_for("chunk 2 of 2, ")
        under_way = terminal.text.splitlines()[-1]
        assert re.fullmatch(rf"{SPINNER.pattern} 0:\d\d, about 0:\d\d left  chunk 2 of 2, .*: \w+.*", under_way)
        assert terminal.ended() == 0, terminal.text
    lines, screen = terminal.text.splitlines(), " ".join(terminal.text.split())
    assert not SPINNER.search(screen), terminal.text
    assert [line for line in lines if line.startswith("[2/2] ")] == [f"[2/2] {TODAY - timedelta(days=1)} to {TODAY}"]
    # Each finding once, after all that was done; none that only an early chunk could have.
    checks = re.findall(r"Check: \w+, (\w+)", screen)
    assert checks == ["files_are_readable", "rows_are_good", "event_types_are_chosen", "impressions_are_matched"]
    assert re.search(r"already up to date Check: |published Check: ", screen), terminal.text
    assert screen.count("Also of ") == 2
    assert not re.search(r"\bbelow\b|check's table|e\+0", screen)
    at = next(number for number, line in enumerate(lines) if line.startswith("Report "))
    assert [line[:22].rstrip() for line in lines[at:]] == ["Report", "Open it with", "Database"]
    assert lines[at + 1].endswith(" sigma-impressions report --open")
    # What was said is in the run's output in the UI too.
    logs = [path.read_text() for path in (tmp_path / "dagster_home" / "storage").glob("*/compute_logs/*.out")]
    assert any("usage_report.html: as of " in log for log in logs)

    # The first chunk knows of the files that the second one is for.
    assert fresh_in_runs(env) == {True}

    _without_a_terminal(env, tmp_path)


def _without_a_terminal(env: Mapping[str, str], folder: Path) -> None:
    """What programs read of the same, when there is nothing new."""
    again = sigma_impressions("run", "--json", env=env)
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert "event dates rebuilt" in again.stderr
    assert "\x1b" not in again.stderr
    assert (told["failure"], told["files_captured"], told["files_captured_in_all"]) == (None, 0, 8)
    assert told["database"] == told["local_database"] == str(folder / "data" / DATABASE)
    assert told["as_of"] == str(TODAY)
    assert [run["days"] for run in told["runs"]] == [[str(TODAY - timedelta(days=2)), str(TODAY)]]
    assert {finding["check"] for finding in told["findings"]} >= {"files_are_readable", "impressions_are_matched"}

    quiet = sigma_impressions("run", "--quiet", env=env)
    assert quiet.returncode == 0, quiet.stderr
    assert quiet.stderr == ""
    assert {line[:7] for line in quiet.stdout.splitlines()} == {"Check: "}

    # Dagster would greet somebody whose instance has settings of its own.
    (folder / "dagster_home" / "dagster.yaml").write_text("telemetry:\n  enabled: true\n")
    lost = {"SIGMA_IMPRESSIONS_RESOURCES": str(folder / "gone.csv"), "HOME": str(folder)}
    failed = sigma_impressions("run", "--json", env={**env, **lost})
    assert failed.returncode == 1
    told = json.loads(failed.stdout)
    assert told["failure"] == failed.stderr.rstrip()[-len(told["failure"]) :]
    # The last line is the one that says what to do.
    assert "gone.csv" in told["failure"].splitlines()[-1]
    assert (told["as_of"], told["runs"][0]["succeeded"]) == (None, False)
    assert not re.search("executed|executing|Welcome|Telemetry", failed.stderr), failed.stderr


@pytest.mark.parametrize("command", ["check", "run", "report", "maintain"])
def test_a_command_that_is_interrupted_while_it_starts(command: str, tmp_path: Path) -> None:
    env = environment(tmp_path, {"SIGMA_IMPRESSIONS_BUCKET_URI": "s3://bucket/x"})
    # While it imports what its work needs, which takes a second.
    ready = 'import sigma_impressions.cli; print("ready", flush=True); '
    start = (COMMAND[0], "-c", f"{ready}from sigma_impressions.__main__ import main; main()")
    with at_terminal([command], env=env, cwd=tmp_path, command=start) as terminal:
        terminal.wait_for("ready")
        terminal.press(CTRL_C)
        code = terminal.ended()
    assert code == 130, terminal.text
    assert terminal.text.splitlines()[-1].startswith("Interrupted."), terminal.text
    assert "Traceback" not in terminal.text


@pytest.mark.soak
# Some forty demos, each a little longer than the one before.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_interrupted_at_any_moment(number: signal.Signals, code: int, tmp_path: Path) -> None:
    how = "Interrupted" if number == signal.SIGINT else "Ended by SIGTERM"
    for tenths in count(2, 2):
        env = environment(tmp_path / str(tenths), {}, new_instance=True)
        with at_terminal(["demo", "--no-ui", "--days", "7"], env=env, cwd=tmp_path) as terminal:
            with pytest.raises(AssertionError, match=r"waited|ended before"):
                terminal.wait_for("what no demo says", tenths / 10)
            os.kill(terminal.process.pid, number)
            ended = terminal.ended()
            if ended == 0:
                break
            assert ended == code, terminal.text
            assert_told(terminal, how)
    assert terminal.text.splitlines()[-1].endswith(".duckdb"), "It had ended before"
    assert tenths > 20


@pytest.mark.soak
@pytest.mark.parametrize("start", [COMMAND, WITHOUT_CTRL_C], ids=["alone", "in a script"])
def test_the_ui_of_the_demo_ends_with_everything_that_was_started(start: tuple[str, ...], tmp_path: Path) -> None:
    env = environment(tmp_path, {}, new_instance=True)
    with at_terminal(["demo", "--days", "2"], env=env, cwd=tmp_path, command=start) as terminal:
        terminal.wait_for("Dagster UI:")
        terminal.wait_for("Serving ", 90)
        if start == COMMAND:
            terminal.press(CTRL_C)
        else:
            os.kill(terminal.process.pid, signal.SIGTERM)
        assert terminal.ended(60) == 0, terminal.text
    assert terminal.text.splitlines()[-1] == "Stopped."
    assert "Traceback" not in terminal.text
