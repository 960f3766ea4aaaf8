"""The validated settings of one source, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeVar, cast

from sigma_impressions.settings import parse
from sigma_impressions.settings.declared import MIN_USERS_KEY_CHARACTERS, SETTINGS, RefusedValue, Setting
from sigma_impressions.settings.uris import BucketUri, parse_bucket_uri

T = TypeVar("T")

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
        name=reader.required("name", parse.name),
        bucket_uri=reader.required("bucket_uri", parse_bucket_uri),
        days_back=reader.required("days_back", parse.days_back),
        aws_access_key_id=reader.optional("aws_access_key_id", parse.key),
        aws_secret_access_key=reader.optional("aws_secret_access_key", parse.key),
        aws_session_token=reader.optional("aws_session_token", parse.key),
        aws_region=reader.optional("aws_region", parse.region),
        storage=reader.required("storage", parse.storage),
        cache=reader.required("cache", parse.local_directory),
        cache_gigabytes=reader.required("cache_gigabytes", parse.gigabytes),
        memory_gigabytes=reader.required("memory_gigabytes", parse.gigabytes),
        spill=reader.optional("spill", parse.local_directory),
        resources=reader.optional("resources", parse.resources),
        resources_asset=reader.required("resources_asset", parse.resources_asset),
        sigma_client_id=reader.optional("sigma_client_id", parse.key),
        sigma_client_secret=reader.optional("sigma_client_secret", parse.key),
        sigma_base_url=reader.optional("sigma_base_url", parse.base_url),
        workbook_observations=reader.required("workbook_observations", parse.on_or_off),
        datahub=reader.optional("datahub", parse.datahub),
        datahub_token=reader.optional("datahub_token", parse.key),
        datahub_platform_instance=reader.optional("datahub_platform_instance", parse.name),
        time_zone=reader.required("time_zone", parse.time_zone),
        excluded_users=reader.optional("excluded_users", parse.excluded_users) or (),
        file_date_pattern=reader.optional("file_date_pattern", parse.file_date_pattern),
        header_aliases=reader.optional("header_aliases", parse.header_aliases) or {},
        users=reader.required("users", parse.users),
        users_key=reader.optional("users_key", parse.users_key),
        keep_detail_days=reader.optional("keep_detail_days", parse.keep_detail_days),
        overlapping_exports=reader.required("overlapping_exports", parse.overlapping_exports),
        start_date=reader.required("start_date", parse.start_date),
        schedule=reader.required("schedule", parse.schedule),
        alert_webhook=reader.optional("alert_webhook", parse.alert_webhook),
        rejected_warn_percent=reader.required("rejected_warn_percent", parse.percent),
        rejected_error_percent=reader.required("rejected_error_percent", parse.percent),
        unmatched_warn_percent=reader.required("unmatched_warn_percent", parse.percent),
        export_max_age_days=reader.optional("export_max_age_days", parse.days),
        resources_max_age_days=reader.required("resources_max_age_days", parse.days),
        resources_shrinkage_percent=reader.required("resources_shrinkage_percent", parse.percent),
        daily_change_percent=reader.required("daily_change_percent", parse.change),
        underused_below_users=reader.required("underused_below_users", parse.users_count),
        power_user_days=reader.required("power_user_days", parse.active_days),
        regular_user_days=reader.required("regular_user_days", parse.active_days),
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
        except RefusedValue as refused:
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
                message = message.replace(secret, "***").replace(secret[: parse.SHOWN_CHARACTERS], "***")
        return message


_AWS_KEYS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
_SIGMA_API = ("sigma_client_id", "sigma_client_secret", "sigma_base_url")
