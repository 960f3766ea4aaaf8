"""The sensor `alerts`, against a real HTTP server: what is posted, once each, and what stays secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from sigma_impressions.defs.alerts import build_alerts
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.checks import ERROR, Check
from sigma_impressions.defs.failures import TickFailed
from sigma_impressions.defs.runs import TRIGGER_TAG, range_tags
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.errors import NotPosted
from sigma_impressions.webhook import send_alerts
from sigma_impressions_tests.clouds.http_stub import Answer, HttpStub, Request, http_stub

SECRET_PATH = "/services/T000/B000/not-to-be-shown"
KEY = dg.AssetKey("watched")
CHECK = dg.AssetCheckKey(KEY, "is_good")
VARIABLE = "SIGMA_IMPRESSIONS_ALERT_WEBHOOK"


@dataclass
class Watched:
    """A pipeline of one asset with a check, an instance, and a webhook that keeps what is posted."""

    instance: dg.DagsterInstance
    sensor: dg.SensorDefinition
    webhook: HttpStub
    status: list[int] = field(default_factory=lambda: [200])
    cursor: str | None = None

    def run(
        self,
        *,
        failure: Exception | None = None,
        severity: dg.AssetCheckSeverity | None = None,
        description: str | None = "2 of 3 files were refused.",
        job_name: str = "watched_job",
    ) -> str:
        @dg.asset(name=KEY.to_user_string(), check_specs=[dg.AssetCheckSpec(CHECK.name, asset=KEY)])
        def watched() -> dg.MaterializeResult:  # type: ignore[type-arg]
            if failure is not None:
                raise failure
            result = dg.AssetCheckResult(
                passed=severity is None,
                check_name=CHECK.name,
                severity=severity or dg.AssetCheckSeverity.ERROR,
                description=description if severity else None,
            )
            return dg.MaterializeResult(check_results=[result])

        job = dg.define_asset_job(job_name, selection=[KEY])
        definitions = dg.Definitions([watched], jobs=[job], executor=dg.in_process_executor)
        tags = {**range_tags([date(2026, 11, 22), date(2026, 11, 23)]), TRIGGER_TAG: "sensor"}
        return (
            definitions.resolve_job_def(job_name)
            .execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
            .run_id
        )

    def tick(self) -> str:
        source = SigmaSource(
            name="Acme <audit>", bucket_uri="s3://bucket/x", alert_webhook=self.webhook.url + SECRET_PATH
        )
        with dg.build_sensor_context(self.instance, self.cursor, resources={"source": source}) as context:
            result = self.sensor.evaluate_tick(context)
        assert not result.run_requests
        self.cursor = result.cursor
        return str(result.skip_message)

    def posted(self) -> list[str]:
        return [json.loads(request.body)["text"] for request in self.webhook.requests]


@contextmanager
def webhook_answering(status: Callable[[], int]) -> Iterator[HttpStub]:
    def answer(request: Request) -> Answer:
        assert (request.method, request.path) == ("POST", SECRET_PATH)
        assert request.headers["content-type"] == "application/json"
        return Answer(status(), b"ok")

    with http_stub(answer) as stub:
        yield stub


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    sensor = build_alerts("watched_job", [KEY], [CHECK])
    status = [200]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance, webhook_answering(lambda: status[0]) as stub:
        yield Watched(instance, sensor, stub, status)


def test_one_setting_switches_the_alerts_on() -> None:
    def switched_on(environ: dict[str, str]) -> dict[str, object]:
        sensors = build_definitions(environ=environ).sensors or ()
        return {sensor.name: sensor.default_status for sensor in sensors if sensor.name == "alerts"}

    assert switched_on({}) == {}
    assert switched_on({VARIABLE: "https://hooks.example.com/x"}) == {"alerts": dg.DefaultSensorStatus.RUNNING}


def test_failed_runs_and_red_checks_are_posted_once_each(watched: Watched) -> None:
    watched.run(failure=dg.Failure("Of old"))
    assert watched.tick() == "Nothing new."
    good = watched.run()
    assert watched.tick() == "Nothing new."
    failed = watched.run(failure=dg.Failure("Access denied: grant s3:ListBucket & try <again>"))
    red = watched.run(severity=dg.AssetCheckSeverity.ERROR)
    watched.run(severity=dg.AssetCheckSeverity.WARN)
    assert watched.tick() == "2 alerts sent."
    assert watched.posted() == [
        "*Acme &lt;audit&gt;*\n"
        f"• Run {failed} over 2026-11-22 to 2026-11-23 (started by: sensor) failed. Step watched: "
        "Access denied: grant s3:ListBucket &amp; try &lt;again&gt;\n"
        f"• Check is_good of watched is red. 2 of 3 files were refused. Run {red}."
    ]
    assert watched.tick() == "Nothing new."
    # What is deleted does not bring back what was posted.
    watched.instance.delete_run(good)
    watched.instance.delete_run(failed)
    assert watched.tick() == "Nothing new."
    assert len(watched.posted()) == 1


def test_an_error_that_nobody_foresaw_keeps_its_text_in_dagster(watched: Watched) -> None:
    watched.tick()
    watched.run(failure=ValueError("someone@example.com"))
    watched.tick()
    (text,) = watched.posted()
    assert "Step watched: its log in the Dagster UI has the reason." in text
    assert "example.com" not in text


def test_runs_of_others_are_not_posted(watched: Watched) -> None:
    watched.tick()

    @dg.op
    def fail() -> None:
        raise ValueError

    @dg.job(name="somebody_elses")
    def others() -> None:
        fail()

    others.execute_in_process(instance=watched.instance, raise_on_error=False)
    assert watched.tick() == "Nothing new."


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_the_webhook_did_not_take_is_sent_again(watched: Watched, status: int) -> None:
    watched.tick()
    watched.run(failure=dg.Failure("Denied"))
    watched.status[0] = status
    with pytest.raises(TickFailed, match=f"The alert webhook answered HTTP {status}. Check {VARIABLE}") as caught:
        watched.tick()
    assert SECRET_PATH not in str(caught.value)
    watched.status[0] = 200
    assert watched.tick() == "1 alert sent."
    assert watched.tick() == "Nothing new."


def test_a_webhook_out_of_reach_is_named_without_its_address() -> None:
    with http_stub(lambda request: Answer(200)) as stub:
        url = stub.url + SECRET_PATH
    with pytest.raises(NotPosted, match="could not be reached") as caught:
        send_alerts(url, "Acme", ["x"])
    assert SECRET_PATH not in str(caught.value)
    assert caught.value.__suppress_context__


def test_many_long_alerts_make_one_message_of_bounded_length() -> None:
    with webhook_answering(lambda: 200) as stub:
        send_alerts(stub.url + SECRET_PATH, "Acme", [f"{n} " + "x\n" * 10_000 for n in range(100)])
    (text,) = [json.loads(request.body)["text"] for request in stub.requests]
    assert len(text) < 15_000
    assert text.endswith("… and 80 more; see the Dagster UI.")
    assert len(text.splitlines()) == 22


def test_an_alert_is_only_text(watched: Watched) -> None:
    watched.tick()
    said = "<!channel> *now* `x` \x1b[2J https://evil.example/login or evil.example, says a@example.com\n• All is well"
    watched.run(failure=dg.Failure(said))
    assert watched.tick() == "1 alert sent."
    (text,) = watched.posted()
    (_, alert) = text.splitlines()
    assert "&lt;!channel&gt; ∗now∗ ˋxˋ ?[2J https:" in alert
    assert not re.search(r"://|evil\.example|a@example|[<>*`\x1b]", alert)


def test_an_alert_of_a_check_says_what_its_description_shows(watched: Watched) -> None:
    watched.tick()
    check = Check("is_good", "…", ERROR)
    failed = check.result(KEY, "exports/[a]_b_&.csv was refused.")
    watched.run(severity=failed.severity, description=failed.description)
    watched.tick()
    (text,) = watched.posted()
    assert "is red. exports/[a]_b_&amp;.csv was refused." in text.replace("ˍ", "_")
