"""Somebody who takes a connection and never answers: what is waited for is named, by a command and by a tick."""

from __future__ import annotations

import re
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
from sigma_impressions.defs.failures import TickFailed, tick
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.lake.scratch import locked
from sigma_impressions.waiting import TooSlow, said, waited_for, waiting_for, waits_told, within
from sigma_impressions.webhook import send_alerts
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub
from sigma_impressions_tests.commands import without_settings

pytestmark = pytest.mark.slow

LIMITS = (2, 8, 32)
"""What Dagster is told to give a tick, instead of a minute; more where a busy machine has not come to ask by then."""

DENIED = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


@pytest.fixture
def silent() -> Iterator[HttpStub]:
    """A server that takes requests and does not answer before the test has ended."""
    ended = threading.Event()

    def answer(_: Request) -> Answer:
        ended.wait()
        return DENIED

    with http_stub(answer) as stub:
        yield stub
        ended.set()
        # What was left to itself is still at work under the umask of a tick.
        for thread in threading.enumerate():
            if thread.name == "within":
                thread.join()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings of a source that is not asked yet; everything else lies in a folder of the test."""
    without_settings(monkeypatch)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.setenv(f"SIGMA_IMPRESSIONS_AWS_{name}", SECRET)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_AWS_REGION", "us-east-1")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "s3://exports/sigma")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_RESOURCES", str(tmp_path / "none.csv"))
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    return monkeypatch


def host(stub: HttpStub) -> str:
    return stub.url.partition("//")[2]


def failure_of_tick(
    sensor_name: str, instance: dg.DagsterInstance, silent: HttpStub, settings: pytest.MonkeyPatch
) -> str:
    """The sentence with which a tick fails, and that in time."""
    repository = build_definitions().get_repository_def()
    sensor = repository.get_sensor_def(sensor_name)
    resources = {"source": SigmaSource.from_environment()}
    for limit in LIMITS:
        settings.setenv("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", str(limit))
        context = dg.build_sensor_context(instance, repository_def=repository, resources=resources)
        begun = time.monotonic()
        with context, pytest.raises(TickFailed) as failed:
            sensor.evaluate_tick(context)
        assert time.monotonic() - begun < limit
        if silent.requests:
            break
    assert SECRET not in str(failed.value)
    return str(failed.value)


def test_a_tick_names_the_bucket_of_the_exports(
    silent: HttpStub, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    settings.setenv("AWS_ENDPOINT_URL_S3", silent.url)
    said = failure_of_tick("new_export_files", instance, silent, settings)
    assert re.match(rf"Ended after \d+ s, still waiting for {host(silent)}: listing s3://exports/sigma/\. Check", said)
    assert "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS" in said


def test_a_tick_names_the_bucket_on_google_cloud_storage(
    silent: HttpStub, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        settings.delenv(f"SIGMA_IMPRESSIONS_AWS_{name}")
    settings.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", "gs://exports/sigma")
    settings.setenv("STORAGE_EMULATOR_HOST", silent.url)
    said = failure_of_tick("new_export_files", instance, silent, settings)
    assert f"still waiting for {host(silent)}: listing gs://exports/sigma/." in said


def test_a_tick_names_the_storage_location(
    silent: HttpStub, settings: pytest.MonkeyPatch, instance: dg.DagsterInstance
) -> None:
    settings.setenv("AWS_ENDPOINT_URL_S3", silent.url)
    settings.setenv("SIGMA_IMPRESSIONS_STORAGE", "s3://tables/here")
    said = failure_of_tick("staleness", instance, silent, settings)
    assert f"still waiting for {host(silent)}: opening s3://tables/here/raw_export_files." in said


@pytest.mark.parametrize("kind", ["SENSOR", "SCHEDULE"])
def test_each_kind_of_tick_has_its_limit(kind: str, settings: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def evaluate(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext) -> None:
        with waiting_for("somebody"):
            ended.wait()

    settings.setenv(f"DAGSTER_{kind}_GRPC_TIMEOUT_SECONDS", "1")
    context = dg.build_sensor_context() if kind == "SENSOR" else dg.build_schedule_context()
    try:
        with pytest.raises(TickFailed, match=f"still waiting for somebody.* gives a tick 1 s.* set DAGSTER_{kind}_"):
            tick(evaluate)(context)
    finally:
        ended.set()


def test_the_webhook_is_named_without_its_address(silent: HttpStub) -> None:
    for limit in LIMITS:
        with pytest.raises(TooSlow) as slow:
            within(limit / 4, lambda: send_alerts(f"{silent.url}/{SECRET}", "Sigma Impressions", ["A run failed."]))
        if silent.requests:
            break
    assert slow.value.waited_for == "the alert webhook: posting alerts"


def test_a_command_says_what_it_waits_for(settings: pytest.MonkeyPatch) -> None:
    def answer(_: Request) -> Answer:
        time.sleep(1)
        return DENIED

    settings.setattr(cli, "waits_told", partial(waits_told, silence=0.3))
    with http_stub(answer) as slow:
        settings.setenv("AWS_ENDPOINT_URL_S3", slow.url)
        done = CliRunner().invoke(cli.main, ["check"])
    assert f"Still waiting for {host(slow)}: listing s3://exports/sigma/ (" in done.stderr
    assert "list: Access denied" in done.stdout
    assert SECRET not in done.output


def test_what_is_waited_for_is_said_after_silence_alone_and_then_more_seldom() -> None:
    told: list[str] = []
    with waits_told(told.append, 0.5):
        time.sleep(0.7)
        assert told == []
        with waiting_for("somebody: asking"), waiting_for("somebody: asking in detail"):
            for _ in range(8):
                said()
                time.sleep(0.1)
            assert told == []
            time.sleep(1.3)
    # After 0.5 s and after a second; the next time would be after two.
    assert 1 <= len(told) <= 2
    assert {sentence.partition(" (")[0] for sentence in told} == {"Still waiting for somebody: asking"}


def test_a_lock_that_another_holds_is_named(tmp_path: Path) -> None:
    def lock() -> None:
        with locked(tmp_path / "lock"):
            pass

    with locked(tmp_path / "lock"), pytest.raises(TooSlow) as slow:
        within(0.2, lock)
    assert slow.value.waited_for == f"another process, which holds {tmp_path / 'lock'}"


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
