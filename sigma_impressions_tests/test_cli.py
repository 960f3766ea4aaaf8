"""The command line: what it refuses before anything runs, what it says then, and its help."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import dagster as dg
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from sigma_impressions.cli import main
from sigma_impressions.defs.build import JOB_NAME, build_definitions
from sigma_impressions.defs.runs import range_tags
from sigma_impressions.errors import DataHubError, InputsChanged, NothingComputed, OperatorError
from sigma_impressions.interrupts import Interrupted
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES
from sigma_impressions.settings.declared import SETTINGS
from sigma_impressions.texts import plain
from sigma_impressions_tests.commands import environment, sigma_impressions, without_settings

Invoke = Callable[..., Result]

SECRET, TOKEN = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "FwoGZXIvYXdzEXAMPLETOKEN"
URI = "SIGMA_IMPRESSIONS_BUCKET_URI"
DAYS_BACK = "SIGMA_IMPRESSIONS_DAYS_BACK"
KEY_ID, SECRET_KEY, SESSION_TOKEN = (
    f"SIGMA_IMPRESSIONS_AWS_{name}" for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
)
GOOD = {URI: "s3://exports-bucket/sigma"}

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "nothing set": ({}, URI),
    "seven days back": ({**GOOD, DAYS_BACK: "7"}, DAYS_BACK),
    "no day back": ({**GOOD, DAYS_BACK: "0"}, DAYS_BACK),
    "days back in words": ({**GOOD, DAYS_BACK: "two"}, DAYS_BACK),
    "other scheme": ({URI: "http://x/y"}, URI),
    "no bucket": ({URI: "s3://"}, URI),
    "bad bucket name": ({URI: "gs://Bad_Bucket!/x"}, URI),
    "wildcard": ({URI: "s3://bucket/x/*.csv"}, URI),
    "one file": ({URI: "s3://bucket/file.csv"}, URI),
    "query": ({URI: "s3://bucket/x?versionId=1"}, URI),
    "fragment": ({URI: "s3://bucket/x#y"}, URI),
    "credentials": ({URI: f"s3://AKIAEXAMPLE:{SECRET}@bucket/x"}, URI),
    "key ID alone": ({**GOOD, KEY_ID: "AKIAEXAMPLE"}, SECRET_KEY),
    "secret key alone": ({**GOOD, SECRET_KEY: SECRET}, KEY_ID),
    "session token alone": ({**GOOD, SESSION_TOKEN: TOKEN}, SESSION_TOKEN),
    "secret key in a wrong place": ({**GOOD, KEY_ID: "AKIAEXAMPLE", SECRET_KEY: SECRET, DAYS_BACK: SECRET}, DAYS_BACK),
    "storage prefix": ({**GOOD, "SIGMA_IMPRESSIONS_STORAGE": "s3://bucket/a//b"}, "SIGMA_IMPRESSIONS_STORAGE"),
    "first day in the future": (
        {**GOOD, "SIGMA_IMPRESSIONS_START_DATE": "2999-01-01"},
        "SIGMA_IMPRESSIONS_START_DATE",
    ),
}


def day(from_today: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=from_today)).isoformat()


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Call the command in this process; the project, which is still empty, lies in `tmp_path`."""
    without_settings(monkeypatch)
    monkeypatch.setenv("SIGMA_IMPRESSIONS_PROJECT", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    return lambda *arguments, **env: CliRunner().invoke(main, arguments, env=env)


def assert_refused(result: Result, folder: Path) -> None:
    """Ended with a message and nothing else: no run on an instance, no storage, no traceback."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_refuses_settings_before_anything_runs(name: str, invoke: Invoke, tmp_path: Path) -> None:
    settings, variable = REFUSED[name]
    result = invoke("run", **settings)
    assert_refused(result, tmp_path)
    assert variable in result.stderr
    assert SECRET not in result.output
    assert TOKEN not in result.output
    if variable == DAYS_BACK:
        assert "maximum is 6" in result.stderr


@pytest.mark.parametrize(
    "command",
    [("run",), ("backfill", "--from", "2026-09-01", "--to", "2026-09-02"), ("maintain",), ("status",)],
    ids=lambda command: command[0],
)
def test_a_program_gets_its_object_also_where_nothing_could_begin(command: tuple[str, ...], invoke: Invoke) -> None:
    result = invoke(*command, "--json", SIGMA_IMPRESSIONS_BUCKET_URI="http://x/y")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"failure": result.stderr.rstrip("\n")}


def test_a_program_gets_its_object_also_at_ctrl_c(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sigma_impressions.check.source.check_source", interrupted)
    result = invoke("check", "--json", **GOOD)
    assert result.exit_code == 130
    assert json.loads(result.stdout) == {"failure": str(Interrupted())}
    assert invoke("check", **GOOD).stdout == ""


def test_an_export_to_nowhere_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("export", "datahub", **GOOD)
    assert_refused(result, tmp_path)
    assert "SIGMA_IMPRESSIONS_DATAHUB: is not set" in result.stderr
    assert "ends in .json" in invoke("export", "datahub", "--to", "usage.csv", **GOOD).stderr


def test_every_refusal_has_its_own_message(invoke: Invoke) -> None:
    messages = {name: invoke("run", **settings).stderr for name, (settings, _) in REFUSED.items()}
    assert len(set(messages.values())) == len(messages)


def test_all_problems_are_told_at_once(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("backfill", "--from", day(-1), "--to", day(0), **{DAYS_BACK: "9", SECRET_KEY: SECRET})
    assert_refused(result, tmp_path)
    assert all(variable in result.stderr for variable in (URI, DAYS_BACK, KEY_ID))
    assert SECRET not in result.output


@pytest.mark.slow
def test_settings_come_from_the_file_env_where_the_environment_has_none(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{URI}=s3://bucket/x\n{DAYS_BACK}=9\n", encoding="utf-8")
    refused = sigma_impressions("run", env=environment(tmp_path, {}))
    assert refused.returncode == 1
    assert "not '9'" in refused.stderr
    assert URI not in refused.stderr
    assert "not '8'" in sigma_impressions("run", env=environment(tmp_path, {DAYS_BACK: "8"})).stderr


@pytest.mark.parametrize("days_back", ["7", "0", "-1"])
def test_the_option_days_back_has_the_same_limit(days_back: str, invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("run", "--days-back", days_back, **GOOD)
    assert_refused(result, tmp_path)
    assert "maximum is 6" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("run", "--as-of", day(1)), ("--as-of", day(1), "future", day(0))),
        (("backfill", "--from", day(-1), "--to", day(-2)), ("--from", day(-1), "--to", day(-2))),
        (("backfill", "--from", day(-1), "--to", day(1)), ("--to", day(1), "future")),
        (("backfill", "--from", "2025-12-31", "--to", day(0)), ("SIGMA_IMPRESSIONS_START_DATE=2025-12-31",)),
    ],
    ids=["as-of in the future", "from after to", "to in the future", "from before the first day"],
)
def test_days_that_cannot_be_scanned(
    arguments: tuple[str, ...], named: tuple[str, ...], invoke: Invoke, tmp_path: Path
) -> None:
    result = invoke(*arguments, **GOOD)
    assert_refused(result, tmp_path)
    assert all(word in result.stderr for word in named)


@pytest.mark.parametrize(
    "arguments",
    [("run", "--as-of", "yesterday"), ("backfill", "--from", "2026-02-30", "--to", "2026-03-01"), ("backfill",)],
)
def test_what_is_no_day_is_a_usage_error(arguments: tuple[str, ...], invoke: Invoke, tmp_path: Path) -> None:
    result = invoke(*arguments, **GOOD)
    assert result.exit_code == 2
    assert "--help" in result.stderr
    assert "Traceback" not in result.stderr
    assert "is no day. Write it as 2026-10-31." in result.stderr or "Missing option" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ((), (URI, "SIGMA_IMPRESSIONS_RESOURCES", "run", "check", "backfill", "demo")),
        (("run",), ("--as-of", "--days-back", "1 to 6", "--renormalize", "--forget-missing-files", DAYS_BACK)),
        (("backfill",), ("--from", "--to", "required", "six days", "--renormalize")),
        (("check",), ("credentials", "rights", "Exit code")),
        (("pseudonymize",), ("SIGMA_IMPRESSIONS_USERS", "no run be under way", "Exit code")),
        (("forget",), ("e-mail address", "stay counted", "Exit code")),
        (("export", "tables"), ("--to", "csv", "parquet", "required", "formula")),
        (("demo",), ("--no-ui", "--port", "--days", "--sigma-api", "data/demo")),
    ],
)
def test_help_names_what_is_needed(command: tuple[str, ...], named: tuple[str, ...], invoke: Invoke) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert [word for word in named if word not in result.stdout] == []
    assert invoke(*command, "-h").stdout == result.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in main.commands)], ids=" ".join)
def test_help_fits_a_terminal_and_says_how_a_day_is_written(command: tuple[str, ...], invoke: Invoke) -> None:
    shown = invoke(*command, "--help", COLUMNS="80").stdout
    assert [line for line in shown.splitlines()[1:] if len(line) > 80 or "..." in line] == []
    assert "%Y" not in shown
    assert "--from DATE" in shown or command != ("backfill",)


def test_commands_are_listed_in_the_order_of_use(invoke: Invoke) -> None:
    listed = re.findall(r"^  (\w+)  ", invoke("--help").stdout.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)
    first = [name for name in listed if name in ("check", "run", "backfill", "report", "export", "maintain", "demo")]
    assert first == ["check", "run", "backfill", "report", "export", "maintain", "demo"]


def test_commands_that_need_something_first(invoke: Invoke, tmp_path: Path) -> None:
    addresses = invoke("pseudonymize", **GOOD)
    assert_refused(addresses, tmp_path)
    assert "SIGMA_IMPRESSIONS_USERS is email" in addresses.stderr
    no_key = invoke("pseudonymize", **GOOD, SIGMA_IMPRESSIONS_USERS="pseudonym")
    assert_refused(no_key, tmp_path)
    assert "SIGMA_IMPRESSIONS_USERS_KEY: is not set" in no_key.stderr
    unpublished = invoke("export", "tables", "--to", str(tmp_path / "out"), **GOOD)
    assert_refused(unpublished, tmp_path)
    assert "sigma-impressions run publishes it" in unpublished.stderr


def test_check_with_nothing_set(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("check")
    assert result.exit_code == 1
    assert result.stdout.startswith("FAIL  settings: SIGMA_IMPRESSIONS_BUCKET_URI: is not set")
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    moto.stop()


def exports_on(endpoint: str, bucket: str, objects: dict[str, bytes]) -> dict[str, str]:
    """A bucket with these objects, and the settings that lead there."""
    access = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": SECRET}
    client = boto3.session.Session().client("s3", endpoint_url=endpoint, region_name="us-east-1", **access)
    client.create_bucket(Bucket=bucket)
    for key, data in objects.items():
        client.put_object(Bucket=bucket, Key=key, Body=data)
    return {
        URI: f"s3://{bucket}/sigma",
        KEY_ID: "AKIAEXAMPLE",
        SECRET_KEY: SECRET,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_REGION": "us-east-1",
    }


EXPORT = b"request_time,user_email,workbook_url_id\n2026-11-01 10:00:00,ana@example.com,wb1\n"


def steps(result: Result) -> dict[str, str]:
    """The mark of each step of the check by the step's name."""
    lines = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    return {line[6:].partition(":")[0]: line[:4].strip() for line in lines}


def test_check_tells_programs_the_same(invoke: Invoke) -> None:
    words, result = invoke("check"), invoke("check", "--json")
    assert (result.exit_code, result.stderr) == (1, words.stdout)
    told = json.loads(result.stdout)
    assert told["passed"] is False
    assert told["steps"][0]["name"] == "settings"
    assert URI in told["steps"][0]["message"]


def test_check_with_a_missing_resources_file(invoke: Invoke, s3_endpoint: str, tmp_path: Path) -> None:
    settings = exports_on(s3_endpoint, "check-missing", {"sigma/a.csv": EXPORT})
    missing = tmp_path / "nowhere.parquet"
    result = invoke("check", **settings, SIGMA_IMPRESSIONS_RESOURCES=str(missing))
    assert result.exit_code == 1
    assert steps(result) == {
        "settings": "ok",
        "dagster": "ok",
        "disk": "ok",
        "storage": "ok",
        "credentials": "ok",
        "list": "ok",
        "get": "ok",
        "header": "ok",
        "rows": "ok",
        "resources": "FAIL",
        "members": "skip",
        "warehouse": "skip",
    }
    assert f"There is no file {missing}" in result.stdout
    assert "SIGMA_IMPRESSIONS_RESOURCES" in result.stdout
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    assert list(tmp_path.iterdir()) == []


def test_check_without_resources_set(invoke: Invoke, s3_endpoint: str) -> None:
    result = invoke("check", **exports_on(s3_endpoint, "check-unset", {"sigma/a.csv": EXPORT}))
    assert result.exit_code == 1
    assert steps(result)["resources"] == "FAIL"
    assert "SIGMA_IMPRESSIONS_RESOURCES: is not set" in result.stdout


@pytest.mark.parametrize(
    ("workbook", "passed"), [("wb1", True), ("WB1", False)], ids=["the same organization", "another organization"]
)
def test_check_tells_whether_the_sample_matches(
    workbook: str, passed: bool, invoke: Invoke, s3_endpoint: str, tmp_path: Path
) -> None:
    settings = exports_on(s3_endpoint, f"check-match-{passed}".lower(), {"sigma/a.csv": EXPORT})
    resources = tmp_path / "resources.csv"
    resources.write_text(f"resource_type,workbook_url_id\nsigma_workbook,{workbook}\n", encoding="utf-8")
    result = invoke("check", **settings, SIGMA_IMPRESSIONS_RESOURCES=str(resources))
    assert result.exit_code == (0 if passed else 1)
    assert steps(result)["match"] == ("ok" if passed else "FAIL")
    assert "ana@example.com" not in result.output


def test_check_of_an_empty_prefix(invoke: Invoke, s3_endpoint: str) -> None:
    empty = invoke("check", **exports_on(s3_endpoint, "check-empty", {"sigma/notes.txt": b"x"}))
    assert empty.exit_code == 1
    assert (steps(empty)["list"], steps(empty)["get"]) == ("FAIL", "skip")
    assert "none of the 1 objects" in empty.stdout


def test_check_of_a_misspelt_prefix_names_those_that_are_there(invoke: Invoke, s3_endpoint: str) -> None:
    keys = {f"{folder}/a.csv": EXPORT for folder in ("sigma", "sigma-old", "other")}
    settings = exports_on(s3_endpoint, "check-misspelt", keys)
    found = invoke("check", **{**settings, URI: "s3://check-misspelt/Sigma"})
    assert found.exit_code == 1
    assert "nothing lies under s3://check-misspelt/Sigma/" in found.stdout
    assert "There are 'sigma/', 'sigma-old/', 'other/'." in found.stdout


def test_a_run_over_a_misspelt_prefix_names_those_that_are_there(
    s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**exports_on(s3_endpoint, "run-misspelt", {"sigma/a.csv": EXPORT}), URI: "s3://run-misspelt/Sigma"}
    for name, text in environment(tmp_path, settings).items():
        monkeypatch.setenv(name, text)
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster_home")) as instance:
        done = (
            build_definitions()
            .resolve_job_def(JOB_NAME)
            .execute_in_process(
                instance=instance,
                tags=range_tags([datetime.now(UTC).date()]),
                asset_selection=[dg.AssetKey(RAW_EXPORT_FILES.name)],
            )
        )
    (check,) = done.get_asset_check_evaluations()
    assert plain(str(check.description)).startswith("There is no export file yet. There is 'sigma/'. Is the prefix")


@pytest.mark.parametrize(
    ("export", "step", "reason"),
    [
        (b"time,user\n2026-11-01 10:00:00,ana@example.com\n", "header", "missing required column"),
        (b"", "header", "empty file"),
        (EXPORT + b'2026-11-01 10:00:00,"never closed\n', "rows", "malformed quoting"),
    ],
)
def test_check_of_a_refused_file(export: bytes, step: str, reason: str, invoke: Invoke, s3_endpoint: str) -> None:
    bucket = f"check-{reason.replace(' ', '-')}"
    refused = invoke("check", **exports_on(s3_endpoint, bucket, {"sigma/a.csv": export}))
    assert refused.exit_code == 1
    assert f"FAIL  {step}: sigma/a.csv is refused: {reason}" in refused.stdout
    assert ("skip  rows: not tried, as the step header failed" in refused.stdout) is (step == "header")
    assert "ana@example.com" not in refused.output


@pytest.mark.parametrize(
    ("rows", "mark", "said"),
    [
        (b"11/24/2026,ana@example.com,wb1,success\n" * 2, "FAIL", "2 are unparseable_request_time"),
        (b"2026-11-24,ana@example.com,wb1,200\n" * 2, "FAIL", "0 accepted, 0 rejected, 2 skipped"),
        (b"", "skip", "a header and no row"),
    ],
)
def test_check_of_a_file_none_of_whose_rows_counts(
    rows: bytes, mark: str, said: str, *, invoke: Invoke, s3_endpoint: str, tmp_path: Path
) -> None:
    header = b"request_time,user_email,workbook_url_id,event_status\n"
    resources = tmp_path / "resources.csv"
    resources.write_text("resource_type,workbook_url_id\nsigma_workbook,wb1\n", encoding="utf-8")
    settings = exports_on(s3_endpoint, f"check-{uuid.uuid4()}", {"sigma/a.csv": header + rows})
    found = invoke("check", **settings, SIGMA_IMPRESSIONS_RESOURCES=str(resources))
    assert steps(found)["rows"] == mark
    assert found.exit_code == (1 if mark == "FAIL" else 0)
    assert said in found.stdout
    assert "ana@example.com" not in found.output


@pytest.mark.slow
def test_a_real_process_shows_no_secret_and_no_traceback(tmp_path: Path) -> None:
    env = environment(tmp_path, {URI: f"s3://AKIAEXAMPLE:{SECRET}@bucket/x", SECRET_KEY: SECRET, SESSION_TOKEN: TOKEN})
    before = sorted(tmp_path.rglob("*"))
    for command in (("run",), ("backfill", "--from", day(-1), "--to", day(0)), ("check",)):
        ended = sigma_impressions(*command, env=env)
        assert ended.returncode == 1
        said = ended.stdout + ended.stderr
        assert "must not hold credentials" in said
        assert "Traceback" not in said
        assert SECRET not in said
        assert TOKEN not in said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_a_bug_while_publishing_is_not_taken_for_nothing_published(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**GOOD, "SIGMA_IMPRESSIONS_USERS": "pseudonym", "SIGMA_IMPRESSIONS_USERS_KEY": "0123456789abcdef"}
    nothing = invoke("pseudonymize", **settings)
    assert (nothing.exit_code, "Nothing is published yet." in nothing.output) == (0, True)

    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("sigma_impressions.publish.settle.publish_settled", broken)
    result = invoke("pseudonymize", **settings)
    assert isinstance(result.exception, KeyError)
    assert result.exit_code == 1
    assert "Nothing is published" not in result.output


@pytest.mark.parametrize("nobody", ["e", "@", "annlee", "@example.com"])
def test_who_is_neither_an_address_nor_stored_is_not_forgotten(nobody: str, invoke: Invoke) -> None:
    result = invoke("forget", nobody, **GOOD)
    assert result.exit_code == 1
    assert "neither an e-mail address nor a user of the tables" in result.stderr
    assert "deleted" not in result.output
    assert "No table held this user." in invoke("forget", "ann@example.com", **GOOD).stdout


@pytest.mark.parametrize(
    "error",
    [InputsChanged("The metrics were restated."), NothingComputed("No as-of date."), DataHubError("No answer.")],
)
def test_what_an_operator_can_mend_is_said_without_a_traceback(
    error: OperatorError, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("sigma_impressions.destinations.datahub.export_usage", refused)
    result = invoke("export", "datahub", "--to", "usage.json", **GOOD)
    assert result.exit_code == 1
    assert result.stderr.strip() == str(error)


def test_a_misspelt_variable_is_named(invoke: Invoke) -> None:
    result = invoke("report", **GOOD, SIGMA_IMPRESSIONS_DAYSBACK="2")
    said = "SIGMA_IMPRESSIONS_DAYSBACK is not a setting and has no effect. Perhaps SIGMA_IMPRESSIONS_DAYS_BACK is meant"
    assert said in result.stderr


def test_check_lists_the_settings_without_secrets(invoke: Invoke) -> None:
    result = invoke("check", "--settings", **GOOD, **{KEY_ID: "AKIAEXAMPLE", SECRET_KEY: SECRET, DAYS_BACK: "2"})
    listed = dict(line.split(maxsplit=1) for line in result.stdout.splitlines() if line.startswith("SIGMA_"))
    assert (listed[URI], listed[DAYS_BACK], listed[SECRET_KEY]) == ("s3://exports-bucket/sigma/", "2", "set")
    assert len(listed) == len(SETTINGS)
    assert SECRET not in result.output
