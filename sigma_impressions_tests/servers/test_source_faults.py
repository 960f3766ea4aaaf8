"""What `check` and the job `test_source` say of a source that does not work, and that they show no secret."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from sigma_impressions.cli import main
from sigma_impressions.defs.build import build_definitions
from sigma_impressions.demo.object_store import EmbeddedObjectStore, Identity
from sigma_impressions_tests.clouds.http_stub import Answer, Request, http_stub
from sigma_impressions_tests.commands import without_settings
from sigma_impressions_tests.conftest import LISTER, READER, GcsBucket, S3Bucket

KEY = "sigma/2026-11-01 audit.csv"
EXPORT = b"request_time,user_email,workbook_url_id\n2026-11-01 10:00:00,ana@example.com,wb1\n"
SECRET, TOKEN = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLETOKEN"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Fault:
    """Variables of a source with a fault: the step that fails, what is said of it, and what no output may hold."""

    environment: Mapping[str, str]
    step: str
    says: tuple[str, ...]
    secrets: tuple[str, ...]


def _keys(key_id: str, secret: str, token: str | None = None) -> dict[str, str]:
    values = {"ACCESS_KEY_ID": key_id, "SECRET_ACCESS_KEY": secret, "SESSION_TOKEN": token, "REGION": "us-east-1"}
    return {f"SIGMA_IMPRESSIONS_AWS_{name}": value for name, value in values.items() if value}


def _s3(server: EmbeddedObjectStore, bucket: str, identity: Identity) -> dict[str, str]:
    return {
        "SIGMA_IMPRESSIONS_BUCKET_URI": f"s3://{bucket}/sigma",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
        **_keys(identity.access_key_id, identity.secret_access_key),
    }


def _s3_error(status: int, code: str, more: str = "") -> Answer:
    """An answer as S3 gives it, which repeats the credentials."""
    body = f"<Error><Code>{code}</Code><Message>{KEY_ID} {TOKEN}</Message><Token-0>{TOKEN}</Token-0>{more}</Error>"
    return Answer(status, b'<?xml version="1.0"?>' + body.encode())


def _gcs_error(status: int) -> Answer:
    body = {"error": {"code": status, "message": f"no access with {TOKEN}"}}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _gcs_that_only_lists(request: Request) -> Answer:
    if "/o?" not in request.path:
        return _gcs_error(403)
    item = {"name": KEY, "generation": "7", "size": "10", "updated": "2026-11-01T00:30:00Z"}
    listing = json.dumps({"kind": "storage#objects", "items": [item]})
    return Answer(200, listing.encode(), {"Content-Type": "application/json"})


ON_A_SERVER: dict[str, Callable[[S3Bucket], Fault]] = {
    "denied list": lambda bucket: Fault(
        _s3(bucket.server, bucket.name, READER),
        "list",
        ("s3:ListBucket", "s3:prefix", "'sigma/*'", "Grant"),
        (READER.secret_access_key, READER.access_key_id),
    ),
    "denied get": lambda bucket: Fault(
        _s3(bucket.server, bucket.name, LISTER),
        "get",
        ("s3:GetObject", "kms:Decrypt", "Grant"),
        (LISTER.secret_access_key, LISTER.access_key_id),
    ),
    "wrong secret": lambda bucket: Fault(
        _s3(bucket.server, bucket.name, replace(READER, secret_access_key=SECRET)),
        "list",
        ("credentials are not valid", "Correct SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID"),
        (SECRET, READER.access_key_id),
    ),
    "missing bucket": lambda bucket: Fault(
        _s3(
            bucket.server,
            "no-such-bucket",
            Identity("owner", bucket.server.access_key_id, bucket.server.secret_access_key, ()),
        ),
        "list",
        ("The bucket no-such-bucket does not exist", "SIGMA_IMPRESSIONS_BUCKET_URI"),
        (bucket.server.secret_access_key, bucket.server.access_key_id),
    ),
}

# No server of this machine has sessions that expire or buckets in another region, nor a GCS emulator rights.
ON_A_STUB: dict[str, tuple[str, Callable[[Request], Answer], str, tuple[str, ...]]] = {
    "expired token": (
        "s3",
        lambda _: _s3_error(400, "ExpiredToken"),
        "list",
        ("token is expired", "Set a new SIGMA_IMPRESSIONS_AWS_SESSION_TOKEN"),
    ),
    "wrong region": (
        "s3",
        lambda _: _s3_error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"),
        "list",
        ("Wrong AWS region", "SIGMA_IMPRESSIONS_AWS_REGION=eu-west-1"),
    ),
    "GCS 401": (
        "gs",
        lambda _: _gcs_error(401),
        "list",
        ("storage.objects.list", "credentials", "GOOGLE_APPLICATION_CREDENTIALS"),
    ),
    "GCS 403 on list": (
        "gs",
        lambda _: _gcs_error(403),
        "list",
        ("storage.objects.list", "roles/storage.objectViewer"),
    ),
    "GCS 403 on get": ("gs", _gcs_that_only_lists, "get", ("storage.objects.get", "roles/storage.objectViewer")),
}


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without settings and credentials; the project lies in `tmp_path`."""
    without_settings(monkeypatch)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("SIGMA_IMPRESSIONS_RESOURCES", str(tmp_path / "none.csv"))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "instance"))
    (tmp_path / "instance").mkdir()
    return monkeypatch


