"""`init`: from options, and by keyboard what is not a source yet."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dotenv import dotenv_values

from sigma_impressions.cli import main
from sigma_impressions.upstream.snapshot_file import read_snapshot
from sigma_impressions_tests.at_terminal import CTRL_C, DOWN, ENTER, Terminal, at_terminal
from sigma_impressions_tests.commands import KEPT, without_settings
from sigma_impressions_tests.rights import linux_only, obeying_modes

Init = Callable[..., Result]

URI, DAYS_BACK = "SIGMA_IMPRESSIONS_BUCKET_URI", "SIGMA_IMPRESSIONS_DAYS_BACK"
ROOT = Path(__file__).parents[2]
MINIMAL = ("--bucket-uri", "gs://acme-audit/sigma", "--resources", "r.csv", "--no-test")


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """Call the command in this process, without a terminal; the project, which is still empty, lies in `tmp_path`."""
    without_settings(monkeypatch)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    return lambda *options, text=None, **env: CliRunner().invoke(main, ["init", *options], input=text, env=env)


def test_without_a_terminal_every_missing_or_wrong_answer_is_told_by_its_option(init: Init, tmp_path: Path) -> None:
    result = init("--days-back", "7", "--endpoint-url", "minio")
    assert result.exit_code == 2
    assert "Missing: --bucket-uri" in result.stderr
    assert "--days-back: must be a whole number from 1 to 6, not '7'" in result.stderr
    assert "Missing: --sigma-base-url" in result.stderr
    assert "Missing: SIGMA_CLIENT_SECRET (in the environment, or in --secrets)" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_is_of_no_use_is_refused(init: Init, tmp_path: Path) -> None:
    result = init(*MINIMAL, "--aws-region", "eu-central-1", "--secrets", "-", text="SIGMA_CLIENT_ID=a")
    assert result.exit_code == 2
    assert "--aws-region: is of no use with the other answers\nSIGMA_CLIENT_ID: is of no use" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_secrets_come_from_a_file_and_nothing_else_does(init: Init, tmp_path: Path) -> None:
    api = ("--bucket-uri", "gs://acme-audit/sigma", "--sigma-base-url", "aws-us-west", "--secrets", "-", "--no-test")
    refused = init(*api, text="SIGMA_CLIENT_ID=a\nSIGMA_IMPRESSIONS_NAME=b\n")
    assert refused.exit_code == 2
    assert "SIGMA_IMPRESSIONS_NAME is none of SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID, " in refused.stderr
    done = init(*api, text="SIGMA_CLIENT_ID=a\nSIGMA_CLIENT_SECRET='${HOME}#1'\n")
    assert done.exit_code == 0, done.stderr
    assert "HOME" not in done.output
    assert dotenv_values(tmp_path / ".env")["SIGMA_CLIENT_SECRET"] == "${HOME}#1"


def test_a_file_that_is_there_keeps_what_is_not_asked(init: Init, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(f"# ours\nexport TZ='UTC' # kept\n\n{DAYS_BACK}=2 # few\nSIGMA_IMPRESSIONS_RESOURCES=old.csv\n")
    env.chmod(0o644)
    result = init(*MINIMAL, "--name", "It's ours")
    assert result.exit_code == 0, result.stderr
    assert env.read_text() == (
        f"# ours\nexport TZ='UTC' # kept\n\n{DAYS_BACK}=2 # few\nSIGMA_IMPRESSIONS_RESOURCES=r.csv\n"
        f"SIGMA_IMPRESSIONS_NAME='It\\'s ours'\n{URI}=gs://acme-audit/sigma\n"
    )
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert "count the last 2 days" in result.stdout
    assert (tmp_path / "dagster_home" / "dagster.yaml").is_file()
    assert "Nothing had to change" in init("--no-test").stdout


def test_it_says_what_of_the_environment_wins(init: Init, tmp_path: Path) -> None:
    result = init(*MINIMAL, "--days-back", "4", **{DAYS_BACK: "2"})
    assert f"{DAYS_BACK} is '2' in the environment, which wins over this answer: unset it there." in result.stdout
    # It is not what the file says, which was not loaded before.
    assert "wins" not in init("--days-back", "5", "--no-test").stdout
    assert dotenv_values(tmp_path / ".env")[DAYS_BACK] == "5"


def test_a_failed_test_writes_nothing(init: Init, tmp_path: Path) -> None:
    result = init(*MINIMAL[:-1], SIGMA_IMPRESSIONS_TIME_ZONE="Mars")
    assert result.exit_code == 1
    assert result.stdout == (
        "FAIL  settings: SIGMA_IMPRESSIONS_TIME_ZONE: there is no time zone 'Mars'. Write an IANA name, for example "
        "Europe/Berlin or UTC\n"
    )
    assert "The test has failed, and nothing was written." in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_template_is_a_snapshot_that_can_be_read(init: Init, tmp_path: Path) -> None:
    result = init(*MINIMAL, "--template")
    assert f"Wrote a template, {tmp_path / 'r.csv'}." in result.stdout
    assert "sigma-impressions check" in result.stdout
    assert read_snapshot(str(tmp_path / "r.csv"), None)["resource_type"].to_list() == [
        "sigma_element",
        "sigma_workbook",
    ]
    (tmp_path / "r.csv").write_text("ours")
    assert init(*MINIMAL, "--template").exit_code == 0
    assert (tmp_path / "r.csv").read_text() == "ours"


@linux_only
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_asked(init: Init, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with obeying_modes():
        result = init(*MINIMAL)
    assert result.exit_code == 1
    assert f"but {tmp_path} cannot be written" in result.stderr


def at_keyboard(folder: Path, *options: str, **variables: str) -> AbstractContextManager[Terminal]:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    env = {**kept, "PYTHONPATH": str(ROOT), "SIGMA_IMPRESSIONS_PROJECT": str(folder), **variables}
    return at_terminal(["init", *options], env=env, cwd=folder)


def reply(terminal: Terminal, question: str, *keys: str) -> None:
    terminal.wait_for_question(question)
    terminal.press(*keys)


@pytest.mark.slow
def test_what_is_present_is_offered_and_a_template_is_written_at_the_end(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(f"{URI}=s3://acme-audit/old\nSIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID=AKIAEXAMPLE\n")
    with at_keyboard(tmp_path, "--no-test", SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY="a-secret") as terminal:
        terminal.wait_for("What else it holds stays as it is.")
        reply(terminal, "Name of the source", ENTER)
        reply(terminal, "Bucket URI", "\x7f\x7f\x7fnew", ENTER)
        reply(terminal, "Days back", ENTER)
        reply(terminal, "» an access key pair", ENTER)
        reply(terminal, "Access key ID (set; Enter keeps it)", ENTER)
        reply(terminal, "Secret access key (set; Enter keeps it)", ENTER)
        reply(terminal, "AWS region", ENTER)
        reply(terminal, "Endpoint", ENTER)
        reply(terminal, "Workbooks and elements", DOWN, ENTER)
        reply(terminal, "File with workbooks", "new/r.csv", ENTER)
        reply(terminal, "Write a template to fill in? (Y/n)", ENTER)
        assert not (tmp_path / "new").exists()
        reply(terminal, "Where the tables", ENTER)
        assert terminal.ended() == 0
    assert "SECRET_ACCESS_KEY stays in the environment" in terminal.text
    assert "when the template is filled in" in terminal.text
    assert (tmp_path / "new" / "r.csv").read_text().startswith("resource_type,")
    assert env.read_text() == (
        f"{URI}=s3://acme-audit/new\nSIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID=AKIAEXAMPLE\n"
        "SIGMA_IMPRESSIONS_RESOURCES=new/r.csv\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "code"), [((DOWN, ENTER), 0), ((DOWN, DOWN, ENTER), 1)], ids=["saved", "given up"])
def test_after_a_failed_test_it_is_saved_all_the_same_or_given_up(
    keys: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    answers = ("--bucket-uri", "gs://acme-audit", "--resources", "r.parquet", "--name", "Ours", "--days-back", "2")
    with at_keyboard(
        tmp_path, *answers, "--google-credentials", "environment", SIGMA_IMPRESSIONS_TIME_ZONE="Mars"
    ) as terminal:
        reply(terminal, "Where the tables", ENTER)
        reply(terminal, "What now?", *keys)
        assert terminal.ended() == code
    assert "FAIL  settings: SIGMA_IMPRESSIONS_TIME_ZONE: there is no time zone 'Mars'" in terminal.text
    assert (tmp_path / ".env").exists() == (code == 0)
    assert ("Given up; nothing was written." in terminal.text) == (code == 1)
    assert ("sigma-impressions check" in terminal.text) == (code == 0)


@pytest.mark.slow
def test_ctrl_c_at_a_question_writes_nothing(tmp_path: Path) -> None:
    with at_keyboard(tmp_path, "--template") as terminal:
        reply(terminal, "Name of the source", ENTER)
        reply(terminal, "Bucket URI", "s3://acme-audit", CTRL_C)
        assert terminal.ended() == 130
    assert terminal.lines[terminal.text.count("\n")] == "Interrupted; nothing was written."
    assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_it_at_a_question_is_its_exit_code(number: signal.Signals, tmp_path: Path) -> None:
    with at_keyboard(tmp_path) as terminal:
        reply(terminal, "Name of the source", ENTER)
        reply(terminal, "Bucket URI")
        os.kill(terminal.process.pid, number)
        assert terminal.ended() == 128 + number, terminal.text
    assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_during_the_test_writes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answers = ("--bucket-uri", "s3://acme-audit/x", "--resources", "r.csv", "--template", "--name", "Ours")
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with at_keyboard(tmp_path, *answers, "--days-back", "2", "--endpoint-url", endpoint) as terminal:
            reply(terminal, "Credentials for the bucket", DOWN, ENTER)
            reply(terminal, "Access key ID", "AKIAEXAMPLE", ENTER)
            reply(terminal, "Secret access key", "secret", ENTER)
            reply(terminal, "AWS region", ENTER)
            reply(terminal, "Where the tables", ENTER)
            terminal.wait_for("ok    credentials")
            terminal.press(CTRL_C)
            assert terminal.ended() == 130
    assert terminal.text.endswith("Interrupted; nothing was written.")
    assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []
