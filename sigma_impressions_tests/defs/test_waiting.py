"""Somebody who takes a connection and never answers: what is waited for is named, by a command and by a tick."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from sigma_impressions import cli
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.failures import TickFailed
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.waiting import TooSlow, said, waited_for, waiting_for, waits_told, within
from sigma_impressions.webhook import send_alerts
from sigma_impressions_tests.clouds.http_stub import Answer, Request, http_stub

LIMIT_SECONDS = 2
"""What Dagster is told to give a tick, instead of a minute."""

DENIED = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture
def silent() -> Iterator[str]:
    """Host and port of a server that takes requests and does not answer before the test has ended."""
    ended = threading.Event()

    def answer(_: Request) -> Answer:
        ended.wait()
        return DENIED

    with http_stub(answer) as stub:
        yield stub.url.partition("//")[2]
        ended.set()
        # What was left to itself is still at work under the umask of a tick.
        for thread in threading.enumerate():
            if thread.name == "within":
                thread.join()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings of a source that is not asked yet; everything else lies in a folder of the test."""
    for name in list(os.environ):
        if name.startswith(("SIGMA_", "AWS_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"SIGMA_IMPRESSIONS_AWS_{name}", SECRET)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_AWS_REGION", "us-east-1")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://exports/sigma")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_RESOURCES", str(tmp_path / "none.csv"))
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    for kind in ("SENSOR", "SCHEDULE"):
        monkeypatch.setenv(f"DAGSTER_{kind}_GRPC_TIMEOUT_SECONDS", str(LIMIT_SECONDS))
    return monkeypatch


def failure_of_tick(sensor_name: str, instance: dg.DagsterInstance) -> str:
    """The sentence with which a tick fails, and that in time."""
    repository = build_definitions().get_repository_def()
    sensor = repository.get_sensor_def(sensor_name)
    resources = {"source": SigmaSource.from_environment()}
    context = dg.build_sensor_context(instance, repository_def=repository, resources=resources)
    begun = time.monotonic()
    with context, pytest.raises(TickFailed) as failed:
        sensor.evaluate_tick(context)
    assert time.monotonic() - begun < LIMIT_SECONDS
    assert SECRET not in str(failed.value)
    return str(failed.value)


def test_a_tick_names_the_bucket_of_the_exports(
    silent: str, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    settings.setenv("AWS_ENDPOINT_URL_S3", f"http://{silent}")
    said = failure_of_tick("new_export_files", instance)
    assert said.startswith(f"Ended after 2 s, still waiting for {silent}: listing s3://exports/sigma/. Check")
    assert "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS" in said


def test_a_tick_names_the_bucket_on_google_cloud_storage(
    silent: str, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        settings.delenv(f"SIGMA_IMPRESSIONS_AWS_{name}")
    settings.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "gs://exports/sigma")
    settings.setenv("STORAGE_EMULATOR_HOST", f"http://{silent}")
    assert f"still waiting for {silent}: listing gs://exports/sigma/" in failure_of_tick("new_export_files", instance)


def test_a_tick_names_the_storage_location(
    silent: str, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    settings.setenv("AWS_ENDPOINT_URL_S3", f"http://{silent}")
    settings.setenv("SIGMA_IMPRESSIONS_STORAGE", "s3://tables/here")
    assert f"{silent}: opening s3://tables/here/raw_export_files" in failure_of_tick("staleness", instance)


def test_the_webhook_is_named_without_its_address(silent: str) -> None:
    with pytest.raises(TooSlow) as slow:
        within(0.5, lambda: send_alerts(f"http://{silent}/{SECRET}", "Sigma Impressions", ["A run failed."]))
    assert slow.value.waited_for == "the alert webhook: posting alerts"


def test_a_command_says_what_it_waits_for(settings: pytest.MonkeyPatch) -> None:
    def answer(request: Request) -> Answer:
        time.sleep(1)
        return DENIED

    settings.setattr(cli, "waits_told", partial(waits_told, silence=0.3))
    with http_stub(answer) as slow:
        settings.setenv("AWS_ENDPOINT_URL_S3", slow.url)
        done = CliRunner().invoke(cli.main, ["check"])
    told = f"Still waiting for {slow.url.partition('//')[2]}: listing s3://exports/sigma/ (0 s)\n"
    # Once, and again as long as that after it.
    assert done.stderr == told + told.replace("(0", "(1")
    assert "list: Access denied" in done.stdout


def test_what_is_waited_for_is_said_after_silence_alone_and_then_more_seldom() -> None:
    told: list[str] = []
    with waits_told(told.append, 0.2):
        time.sleep(0.5)
        assert told == []
        with waiting_for("somebody: asking"), waiting_for("somebody: asking in detail"):
            for _ in range(5):
                said()
                time.sleep(0.1)
            assert told == []
            time.sleep(0.9)
    assert [sentence.partition(" (")[0] for sentence in told] == ["Still waiting for somebody: asking"] * 3


def test_each_thread_waits_for_its_own() -> None:
    ended = threading.Event()

    def ask() -> None:
        with waiting_for("the other"):
            ended.wait()

    with waiting_for("this one"):
        with pytest.raises(TooSlow) as slow:
            within(0.1, ask)
        assert slow.value.waited_for == "the other"
        assert waited_for() == "this one"
    ended.set()
