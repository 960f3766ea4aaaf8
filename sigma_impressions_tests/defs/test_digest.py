"""The schedule `weekly_digest`: a real run that posts to a real HTTP server, and what it says where it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.names import PLAIN_NAMES, Names
from sigma_impressions.defs.runs import TRIGGER_TAG
from sigma_impressions.destinations.digest.text import Text, digest_text
from sigma_impressions.destinations.digest.week import read_digest
from sigma_impressions.publish.database import DATABASE_NAME
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, http_stub
from sigma_impressions_tests.commands import without_settings
from sigma_impressions_tests.report.published import publish

MONDAY = datetime(2026, 11, 23, 7, tzinfo=UTC)
SECRET = "/services/T000/B000/not-to-be-shown"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("storage") / DATABASE_NAME, 40, 2, 30)


@pytest.fixture
def text(database: Path) -> Text:
    return digest_text(read_digest(database, MONDAY.date()), "Acme", "https://usage.example.com/")


@pytest.fixture
def webhook() -> Iterator[HttpStub]:
    with http_stub(lambda _: Answer(200, b"ok")) as stub:
        yield stub


@pytest.fixture
def source(database: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The settings of the environment, in which no webhook is set, on a Monday."""
    without_settings(monkeypatch)
    for name, given in {
        "BUCKET_URI": "s3://bucket/x",
        "STORAGE": str(database.parent),
        "NAME": "Acme",
        "REPORT_URL": "https://usage.example.com/",
    }.items():
        monkeypatch.setenv(f"SIGMA_IMPRESSIONS_{name}", given)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return MONDAY

    monkeypatch.setattr("sigma_impressions.defs.digest.datetime", Clock)
    return monkeypatch


def run(instance: dg.DagsterInstance, names: Names = PLAIN_NAMES) -> dg.ExecuteInProcessResult:
    """What the schedule starts at its turn, as it starts it."""
    definitions = build_definitions(names=names)
    schedule = definitions.get_repository_def().get_schedule_def(names.name("weekly_digest"))
    with dg.build_schedule_context(instance, MONDAY) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.tags[TRIGGER_TAG] == "schedule"
    job = definitions.resolve_job_def(schedule.job_name)
    return job.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)


def logged(instance: dg.DagsterInstance, done: dg.ExecuteInProcessResult) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(done.run_id) if entry.dagster_event is None]


def test_it_is_off_and_has_its_time() -> None:
    schedule = build_definitions(environ={}).get_repository_def().get_schedule_def("weekly_digest")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 7 * * 1", "UTC")
    environ = {"SIGMA_IMPRESSIONS_DIGEST_SCHEDULE": "30 8 * * 5"}
    repository = build_definitions(environ=environ, names=Names(("emea",))).get_repository_def()
    assert repository.get_schedule_def("emea__weekly_digest").cron_schedule == "30 8 * * 5"


@pytest.mark.slow
@pytest.mark.parametrize("names", [PLAIN_NAMES, Names(("emea",))])
def test_the_run_of_the_schedule_posts_the_digest(
    names: Names, source: pytest.MonkeyPatch, instance: dg.DagsterInstance, webhook: HttpStub, text: Text
) -> None:
    source.setenv("SIGMA_IMPRESSIONS_DIGEST_WEBHOOK", webhook.url + SECRET)
    done = run(instance, names)
    assert done.success
    (request,) = webhook.requests
    assert (request.method, request.path) == ("POST", SECRET)
    assert json.loads(request.body) == {"text": text.mrkdwn()}
    assert text.title == "Acme: 2026-11-13 to 2026-11-19"
    assert logged(instance, done) == [*text.plain(), "Posted to the digest webhook."]
    (output,) = (event.step_output_data for event in done.all_events if event.is_successful_output)
    assert output.metadata["digest"] == dg.MetadataValue.md(text.markdown())
    assert output.metadata["posted"] == dg.MetadataValue.bool(True)
    everything = "\n".join(map(str, instance.all_logs(done.run_id)))
    assert SECRET not in everything
    assert "@" not in "\n".join(logged(instance, done))


@pytest.mark.slow
def test_without_a_webhook_the_digest_is_in_the_log(
    source: pytest.MonkeyPatch, instance: dg.DagsterInstance, text: Text
) -> None:
    done = run(instance)
    assert done.success
    said = "SIGMA_IMPRESSIONS_DIGEST_WEBHOOK is not set, so the digest was posted nowhere. It is in this log."
    assert logged(instance, done) == [*text.plain(), said]
    (output,) = (event.step_output_data for event in done.all_events if event.is_successful_output)
    assert output.metadata["posted"] == dg.MetadataValue.bool(False)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer(500), Answer(307, headers={"Location": "https://elsewhere.example/"})])
def test_a_webhook_that_does_not_take_it_fails_the_run_in_a_sentence(
    answer: Answer, source: pytest.MonkeyPatch, instance: dg.DagsterInstance, text: Text
) -> None:
    with http_stub(lambda _: answer) as stub:
        source.setenv("SIGMA_IMPRESSIONS_DIGEST_WEBHOOK", stub.url + SECRET)
        done = run(instance)
    assert not done.success
    (failure,) = (event.step_failure_data for event in done.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == (
        f"The digest webhook answered HTTP {answer.status}. Check SIGMA_IMPRESSIONS_DIGEST_WEBHOOK, and whether the "
        "webhook still exists; to post the digest then, run sigma-impressions digest --send"
    )
    assert logged(instance, done)[: len(text.lines)] == text.plain()[: len(text.lines)]
    everything = "\n".join(map(str, instance.all_logs(done.run_id)))
    assert SECRET not in everything
    assert stub.url not in everything


@pytest.mark.slow
def test_before_anything_is_published_the_run_says_so(
    source: pytest.MonkeyPatch, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    source.setenv("SIGMA_IMPRESSIONS_STORAGE", str(tmp_path / "storage"))
    done = run(instance)
    (failure,) = (event.step_failure_data for event in done.all_events if event.is_step_failure)
    assert failure.user_failure_data is not None
    assert str(failure.user_failure_data.description).endswith("yet. sigma-impressions run publishes it.")
