"""The settings of a source: their names, defaults and help, and how text becomes validated, typed values."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Literal, TypeVar, cast

import polars as pl

from sigma_impressions.exports.rules import ReadingRules
from sigma_impressions.publish.rules import ACTIVITY_DAYS, POWER_USER_DAYS, REGULAR_USER_DAYS, UNDERUSED_BELOW_USERS
from sigma_impressions.upstream.regions import parse_base_url

MAX_DAYS_BACK = 6
"""Most file dates that one run scans, counting today (UTC). A hard cap."""

DEFAULT_DAYS_BACK = 3
"""File dates that one run scans when nothing else is set, counting today (UTC)."""

DEFAULT_START_DATE = date(2026, 1, 1)
"""First daily partition when nothing else is set."""

DEFAULT_KEEP_DAYS = 7
"""Days for which a maintenance keeps older versions of the tables when nothing else is asked."""

DEFAULT_SCHEDULE = "0 6 * * *"
"""When the schedule runs if nothing else is set, as a cron expression in UTC."""

MIN_USERS_KEY_CHARACTERS = 16

MIN_KEEP_DETAIL_DAYS = 35
"""Sigma exports the events of 30 days: what is exported again is recognised by what is kept of them."""

_FILE_DATE_GROUPS = ("year", "month", "day")
_SHOWN_CHARACTERS = 60

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One field of the form "Add source": where its text comes from and what to tell the user about it.

    A `secret` is never shown, only whether it is set. `default` is the text that counts when nothing is set.
    """

    name: str
    environment_variable: str
    secret: bool
    default: str | None
    help: str


def _setting(name: str, help_text: str, *, default: str | None = None, secret: bool = False) -> Setting:
    return Setting(name, f"SIGMA_IMPRESSIONS_{name.upper()}", secret, default, help_text)


