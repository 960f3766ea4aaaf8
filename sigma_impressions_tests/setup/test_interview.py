"""The interview: which questions arise, what is wrong with an answer, and what the answers come to. No terminal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from sigma_impressions.check.step import Step
from sigma_impressions.project import PROJECT_VARIABLE
from sigma_impressions.setup.interview import Interview
from sigma_impressions.setup.outcome import next_commands, suspect
from sigma_impressions.setup.questions import QUESTIONS

S3 = {"bucket_uri": "s3://acme-audit/sigma"}
GS = {"bucket_uri": "gs://acme-audit/sigma"}
KEYS = {"aws_credentials": "keys", "aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "very-secret"}
KEY_ID, SECRET, TOKEN = (
    f"SIGMA_IMPRESSIONS_AWS_{key}" for key in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
)
RESOURCES, URI, STORAGE = (f"SIGMA_IMPRESSIONS_{name}" for name in ("RESOURCES", "BUCKET_URI", "STORAGE"))
API = {"sigma_base_url": "aws-us-west", "sigma_client_id": "id", "sigma_client_secret": "also-secret"}
FILE, ASSET = {"resources_from": "file"}, {"resources_from": "asset"}
API_VARIABLES = {name.upper(): text for name, text in API.items()}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(PROJECT_VARIABLE, str(tmp_path))
    return tmp_path


NOTHING: Mapping[str, str] = {}


def interview(
    replies: Mapping[str, str],
    file: Mapping[str, str] = NOTHING,
    environment: Mapping[str, str] = NOTHING,
    given: Mapping[str, str] = NOTHING,
) -> Interview:
    """An interview in which some questions get a reply, and the others what is offered."""
    led = Interview(file, environment, given)
    while question := led.next():
        fault = led.answer(question, replies.get(question.name, led.default(question)))
        assert fault is None, f"{question.name}: {fault}"
    return led


def asked(led: Interview) -> list[str]:
    return [question.name for question, _ in led.asked()]


def fault(name: str, text: str, **before: str) -> str | None:
    led = Interview({}, {}, {})
    while (question := led.next()) and question.name != name:
        assert led.answer(question, before.get(question.name, led.default(question))) is None
    assert question is not None
    return led.answer(question, text)


OF_API = "resources_from sigma_base_url sigma_client_id sigma_client_secret"
OF_KEYS = "aws_access_key_id aws_secret_access_key"


@pytest.mark.parametrize(
    ("replies", "questions"),
    [
        (S3 | API, f"aws_credentials aws_region endpoint_url {OF_API}"),
        (S3 | KEYS | API, f"aws_credentials {OF_KEYS} aws_region endpoint_url {OF_API}"),
        (GS | API, f"google_credentials {OF_API}"),
        (GS | FILE | {"resources": "s3://acme/r.parquet"}, "google_credentials resources_from resources"),
        (GS | ASSET | {"resources": "new.csv"}, "google_credentials resources_from resources"),
        (GS | FILE | {"resources": "new.csv"}, "google_credentials resources_from resources template"),
    ],
    ids=["S3", "S3 with keys", "GCS", "a file in a bucket", "the file of an asset", "a file that is not there"],
)
def test_only_what_matters_is_asked(replies: dict[str, str], questions: str) -> None:
    assert asked(interview(replies)) == ["name", "bucket_uri", "days_back", *questions.split(), "storage"]


def test_a_wrong_answer_is_refused_with_the_sentence_of_its_setting(project: Path) -> None:
    assert (fault("days_back", "7", **S3) or "").startswith("must be a whole number from 1 to 6, not '7'.")
    assert "names no bucket" in (fault("bucket_uri", "s3://") or "")
    assert "is not set. Write where Sigma exports to" in (fault("bucket_uri", " ") or "")
    assert "leads to a path that holds a backslash" in (fault("storage", "C:\\data", **GS, **API) or "")
    assert "is neither a URL nor the name of a region" in (fault("sigma_base_url", "aws-mars", **GS) or "")
    assert "must not be empty" in (fault("aws_access_key_id", "", **S3, **KEYS) or "")
    assert "holds white space" in (fault("aws_access_key_id", "two words", **S3, **KEYS) or "")
    assert "must be a URL such as https://host:9000" in (fault("endpoint_url", "minio:9000", **S3) or "")
    assert "must be environment or keys or" in (fault("aws_credentials", "mine", **S3) or "")
    assert f"there is no file {project}/key.json." in (
        fault("google_key_file", "key.json", **GS, google_credentials="key-file") or ""
    )


def test_a_refused_secret_is_not_offered_again() -> None:
    led = Interview({}, {}, {})
    while (question := led.next()) and question.name != "aws_secret_access_key":
        led.answer(question, (S3 | KEYS).get(question.name, led.default(question)))
    assert question is not None
    assert led.answer(question, "two words")
    assert led.default(question) == ""
    assert led.next() is question


def test_only_answers_that_are_no_defaults_are_written() -> None:
    led = interview(S3 | API)
    assert led.changes == {URI: S3["bucket_uri"], **API_VARIABLES}
    assert led.settings().storage == "data"


def test_what_is_present_is_offered_and_stays_without_a_change() -> None:
    file = {URI: "s3://acme-audit/old", KEY_ID: "AKIAEXAMPLE", SECRET: "s3cret", TOKEN: "t0ken", RESOURCES: "r.parquet"}
    led = interview({}, {**file, "SIGMA_IMPRESSIONS_RESOURCES_ASSET": "external"})
    assert led.answers["aws_credentials"] == "temporary-keys"
    assert led.answers["resources_from"] == "asset"
    assert led.changes == {}


def test_what_another_choice_makes_wrong_is_taken_out() -> None:
    file = {URI: "s3://acme-audit/old", KEY_ID: "AKIAEXAMPLE", SECRET: "s3cret", RESOURCES: "r.csv", **API_VARIABLES}
    led = interview({"aws_credentials": "environment", "resources_from": "api"}, file)
    assert led.changes == {KEY_ID: None, SECRET: None, RESOURCES: None}
    led = interview(GS, file)
    assert led.changes == {URI: GS["bucket_uri"], KEY_ID: None, SECRET: None}


def test_a_key_file_is_left_to_the_environment_or_written_with_its_whole_path(project: Path) -> None:
    google = "GOOGLE_APPLICATION_CREDENTIALS"
    (project / "key.json").touch()
    led = interview({**GS, **API, "google_credentials": "key-file", "google_key_file": "key.json"})
    assert led.changes[google] == str(project / "key.json")
    led = interview({**GS, **API, "google_credentials": "environment"}, {google: "/old.json"})
    assert led.changes[google] is None
    assert google not in led.effective
    led = interview({**GS, **API, "google_credentials": "environment"}, environment={google: "/x.json"})
    assert led.effective[google] == "/x.json"
    assert led.contradicted == {}


def test_a_secret_of_the_environment_is_used_and_not_written() -> None:
    storage = {STORAGE: "/srv/tables"}
    led = interview(S3, environment={**API_VARIABLES, **storage})
    # What is no secret is written: the environment of tomorrow's schedule may be another one.
    assert led.changes == {
        URI: S3["bucket_uri"],
        "SIGMA_BASE_URL": "aws-us-west",
        "SIGMA_IMPRESSIONS_STORAGE": "/srv/tables",
    }
    assert led.kept_in_environment == ["SIGMA_CLIENT_ID", "SIGMA_CLIENT_SECRET"]
    assert led.settings().sigma_client_secret == "also-secret"
    # It is written where somebody asks for it, and left out of the message where the file has it, too.
    assert interview(S3 | API, environment=API_VARIABLES, given=API).changes.keys() == {URI, *API_VARIABLES}
    assert interview(S3, API_VARIABLES, API_VARIABLES).kept_in_environment == []


def test_what_the_environment_says_otherwise_is_told_without_secrets() -> None:
    environment = {"SIGMA_IMPRESSIONS_DAYS_BACK": "5", "SIGMA_CLIENT_SECRET": "mine", "AWS_ENDPOINT_URL_S3": "http://a"}
    led = interview(
        S3 | API | {"days_back": "2", "endpoint_url": ""}, environment=environment | {RESOURCES: "", STORAGE: ""}
    )
    assert led.contradicted == {
        "SIGMA_IMPRESSIONS_DAYS_BACK": "5",
        "SIGMA_CLIENT_SECRET": "***",
        "AWS_ENDPOINT_URL_S3": "http://a",
    }
    assert led.settings().days_back == 2
    assert "AWS_ENDPOINT_URL_S3" not in led.effective


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("AWS_ENDPOINT_URL_S3", "https://user:very-secret@minio:9000"),
        (RESOURCES, "https://acme/r.parquet?sig=very-secret"),
    ],
)
def test_what_the_environment_cannot_mean_may_be_a_secret(variable: str, text: str) -> None:
    replies = S3 | FILE | {"endpoint_url": "http://minio:9000", "resources": "r.parquet"}
    assert interview(replies, environment={variable: text}).contradicted == {variable: "***"}


def test_an_answer_can_be_corrected_and_what_follows_is_asked_anew() -> None:
    led = interview(S3 | KEYS | API)
    led.reopen("bucket_uri")
    question = led.next()
    assert question is not None
    assert led.default(question) == S3["bucket_uri"]
    assert led.answer(question, GS["bucket_uri"]) is None
    question = led.next()
    assert question is not None
    assert question.name == "google_credentials"
    led.answer(question, led.default(question))
    assert led.next() is None
    assert "aws_access_key_id" not in led.answers
    assert suspect(Step("list", False, "Access denied"), led) == "google_credentials"
    assert suspect(Step("list", False, "Access denied"), interview(S3 | KEYS | API)) == "aws_secret_access_key"
    missing = Step(
        "list", False, "The bucket acme-adit does not exist. Correct the name in SIGMA_IMPRESSIONS_BUCKET_URI"
    )
    assert suspect(missing, interview(S3 | KEYS | API)) == "bucket_uri"
    assert suspect(Step("header", False, "missing"), led) == "bucket_uri"


def test_what_to_do_next() -> None:
    led, today = interview(S3 | API | {"days_back": "2"}), date(2026, 11, 26)
    assert next_commands(led, True, today) == [
        ("run", "count the last 2 days"),
        ("backfill --from 2026-09-28 --to 2026-11-26", "and the days before"),
        ("report --open", "look at the result"),
    ]
    assert next_commands(led, False, today)[0] == ("check", "test the source")
    late = interview(S3 | API, {"SIGMA_IMPRESSIONS_START_DATE": "2026-11-20"})
    assert next_commands(late, True, today)[1][0] == "backfill --from 2026-11-20 --to 2026-11-26"


def test_every_question_that_is_no_secret_has_an_option() -> None:
    from sigma_impressions.cli.init import init

    options = {option for parameter in init.params for option in parameter.opts}
    assert {question.option for question in QUESTIONS if not question.is_secret} == options - {
        *("--secrets", "--yes", "--no-test")
    }
