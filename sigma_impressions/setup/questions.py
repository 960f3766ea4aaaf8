"""What `init` asks, in the order of the form "Add source", and which variables follow from the answers.

A question about a setting has its variable, rule, default and secrecy from the declaration of the setting; the others
are about variables of the SDKs, or choose what is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sigma_impressions.clouds.gcs import Gcs
from sigma_impressions.clouds.s3 import S3, fault_of_endpoint
from sigma_impressions.errors import RefusedValue
from sigma_impressions.project import local_path
from sigma_impressions.settings.declared import BY_NAME
from sigma_impressions.settings.uris import parse_bucket_uri
from sigma_impressions.upstream.regions import REGIONS
from sigma_impressions.windows import MAX_DAYS_BACK

Answers = Mapping[str, str]
"""The text of every answer by the name of its question; blank where nothing is to be set."""

ENVIRONMENT, KEYS, TEMPORARY_KEYS, KEY_FILE = "environment", "keys", "temporary-keys", "key-file"
API, FILE, ASSET = "api", "file", "asset"
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Choice:
    """One of several answers, and variables that are as it says: None is not set.

    Those that are `left` to the environment are not in the file.
    """

    name: str
    title: str
    variables: Mapping[str, str | None] = field(default_factory=dict)
    left: tuple[str, ...] = ()


def _always(_: Answers) -> bool:
    return True


@dataclass(frozen=True)
class Question:
    """What is asked, in a few words and with a hint, and whether it is, given the answers before.

    The answer is the text of `variable`, if there is one, as `rule` makes it, which raises `RefusedValue`; of a setting
    its own rule says what is wrong. Without `choices` it is any text, perhaps one of the `suggested` ones.
    """

    name: str
    asks: str
    hint: str = ""
    variable: str = ""
    default: str = ""
    is_secret: bool = False
    is_needed: bool = False
    applies: Callable[[Answers], bool] = _always
    rule: Callable[[str], str] = str.strip
    choices: tuple[Choice, ...] = ()
    suggested: Mapping[str, str] = field(default_factory=dict)

    @property
    def option(self) -> str:
        """What it is called on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def given_as(self) -> str:
        """What answers it without a terminal: its option, or for a secret its variable."""
        return self.variable if self.is_secret else self.option

    @property
    def is_yes_or_no(self) -> bool:
        """Whether the choices are these two."""
        return {choice.name for choice in self.choices} == {YES, NO}

    def shown(self, text: str) -> str:
        """An answer as it may be shown."""
        if self.is_secret:
            return "set"
        return next((choice.title for choice in self.choices if choice.name == text), text) or "none"


def _of_setting(
    name: str, asks: str, hint: str = "", applies: Callable[[Answers], bool] = _always, *, is_needed: bool = False
) -> Question:
    setting = BY_NAME[name]
    return Question(
        name,
        asks,
        hint,
        setting.variable,
        setting.default or "",
        setting.secret,
        is_needed or setting.required,
        applies,
        suggested=REGIONS if name == "sigma_base_url" else {},
    )


def scheme_of(answers: Answers) -> str:
    """The scheme of the bucket's URI; none while there is no URI that can be used."""
    try:
        return parse_bucket_uri(answers.get("bucket_uri", "")).scheme
    except RefusedValue:
        return ""


def _on(scheme: str) -> Callable[[Answers], bool]:
    return lambda answers: scheme_of(answers) == scheme


def _answered(name: str, *choices: str) -> Callable[[Answers], bool]:
    return lambda answers: answers.get(name) in choices


def _could_be_written(answers: Answers) -> bool:
    """Whether the resources are to come from a CSV file of this machine that is not there."""
    text = answers.get("resources", "")
    if answers.get("resources_from") != FILE or "://" in text or not text.lower().endswith(".csv"):
        return False
    try:
        return not local_path(text).exists()
    except (RefusedValue, OSError):
        return False


def _endpoint(text: str) -> str:
    endpoint = text.strip()
    if endpoint and (fault := fault_of_endpoint(endpoint)):
        raise RefusedValue(fault)
    return endpoint