SETTINGS: tuple[Setting, ...] = (
    _setting("name", "What this source is called wherever it is shown.", default="Sigma Impressions"),
    _setting(
        "bucket_uri",
        "Where Sigma writes its exports: s3://bucket/prefix or gs://bucket/prefix. Required.",
    ),
    _setting(
        "days_back",
        f"How many file dates one run scans, counting today (UTC): 1 to {MAX_DAYS_BACK}.",
        default=str(DEFAULT_DAYS_BACK),
    ),
    _setting(
        "aws_access_key_id",
        "AWS access key ID, together with the secret access key; without both, the ambient AWS credentials.",
        secret=True,
    ),
    _setting("aws_secret_access_key", "AWS secret access key, together with the access key ID.", secret=True),
    _setting("aws_session_token", "AWS session token of temporary keys; only with the key pair.", secret=True),
    _setting("aws_region", "AWS region of the bucket, where the ambient one is not right."),
    _setting(
        "storage",
        "Where the pipeline keeps its tables: a local directory, or an s3:// or gs:// URI.",
        default="data",
    ),
    _setting(
        "cache",
        "Local directory for a storage location on S3 or GCS: copies of data files, temporary files, and the published "
        "DuckDB file.",
        default="data/cache",
    ),
    _setting(
        "cache_gigabytes",
        "Size that the copies of data files may have before those used longest ago are removed.",
        default="20",
    ),
    _setting(
        "memory_gigabytes",
        "Memory that a DuckDB query of the metrics may use before it spills to disk. The process needs half a gigabyte "
        "more.",
        default="1",
    ),
    _setting(
        "spill",
        "Local directory that DuckDB spills to; default: the storage location's work folder.",
    ),
    _setting(
        "resources",
        "Where the upstream Sigma integration left its resources: path or URI of a Parquet, CSV or "
        "newline-delimited JSON file. Without it the Sigma REST API is read.",
    ),
    _setting(
        "resources_asset",
        "own if this code location materializes the asset sigma_resources; external if another one emits it and "
        "leaves the file that the setting resources names.",
        default="own",
    ),
    Setting(
        "sigma_client_id",
        "SIGMA_CLIENT_ID",
        True,
        None,
        "Client ID of Sigma API credentials, best those of an administrator; together with the next two.",
    ),
    Setting("sigma_client_secret", "SIGMA_CLIENT_SECRET", True, None, "Client secret of the Sigma API credentials."),
    Setting(
        "sigma_base_url",
        "SIGMA_BASE_URL",
        False,
        None,
        "Base URL of Sigma's REST API in your organization's region, or the region's name, for example aws-us-west.",
    ),
    _setting(
        "workbook_observations",
        "on to show the usage on the pages of dagster-sigma's workbook assets after each publication.",
        default="off",
    ),
    _setting(
        "datahub",
        "Where the usage is shown in DataHub: the URL of its metadata service, or a local file that ends in .json. "
        "Without it nothing is exported there.",
    ),
    _setting("datahub_token", "Access token of the DataHub server.", secret=True),
    _setting("datahub_platform_instance", "Platform instance in the recipe of DataHub's Sigma source, if it has one."),
    _setting("time_zone", "IANA time zone of timestamps that have no offset.", default="UTC"),
    _setting(
        "excluded_users",
        "Comma-separated e-mails or globs (* and ? only) whose rows are skipped, for example *@bots.example.com.",
    ),
    _setting(
        "file_date_pattern",
        "Regular expression with the named groups year, month and day that reads the file date from a key; "
        "without it the file date is the UTC day of the last-modified time.",
    ),
    _setting(
        "header_aliases",
        "More header names for the columns of an export, as comma-separated column=header name pairs, for example "
        "user_email=Login, request_time=Opened At.",
    ),
    _setting(
        "users",
        "How users are stored: email, or pseudonym for names that only the users key leads back to an address.",
        default="email",
    ),
    _setting(
        "users_key",
        f"Key of the pseudonyms, at least {MIN_USERS_KEY_CHARACTERS} characters; used only with users=pseudonym. With "
        "another key every user gets another pseudonym.",
        secret=True,
    ),
    _setting(
        "keep_detail_days",
        f"Days for which single views are kept, {MIN_KEEP_DETAIL_DAYS} or more; a maintenance drops older ones, and "
        "the daily totals stay. Without it they are kept for good.",
    ),
    _setting(
        "overlapping_exports",
        "How files that hold the same rows are counted: largest, or sum for exports known to be disjoint.",
        default="largest",
    ),
    _setting("start_date", "First daily partition, as YYYY-MM-DD.", default=DEFAULT_START_DATE.isoformat()),
    _setting(
        "schedule",
        "When the schedule daily_scan starts a run, as a cron expression of five fields in UTC.",
        default=DEFAULT_SCHEDULE,
    ),
    _setting(
        "alert_webhook",
        "Where alerts about failed runs and red checks are posted: the URL of an incoming webhook of Slack, or one "
        "that takes the same JSON.",
        secret=True,
    ),
    _setting(
        "rejected_warn_percent",
        "Share of rejected rows, in percent of a run's rows, above which the check rows_are_good is yellow.",
        default="0",
    ),
    _setting("rejected_error_percent", "The same share, above which that check is red.", default="10"),
    _setting(
        "unmatched_warn_percent",
        "Share of impressions without a resource, in percent of those of 60 days, above which the check "
        "impressions_are_matched is yellow.",
        default="0",
    ),
    _setting(
        "export_max_age_days",
        "Age in days that the newest export file may have before the check source_is_fresh is yellow; default: the "
        "days back.",
    ),
    _setting(
        "resources_max_age_days",
        "Age in days that the resources may have before the check resources_are_fresh is yellow.",
        default="7",
    ),
    _setting(
        "resources_shrinkage_percent",
        "Share of the resources, in percent, that may vanish within a week before the check resources_are_complete "
        "is yellow.",
        default="20",
    ),
    _setting(
        "daily_change_percent",
        "Change of a day's impressions, in percent of the same weekday's in earlier weeks, above which the check "
        "daily_impressions_are_usual is yellow.",
        default="70",
    ),
    _setting(
        "underused_below_users",
        "Distinct users of 60 days below which a workbook or element is called underused.",
        default=str(UNDERUSED_BELOW_USERS),
    ),
    _setting(
        "power_user_days",
        f"Active days, of the last {ACTIVITY_DAYS}, from which a user is a power user.",
        default=str(POWER_USER_DAYS),
    ),
    _setting(
        "regular_user_days",
        "The same for a regular user; fewer than for a power user.",
        default=str(REGULAR_USER_DAYS),
    ),
)
"""All settings, in the order in which the form asks for them."""