def _stubbed(name: str, stack: ExitStack) -> Fault:
    scheme, answer, step, says = ON_A_STUB[name]
    stub = stack.enter_context(http_stub(answer))
    uri = {"SIGMA_IMPRESSIONS_BUCKET_URI": f"{scheme}://exports-bucket/sigma"}
    if scheme == "s3":
        return Fault(
            {**uri, "AWS_ENDPOINT_URL_S3": stub.url, **_keys(KEY_ID, SECRET, TOKEN)},
            step,
            says,
            (SECRET, TOKEN, KEY_ID),
        )
    return Fault({**uri, "STORAGE_EMULATOR_HOST": stub.url}, step, says, (TOKEN,))


@pytest.mark.parametrize("name", [*ON_A_SERVER, *ON_A_STUB])
def test_a_fault_is_told_with_its_remedy_and_no_secret(
    name: str,
    request: pytest.FixtureRequest,
    alone: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ExitStack() as stack:
        if name in ON_A_SERVER:
            bucket: S3Bucket = request.getfixturevalue("s3_bucket")
            bucket.put(KEY, EXPORT)
            fault = ON_A_SERVER[name](bucket)
        else:
            fault = _stubbed(name, stack)
        for variable, value in fault.environment.items():
            alone.setenv(variable, value)
        said = CliRunner().invoke(main, ["check"])
        shown = _steps_of_the_job(expect_success=False)
    printed = "".join(capfd.readouterr())
    assert said.exit_code == 1
    assert f"FAIL  {fault.step}: " in said.output
    assert f"| {fault.step} | FAIL |" in shown
    later = {"list": ("get", "header", "rows"), "get": ("header", "rows")}[fault.step]
    assert [name for name in later if f"skip  {name}: not tried" not in said.output] == []
    plain = shown.replace("\\", "")
    assert [words for words in fault.says if words not in said.output or words not in plain] == []
    for text in (said.output, printed):
        assert "Traceback" not in text
    everywhere = said.output + shown + printed + _all_text(tmp_path)
    assert "check_source" in everywhere
    assert [secret for secret in fault.secrets if secret in everywhere] == []


def test_a_source_that_works(
    s3_bucket: S3Bucket, gcs_bucket: GcsBucket, alone: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    resources = tmp_path / "resources.csv"
    resources.write_text("resource_type,workbook_url_id\nsigma_workbook,wb1\n", encoding="utf-8")
    alone.setenv("SIGMA_IMPRESSIONS_RESOURCES", str(resources))
    for bucket in (s3_bucket, gcs_bucket):
        bucket.put(KEY, EXPORT)
        alone.setenv("SIGMA_IMPRESSIONS_BUCKET_URI", f"{bucket.uri}sigma")
        for variable, value in bucket.environment().items():
            alone.setenv(variable, value)
        shown = _steps_of_the_job(expect_success=True)
        names = ("settings", "dagster", "disk", "storage", "credentials", "list", "get", "header", "rows", "resources")
        assert [line for line in (*names, "match") if f"| {line} | ok |" not in shown] == []
        assert "ana@example.com" not in shown + _all_text(tmp_path / "instance")


def _steps_of_the_job(*, expect_success: bool) -> str:
    """Run `test_source` on the instance of DAGSTER_HOME; the table of its steps as the event log keeps it."""
    job = build_definitions(environ=os.environ).resolve_job_def("test_source")
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert result.success is expect_success
        (event,) = _finished(instance, result.run_id)
    if event.event_type == dg.DagsterEventType.STEP_OUTPUT:
        metadata: Mapping[str, dg.MetadataValue] = event.step_output_data.metadata
    else:
        failure = event.step_failure_data.user_failure_data
        assert failure is not None
        metadata = failure.metadata
    return str(metadata["steps"].value)


def _finished(instance: dg.DagsterInstance, run_id: str) -> Iterator[dg.DagsterEvent]:
    kinds = {dg.DagsterEventType.STEP_OUTPUT, dg.DagsterEventType.STEP_FAILURE}
    for record in instance.get_records_for_run(run_id, of_type=kinds).records:
        event = record.event_log_entry.dagster_event
        assert event is not None
        yield event


def _all_text(folder: Path) -> str:
    """Everything under the folder: databases with the event log, compute logs, what was left behind."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return "\n".join(file.read_bytes().decode("latin-1") for file in files)