def _key_file(text: str) -> str:
    """The whole path: Google's SDK would start a relative one at whatever folder a command is called in."""
    if not text.isprintable():
        raise RefusedValue("holds a control character. Write the path of the key file")
    path = local_path(text.strip())
    if not path.is_file():
        raise RefusedValue(f"there is no file {path}. Write the path of the key file")
    return str(Path(path).absolute())


def _no(*settings: str) -> dict[str, str | None]:
    return {BY_NAME[name].variable: None for name in settings}


_PAIR = ("aws_access_key_id", "aws_secret_access_key")
_TOKEN = "aws_session_token"
_GOOGLE = "GOOGLE_APPLICATION_CREDENTIALS"

QUESTIONS: tuple[Question, ...] = (
    _of_setting("name", "Name of the source"),
    _of_setting("bucket_uri", "Bucket URI of the exports", "s3://bucket/prefix or gs://bucket/prefix"),
    _of_setting("days_back", "Days back", f"file dates that one run scans, today included: 1 to {MAX_DAYS_BACK}"),
    Question(
        "aws_credentials",
        "Credentials for the bucket",
        applies=_on(S3.scheme),
        choices=(
            Choice(ENVIRONMENT, "those of the environment: a profile, single sign-on, a role", _no(*_PAIR, _TOKEN)),
            Choice(KEYS, "an access key pair", _no(_TOKEN)),
            Choice(TEMPORARY_KEYS, "temporary keys: a pair with a session token"),
        ),
    ),
    _of_setting(
        "aws_access_key_id",
        "Access key ID",
        applies=_answered("aws_credentials", KEYS, TEMPORARY_KEYS),
        is_needed=True,
    ),
    _of_setting(
        "aws_secret_access_key",
        "Secret access key",
        applies=_answered("aws_credentials", KEYS, TEMPORARY_KEYS),
        is_needed=True,
    ),
    _of_setting(_TOKEN, "Session token", applies=_answered("aws_credentials", TEMPORARY_KEYS), is_needed=True),
    _of_setting("aws_region", "AWS region of the bucket", "empty: that of the environment", _on(S3.scheme)),
    Question(
        "endpoint_url",
        "Endpoint of an S3-compatible store",
        "empty: Amazon S3",
        "AWS_ENDPOINT_URL_S3",
        applies=_on(S3.scheme),
        rule=_endpoint,
    ),
    Question(
        "google_credentials",
        "Credentials for the bucket",
        applies=_on(Gcs.scheme),
        choices=(
            Choice(
                ENVIRONMENT,
                "those of the environment: gcloud login, the machine's service account",
                _no(*_PAIR, _TOKEN),
                left=(_GOOGLE,),
            ),
            Choice(KEY_FILE, "a key file, or a workload identity configuration", _no(*_PAIR, _TOKEN)),
        ),
    ),
    Question(
        "google_key_file",
        "Key file",
        "its path",
        _GOOGLE,
        is_needed=True,
        applies=_answered("google_credentials", KEY_FILE),
        rule=_key_file,
    ),
    Question(
        "resources_from",
        "Workbooks and elements come from",
        choices=(
            Choice(API, "Sigma's REST API", _no("resources", "resources_asset")),
            Choice(FILE, "a file: Parquet, CSV or newline-delimited JSON", _no("resources_asset")),
            Choice(
                ASSET,
                "the asset sigma_resources of another code location, and the file that it leaves",
                {BY_NAME["resources_asset"].variable: "external"},
            ),
        ),
    ),
    _of_setting(
        "sigma_base_url",
        "Region of your Sigma organization",
        applies=_answered("resources_from", API),
        is_needed=True,
    ),
    _of_setting(
        "sigma_client_id",
        "Client ID",
        "Sigma: Administration > Developer Access > Create",
        _answered("resources_from", API),
        is_needed=True,
    ),
    _of_setting("sigma_client_secret", "Client secret", "", _answered("resources_from", API), is_needed=True),
    _of_setting(
        "resources",
        "File with workbooks and elements",
        "path, s3:// or gs:// URI",
        _answered("resources_from", FILE, ASSET),
        is_needed=True,
    ),
    Question(
        "template",
        "This file is not there. Write a template to fill in?",
        applies=_could_be_written,
        choices=(Choice(NO, NO), Choice(YES, YES)),
    ),
    _of_setting("storage", "Where the tables are kept", "a folder, or an s3:// or gs:// URI"),
)