_BY_NAME = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True)
class Problem:
    """One setting that cannot be used, and what to write instead. The message never holds a secret."""

    environment_variable: str
    message: str


class SettingsError(ValueError):
    """Settings that cannot be used. `str()` lists every problem, one line each."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(f"{p.environment_variable}: {p.message}" for p in problems))
        self.problems = problems


class _Refused(ValueError):
    """The value of one setting is refused; the text says what to write instead."""


# --- URIs ---------------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_S3_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_GCS_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


@dataclass(frozen=True)
class BucketUri:
    """Where Sigma writes its exports. A non-empty `prefix` ends in exactly one slash and begins with none."""

    scheme: Literal["s3", "gs"]
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


def parse_bucket_uri(text: str) -> BucketUri:
    """Normalize a bucket URI; parsing the `str()` of the result gives the same again.

    Raises `ValueError`, whose message says what to write instead and never repeats what may be a secret.
    """
    stripped = text.strip()
    if not stripped:
        raise _Refused("is not set. Write where Sigma exports to, for example s3://my-bucket/sigma/exports")
    scheme, bucket, path = _split_uri(stripped)
    wildcard = next((c for c in "*[]{}" if c in bucket + path), None)
    if wildcard:
        raise _Refused(
            f"must not hold a wildcard ({wildcard}). Write the prefix that all export files share; everything "
            "under it is read, at any depth"
        )
    if bucket and path.lower().endswith((".csv", ".csv.gz")):
        raise _Refused(
            "names one file. Write the prefix (the folder) that Sigma writes its export files under, "
            "without the file's name"
        )
    _check_bucket_name(scheme, bucket)
    prefix = path.strip("/")
    return BucketUri(scheme, bucket, f"{prefix}/" if prefix else "")


def _split_uri(text: str) -> tuple[Literal["s3", "gs"], str, str]:
    """Scheme, bucket and path of a URI that is free of credentials, query and fragment.

    Only the scheme is ever repeated in a message: all the rest may be a secret that was pasted by mistake.
    """
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise _Refused("must begin with s3:// or gs://. Write s3://bucket/prefix or gs://bucket/prefix")
    scheme, rest = match[1].lower(), match[2]
    if scheme not in ("s3", "gs", "gcs"):
        shown = scheme if len(scheme) <= 10 else "this"
        raise _Refused(f"{shown}:// is not supported. Write s3://bucket/prefix or gs://bucket/prefix")
    authority, _, path = rest.partition("/")
    # A secret access key may hold a slash, which cuts `key:secret@bucket` in two before the @: hence the colon.
    if "@" in re.split(r"[?#]", authority, maxsplit=1)[0] or ":" in authority:
        raise _Refused(
            "must not hold credentials. Write only the bucket and the prefix; for s3:// the keys go to "
            "SIGMA_IMPRESSIONS_AWS_ACCESS_KEY_ID and SIGMA_IMPRESSIONS_AWS_SECRET_ACCESS_KEY"
        )
    mark = next((c for c in rest if c in "?#"), None)
    if mark == "?":
        raise _Refused("must not hold a query (?…). Write the URI without the ? and what follows it")
    if mark == "#":
        raise _Refused("must not hold a fragment (#…). Write the URI without the # and what follows it")
    if not authority:
        raise _Refused(f"names no bucket. Write the bucket's name after {scheme}://, as in {scheme}://bucket/prefix")
    if not rest.isprintable():
        raise _Refused("holds a control character, perhaps a line end. Write it again on one line")
    return ("s3" if scheme == "s3" else "gs"), authority, path


def _check_bucket_name(scheme: Literal["s3", "gs"], bucket: str) -> None:
    if scheme == "s3":
        valid = _S3_BUCKET.fullmatch(bucket) is not None and ".." not in bucket
        rule = "3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit"
    else:
        # Only a name with dots, a domain, may be longer than 63 characters, and no part of it may be.
        valid = (
            _GCS_BUCKET.fullmatch(bucket) is not None
            and all(1 <= len(part) <= 63 for part in bucket.split("."))
            and not bucket.startswith("goog")
            and "google" not in bucket
        )
        rule = (
            "3 to 63 lower-case letters, digits, hyphens and underscores (222 with dots), beginning and ending "
            "with a letter or digit, without goog at the beginning or google anywhere"
        )
    if not valid or _is_ip_address(bucket):
        service = "S3" if scheme == "s3" else "Google Cloud Storage"
        raise _Refused(
            f"has no valid {service} bucket name after {scheme}://. Write the name as the bucket list of "
            f"{service} shows it: {rule}, no two dots in a row, not an IP address"
        )


def _is_ip_address(name: str) -> bool:
    try:
        IPv4Address(name)
    except AddressValueError:
        return False
    return True


def _location(text: str, what: str) -> str:
    """A local path as given, or an `s3://` or `gs://` URI with its scheme normalized."""
    if "://" not in text:
        if not text.isprintable():
            raise _Refused(f"holds a control character. Write {what} on one line")
        return text
    match = _SCHEME.fullmatch(text)
    if match is not None and match[1].lower() == "file":
        raise _Refused("file:// is not supported. Write the path alone, without file://")
    if match is None or match[1].lower() not in ("s3", "gs", "gcs"):
        raise _Refused(f"has a scheme that is not supported. Write {what}: a local path, s3://… or gs://…")
    scheme, bucket, path = _split_uri(text)
    _check_bucket_name(scheme, bucket)
    return f"{scheme}://{bucket}/{path}" if path else f"{scheme}://{bucket}"


# --- The source ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """The validated settings of one source; made by `read_source`.

    Secrets are left out of `repr()`; `describe()` gives what may be shown.
    """

    name: str
    bucket_uri: BucketUri
    days_back: int
    aws_access_key_id: str | None = field(repr=False)
    aws_secret_access_key: str | None = field(repr=False)
    aws_session_token: str | None = field(repr=False)
    aws_region: str | None
    storage: str
    cache: str
    cache_gigabytes: int
    memory_gigabytes: int
    spill: str | None
    resources: str | None
    resources_asset: Literal["own", "external"]
    sigma_client_id: str | None = field(repr=False)
    sigma_client_secret: str | None = field(repr=False)
    sigma_base_url: str | None
    workbook_observations: bool
    datahub: str | None
    datahub_token: str | None = field(repr=False)
    datahub_platform_instance: str | None
    time_zone: str
    excluded_users: tuple[str, ...]
    file_date_pattern: str | None
    header_aliases: Mapping[str, tuple[str, ...]]
    users: Literal["email", "pseudonym"]
    users_key: str | None = field(repr=False)
    keep_detail_days: int | None
    overlapping_exports: Literal["largest", "sum"]
    start_date: date
    schedule: str
    alert_webhook: str | None = field(repr=False)
    rejected_warn_percent: int
    rejected_error_percent: int
    unmatched_warn_percent: int
    export_max_age_days: int | None
    resources_max_age_days: int
    resources_shrinkage_percent: int
    daily_change_percent: int
    underused_below_users: int
    power_user_days: int
    regular_user_days: int

    def describe(self) -> dict[str, str]:
        """Every setting by name as text that may be shown; of a secret only "set" or "not set"."""
        return {setting.name: self._shown(setting) for setting in SETTINGS}

    def _shown(self, setting: Setting) -> str:
        value = getattr(self, setting.name)
        if isinstance(value, bool):
            return "on" if value else "off"
        if value is None or value in ("", (), {}):
            return "not set"
        if setting.secret:
            return "set"
        if isinstance(value, Mapping):
            value = tuple(f"{column}={alias}" for column, aliases in value.items() for alias in aliases)
        return ", ".join(value) if isinstance(value, tuple) else str(value)


def environment_values(environ: Mapping[str, str]) -> dict[str, str | None]:
    """The text of every setting by its name, as `read_source` takes it; None where the variable is not set."""
    return {setting.name: environ.get(setting.environment_variable) for setting in SETTINGS}


def read_source(values: Mapping[str, str | None]) -> Source:
    """Validate the texts of the settings, by setting name; blank and None mean not set.

    Raises `SettingsError` with all problems at once, `TypeError` for a name that is no setting.
    """
    unknown = sorted(set(values) - set(_BY_NAME))
    if unknown:
        raise TypeError(f"no such settings: {', '.join(unknown)}")
    reader = _Reader(values)
    source = Source(
        name=reader.required("name", _name),
        bucket_uri=reader.required("bucket_uri", parse_bucket_uri),
        days_back=reader.required("days_back", _days_back),
        aws_access_key_id=reader.optional("aws_access_key_id", _key),
        aws_secret_access_key=reader.optional("aws_secret_access_key", _key),
        aws_session_token=reader.optional("aws_session_token", _key),
        aws_region=reader.optional("aws_region", _region),
        storage=reader.required("storage", _storage),
        cache=reader.required("cache", _local_directory),
        cache_gigabytes=reader.required("cache_gigabytes", _gigabytes),
        memory_gigabytes=reader.required("memory_gigabytes", _gigabytes),
        spill=reader.optional("spill", _local_directory),
        resources=reader.optional("resources", _resources),
        resources_asset=reader.required("resources_asset", resources_asset),
        sigma_client_id=reader.optional("sigma_client_id", _key),
        sigma_client_secret=reader.optional("sigma_client_secret", _key),
        sigma_base_url=reader.optional("sigma_base_url", _base_url),
        workbook_observations=reader.required("workbook_observations", _on_or_off),
        datahub=reader.optional("datahub", _datahub),
        datahub_token=reader.optional("datahub_token", _key),
        datahub_platform_instance=reader.optional("datahub_platform_instance", _name),
        time_zone=reader.required("time_zone", _time_zone),
        excluded_users=reader.optional("excluded_users", _excluded_users) or (),
        file_date_pattern=reader.optional("file_date_pattern", _file_date_pattern),
        header_aliases=reader.optional("header_aliases", _header_aliases) or {},
        users=reader.required("users", _users),
        users_key=reader.optional("users_key", _users_key),
        keep_detail_days=reader.optional("keep_detail_days", _keep_detail_days),
        overlapping_exports=reader.required("overlapping_exports", _overlapping_exports),
        start_date=reader.required("start_date", _start_date),
        schedule=reader.required("schedule", _schedule),
        alert_webhook=reader.optional("alert_webhook", _alert_webhook),
        rejected_warn_percent=reader.required("rejected_warn_percent", _percent),
        rejected_error_percent=reader.required("rejected_error_percent", _percent),
        unmatched_warn_percent=reader.required("unmatched_warn_percent", _percent),
        export_max_age_days=reader.optional("export_max_age_days", _days),
        resources_max_age_days=reader.required("resources_max_age_days", _days),
        resources_shrinkage_percent=reader.required("resources_shrinkage_percent", _percent),
        daily_change_percent=reader.required("daily_change_percent", _change),
        underused_below_users=reader.required("underused_below_users", _users_count),
        power_user_days=reader.required("power_user_days", _active_days),
        regular_user_days=reader.required("regular_user_days", _active_days),
    )
    reader.check_aws_keys()
    reader.check_sigma_api()
    reader.check_users_key()
    reader.check_tiers(source.power_user_days, source.regular_user_days)
    reader.finish()
    return source


class _Reader:
    """Reads one setting after the other and collects the problems, so that all are told at once."""

    def __init__(self, values: Mapping[str, str | None]) -> None:
        self._texts = {name: (values.get(name) or "").strip() for name in _BY_NAME}
        self._problems: list[Problem] = []

    def required(self, name: str, parse: Callable[[str], T]) -> T:
        """The value of a setting that always has one.

        After a problem it is None in spite of its type; `finish` raises before anybody can see that.
        """
        return self._parsed(name, self._texts[name] or _BY_NAME[name].default or "", parse)

    def optional(self, name: str, parse: Callable[[str], T]) -> T | None:
        return self._parsed(name, self._texts[name], parse) if self._texts[name] else None

    def _parsed(self, name: str, text: str, parse: Callable[[str], T]) -> T:
        try:
            return parse(text)
        except _Refused as refused:
            self.problem(name, str(refused))
            return cast(T, None)

    def problem(self, name: str, message: str) -> None:
        self._problems.append(Problem(_BY_NAME[name].environment_variable, message))

    def check_aws_keys(self) -> None:
        """Both keys or neither, a token only with them, and none of them for a bucket that is not on S3."""
        key_id, secret = self._texts["aws_access_key_id"], self._texts["aws_secret_access_key"]
        token = self._texts["aws_session_token"]
        given = [name for name in _BY_NAME if name in _AWS_KEYS and self._texts[name]]
        if given and re.match(r"gc?s://", self._texts["bucket_uri"], re.IGNORECASE):
            self.problem(
                given[0],
                "AWS keys are of no use with a gs:// bucket. Leave all AWS keys unset; the Google application "
                "default credentials are used (GOOGLE_APPLICATION_CREDENTIALS)",
            )
            return
        both = "Set both keys, or neither to use the ambient AWS credentials"
        if key_id and not secret:
            self.problem("aws_secret_access_key", f"is not set, but the access key ID is. {both}")
        if secret and not key_id:
            self.problem("aws_access_key_id", f"is not set, but the secret access key is. {both}")
        if token and not (key_id or secret):
            self.problem(
                "aws_session_token",
                "is set without the key pair it belongs to. Set the access key ID and the secret access key too, "
                "or unset the token",
            )

    def check_sigma_api(self) -> None:
        """Everything that the Sigma REST API needs, or nothing of it."""
        given = [name for name in _SIGMA_API if self._texts[name]]
        for name in _SIGMA_API if given else ():
            if not self._texts[name]:
                self.problem(
                    name,
                    f"is not set, but {_BY_NAME[given[0]].environment_variable} is. The Sigma REST API needs "
                    "SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET and SIGMA_BASE_URL; set all three, or none",
                )

    def check_users_key(self) -> None:
        """Pseudonyms need a key."""
        if self._texts["users"].lower() == "pseudonym" and not self._texts["users_key"]:
            self.problem(
                "users_key",
                "is not set, but SIGMA_IMPRESSIONS_USERS is pseudonym. Write a random text of at least "
                f"{MIN_USERS_KEY_CHARACTERS} characters, for example what openssl rand -hex 32 prints, and keep a "
                "copy: with another key every user gets another pseudonym",
            )

    def check_tiers(self, power_user_days: int | None, regular_user_days: int | None) -> None:
        """A power user is active on more days than a regular one."""
        if power_user_days and regular_user_days and power_user_days <= regular_user_days:
            self.problem(
                "power_user_days",
                f"must be more days than SIGMA_IMPRESSIONS_REGULAR_USER_DAYS, {regular_user_days}, not "
                f"{power_user_days}",
            )

    def finish(self) -> None:
        """Raise `SettingsError` if there is a problem."""
        if self._problems:
            raise SettingsError(tuple(Problem(p.environment_variable, self._redacted(p)) for p in self._problems))

    def _redacted(self, problem: Problem) -> str:
        # A value is quoted only where it helps. Someone may still have pasted a secret into that variable as well.
        message = problem.message
        for setting in SETTINGS:
            secret = self._texts[setting.name]
            if setting.secret and len(secret) >= 4:
                message = message.replace(secret, "***").replace(secret[:_SHOWN_CHARACTERS], "***")
        return message


_AWS_KEYS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
_SIGMA_API = ("sigma_client_id", "sigma_client_secret", "sigma_base_url")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def _name(text: str) -> str:
    if not text.isprintable():
        raise _Refused("holds a control character. Write a name on one line")
    return text


def _days_back(text: str) -> int:
    if not re.fullmatch(rf"0*[1-{MAX_DAYS_BACK}]", text):
        raise _Refused(
            f"must be a whole number from 1 to {MAX_DAYS_BACK}, not {_quoted(text)}. The maximum is "
            f"{MAX_DAYS_BACK}; older days are read with a backfill"
        )
    return int(text)


def _key(text: str) -> str:
    # In an HTTP header a line end makes the SDK raise an error that repeats the header, key included.
    if not text.isprintable() or any(c.isspace() for c in text):
        raise _Refused("holds white space or a control character. Paste it again, in one piece")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", text):
        raise _Refused("is not the name of a region. Write it as AWS does, for example eu-central-1")
    return text


def _storage(text: str) -> str:
    location = _location(text, "where to keep the tables")
    if "://" in location:
        location = location.rstrip("/")
        # Other characters are written in different ways by the libraries that read and write there.
        if not re.fullmatch(r"(?!.*//)[A-Za-z0-9._/-]+", location.partition("://")[2]):
            raise _Refused(
                "has a prefix with characters that are not supported. Write one of letters, digits, dots, hyphens, "
                "underscores and single slashes, for example s3://bucket/sigma-impressions"
            )
    return location


def _local_directory(text: str) -> str:
    if "://" in text or not text.isprintable():
        raise _Refused("is not a local directory. Write a path on one line, without ://")
    return text


def _percent(text: str) -> int:
    if not re.fullmatch(r"0*([0-9]{1,2}|100)", text):
        raise _Refused(f"must be a whole number of percent from 0 to 100, without a sign, not {_quoted(text)}")
    return int(text)


def _change(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,3}", text):
        raise _Refused(f"must be a whole number of percent from 1 to 9999, without a sign, not {_quoted(text)}")
    return int(text)


def _days(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,2}", text):
        raise _Refused(f"must be a whole number of days from 1 to 999, not {_quoted(text)}")
    return int(text)


def _active_days(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]?", text) or int(text) > ACTIVITY_DAYS:
        raise _Refused(f"must be a whole number of days from 1 to {ACTIVITY_DAYS}, not {_quoted(text)}")
    return int(text)


def _users_count(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise _Refused(f"must be a whole number of users, 1 or more, not {_quoted(text)}")
    return int(text)


def _gigabytes(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,5}", text):
        raise _Refused(f"must be a whole number of gigabytes, 1 or more, not {_quoted(text)}")
    return int(text)


def _resources(text: str) -> str:
    return _location(text, "where the file with the resources is")


def resources_asset(text: str) -> Literal["own", "external"]:
    """Who materializes `sigma_resources`; raises `ValueError` for anything but own and external."""
    match text.lower():
        case "own":
            return "own"
        case "external":
            return "external"
    raise _Refused(f"must be own or external, not {_quoted(text)}")


def _on_or_off(text: str) -> bool:
    if text.lower() not in ("on", "off"):
        raise _Refused(f"must be on or off, not {_quoted(text)}")
    return text.lower() == "on"


def _base_url(text: str) -> str:
    try:
        return parse_base_url(text)
    except ValueError as error:
        raise _Refused(str(error)) from None


def _datahub(text: str) -> str:
    advice = "Write the URL of DataHub's metadata service, for example https://datahub.example.com:8080, or the path "
    advice += "of a local file that ends in .json"
    if not text.isprintable():
        raise _Refused(f"holds a control character. {advice}")
    if "://" not in text and text.lower().endswith(".json"):
        return text
    if re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", text) is None:
        raise _Refused(f"is neither a URL without credentials and query nor a file. {advice}")
    return text.rstrip("/")


def _time_zone(text: str) -> str:
    advice = "Write an IANA name, for example Europe/Berlin or UTC"
    try:
        zoneinfo.ZoneInfo(text)
        # polars brings its own list, without the names that depend on the machine ("localtime").
        pl.Series([datetime(2026, 1, 1)]).dt.replace_time_zone(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError, pl.exceptions.PolarsError):
        raise _Refused(f"there is no time zone {_quoted(text)}. {advice}") from None
    return text


def _excluded_users(text: str) -> tuple[str, ...]:
    users = tuple(user for user in (part.strip().lower() for part in text.split(",")) if user)
    for user in users:
        if re.search(r"[\[\]{}\\]", user):
            raise _Refused(
                f"{_quoted(user)} is not an e-mail or a glob with * and ? only. Write, for example, "
                "*@bots.example.com; brackets, braces and backslashes have no meaning here"
            )
        if re.search(r"[\s;]", user) or not user.isprintable():
            raise _Refused(f"{_quoted(user)} looks like more than one entry. Separate the entries with commas")
    return users


def _file_date_pattern(text: str) -> str:
    example = r"for example (?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"
    try:
        pattern = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        reason = error.msg if isinstance(error, re.error) else "too large"
        raise _Refused(
            f"is not a regular expression that can be used ({reason}). Write one with the named groups year, "
            f"month and day, {example}"
        ) from None
    missing = [group for group in _FILE_DATE_GROUPS if group not in pattern.groupindex]
    if missing:
        raise _Refused(f"lacks the named groups {', '.join(missing)}. Name all three, {example}")
    return text


def _header_aliases(text: str) -> dict[str, tuple[str, ...]]:
    aliases: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        column, sign, header = (part.strip() for part in entry.partition("="))
        if not (column and sign and header):
            raise _Refused(f"{_quoted(entry)} is not a pair. Write column=header name, for example user_email=Login")
        aliases[column] = (*aliases.get(column, ()), header)
    try:
        ReadingRules(extra_aliases=aliases)
    except ValueError as error:
        raise _Refused(f"{error}. Write column=header name, for example user_email=Login") from None
    return aliases


def _users(text: str) -> Literal["email", "pseudonym"]:
    match text.lower():
        case "email":
            return "email"
        case "pseudonym":
            return "pseudonym"
    raise _Refused(f"must be email or pseudonym, not {_quoted(text)}")


def _users_key(text: str) -> str:
    if len(text) < MIN_USERS_KEY_CHARACTERS:
        raise _Refused(
            f"is too short: {MIN_USERS_KEY_CHARACTERS} characters are the least. Write a longer random key, "
            "or leave it unset"
        )
    if not text.isprintable():
        raise _Refused("holds a control character, perhaps a line end. Paste the key again, in one piece")
    return text


def _keep_detail_days(text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,4}", text) or int(text) < MIN_KEEP_DETAIL_DAYS:
        raise _Refused(
            f"must be a whole number of days, {MIN_KEEP_DETAIL_DAYS} or more, not {_quoted(text)}: Sigma exports the "
            "events of 30 days, and what is exported again can only be recognised while the first copy is kept. "
            "Leave it unset to keep single views for good"
        )
    return int(text)


def _overlapping_exports(text: str) -> Literal["largest", "sum"]:
    match text.lower():
        case "largest":
            return "largest"
        case "sum":
            return "sum"
    raise _Refused(f"must be largest or sum, not {_quoted(text)}")


def _start_date(text: str) -> date:
    advice = "Write the first day as YYYY-MM-DD, for example 2026-01-01"
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise _Refused(f"{_quoted(text)} is not an ISO date. {advice}")
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _Refused(f"{_quoted(text)} is not a day of the calendar. {advice}") from None


# Minute, hour, day of month, month, day of week: the smallest and the largest number of each.
_CRON_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")


def is_cron(text: str) -> bool:
    """Whether the text is a cron expression of five fields in numbers: `*`, lists, ranges and steps."""
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        return False
    for written, (least, most) in zip(fields, _CRON_FIELDS, strict=True):
        if not all(_is_cron_part(part, least, most) for part in written.split(",")):
            return False
    days, month = fields[2].split(","), fields[3]
    # The 30th of February never comes.
    return not (month in ("2", "02") and all(day in ("30", "31") for day in days))


def _is_cron_part(part: str, least: int, most: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    if match is None:
        return False
    first, last, step = (int(number) if number else None for number in match.groups())
    bounds = [number for number in (first, last) if number is not None]
    return (
        all(least <= number <= most for number in bounds)
        and bounds == sorted(bounds)
        and (step is None or 1 <= step <= most)
        # A step needs something to step through.
        and (step is None or first is None or last is not None)
    )


def _schedule(text: str) -> str:
    if not is_cron(text):
        raise _Refused(
            f"{_quoted(text)} is not a cron expression. Write five fields in numbers, minute, hour, day of month, "
            f"month and day of week (0 is Sunday), for example {DEFAULT_SCHEDULE} for every day at 06:00 UTC"
        )
    return " ".join(text.split())


def _alert_webhook(text: str) -> str:
    # The text is a secret: whoever knows it can post.
    advice = "Paste the URL of the webhook, beginning with https://"
    if not text.isprintable() or any(c.isspace() for c in text):
        raise _Refused(f"holds white space or a control character. {advice}")
    if re.fullmatch(r"https?://[^/@?#]+(/[^@#]*)?", text, re.IGNORECASE) is None:
        raise _Refused(f"is not the URL of a webhook. {advice}")
    return text
