"""Read the settings: from texts to values, with all problems at once; leniently where definitions are made."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sigma_impressions.errors import Problem, RefusedValue, SettingsError
from sigma_impressions.paths import fault_of_path
from sigma_impressions.project import PROJECT_VARIABLE, local_path
from sigma_impressions.settings.declared import BY_NAME, SETTINGS, Setting, Settings
from sigma_impressions.settings.parse import RANDOM_USERS_KEY, SHOWN_CHARACTERS

_PREFIX = "SIGMA_IMPRESSIONS_"
_SOME_TEXT = "…"
"""Stands for a text that is not known yet."""

Texts = Mapping[str, str]
"""The text of every setting by its name, without white space around it; empty where nothing is set."""


def environment_values(environ: Mapping[str, str]) -> dict[str, str | None]:
    """The text of every setting by its name, as `read_settings` takes it; None where the variable is not set."""
    return {setting.name: environ.get(setting.variable) for setting in SETTINGS}


def read_settings(values: Mapping[str, str | None]) -> Settings:
    """Validate the texts of the settings, by setting name; blank and None mean not set.

    Raises `SettingsError` with all problems at once, `TypeError` for a name that is no setting.
    """
    unknown = sorted(set(values) - set(BY_NAME))
    if unknown:
        raise TypeError(f"no such settings: {', '.join(unknown)}")
    texts = _texts(values)
    found, problems = _evaluated(texts, BY_NAME)
    _refuse(problems, texts, lambda name: BY_NAME[name].variable)
    return Settings(**found)


def refuse_written(written: Mapping[str, str], later: Collection[str], named: Callable[[str], str]) -> None:
    """Raise `SettingsError` for what cannot be right in settings that are written down, whatever others will be.

    Those that are `later` have their text when a run starts. What is neither of both is not missed, if it need not
    go with what is given. `named` says what the settings are called in the messages.
    """
    texts = _texts({**written, **dict.fromkeys(later, _SOME_TEXT)})
    looked_at = [name for name in BY_NAME if name not in later and (texts[name] or not BY_NAME[name].required)]
    _refuse(_evaluated(texts, looked_at)[1], texts, named)


def _evaluated(texts: Texts, names: Iterable[str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The values of these settings, and the problems that they have, and that all have with each other."""
    found: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name in names:
        try:
            found[name] = value_of(BY_NAME[name], texts[name])
        except RefusedValue as refused:
            problems.append((name, str(refused)))
    problems += [*_aws_keys(texts), *_sigma_api(texts), *_users_key(texts), *_tiers(found), *_paths(found)]
    return found, problems


def _refuse(problems: Sequence[tuple[str, str]], texts: Texts, named: Callable[[str], str]) -> None:
    if problems:
        raise SettingsError(*(Problem(named(name), _without_secrets(message, texts)) for name, message in problems))


def read_leniently(environ: Mapping[str, str]) -> Settings:
    """The settings as far as they can be read; those that are refused have their default, or are None.

    For what is decided when a code location is loaded: it has to load with a mistake in a setting, too, which every
    run and tick then tells. `bucket_uri` may be None in spite of its type.
    """
    return Settings(**{setting.name: _lenient(setting, environ.get(setting.variable, "")) for setting in SETTINGS})


def value_of(setting: Setting, text: str) -> Any:
    """The value of a setting, given its text. Raises `RefusedValue`."""
    written = text.strip() or setting.default or ""
    return setting.rule(written) if written or setting.required else setting.absent


def _lenient(setting: Setting, text: str) -> Any:
    for tried in (text, ""):
        try:
            return value_of(setting, tried)
        except RefusedValue:
            continue
    return setting.absent


def misspelt(environ: Mapping[str, str]) -> list[Problem]:
    """The variables that look like settings and are none, each with the setting that it may be meant for."""
    known = [setting.variable for setting in SETTINGS]
    problems = []
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in (*known, PROJECT_VARIABLE):
            nearest = difflib.get_close_matches(variable, known, n=1, cutoff=0.0)
            problems.append(Problem(variable, f"is not a setting and has no effect. Perhaps {nearest[0]} is meant"))
    return problems


def _texts(values: Mapping[str, str | None]) -> Texts:
    return {name: (values.get(name) or "").strip() for name in BY_NAME}


def _aws_keys(texts: Texts) -> Iterator[tuple[str, str]]:
    """Both keys or neither, a token only with them, and none of them for a bucket that is not on S3."""
    key_id, secret, token = (texts[name] for name in _AWS_KEYS)
    given = [name for name in _AWS_KEYS if texts[name]]
    if given and re.match(r"gc?s://", texts["bucket_uri"], re.IGNORECASE):
        yield (
            given[0],
            "AWS keys are of no use with a gs:// bucket. Leave all AWS keys unset; the Google application "
            "default credentials are used (GOOGLE_APPLICATION_CREDENTIALS)",
        )
        return
    both = "Set both keys, or neither to use the ambient AWS credentials"
    if key_id and not secret:
        yield "aws_secret_access_key", f"is not set, but the access key ID is. {both}"
    if secret and not key_id:
        yield "aws_access_key_id", f"is not set, but the secret access key is. {both}"
    if token and not (key_id or secret):
        yield (
            "aws_session_token",
            "is set without the key pair it belongs to. Set the access key ID and the secret access key too, "
            "or unset the token",
        )


def _sigma_api(texts: Texts) -> Iterator[tuple[str, str]]:
    """Everything that the Sigma REST API needs, or nothing of it."""
    given = [name for name in _SIGMA_API if texts[name]]
    for name in _SIGMA_API if given else ():
        if not texts[name]:
            yield (
                name,
                f"is not set, but {BY_NAME[given[0]].variable} is. The Sigma REST API needs "
                "SIGMA_CLIENT_ID, SIGMA_CLIENT_SECRET and SIGMA_BASE_URL; set all three, or none",
            )


def _users_key(texts: Texts) -> Iterator[tuple[str, str]]:
    """Pseudonyms need a key."""
    if texts["users"].lower() == "pseudonym" and not texts["users_key"]:
        yield (
            "users_key",
            f"is not set, but SIGMA_IMPRESSIONS_USERS is pseudonym. Write {RANDOM_USERS_KEY}, and keep a copy: with "
            "another key every user gets another pseudonym",
        )


def _tiers(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A power user is active on more days than a regular one."""
    power, regular = found.get("power_user_days"), found.get("regular_user_days")
    if power and regular and power <= regular:
        yield (
            "power_user_days",
            f"must be more days than SIGMA_IMPRESSIONS_REGULAR_USER_DAYS, {regular}, not {power}",
        )


def _paths(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What lies on this machine lies where all libraries that use it find it, wherever the project's folder is."""
    for setting in SETTINGS:
        text = found.get(setting.name)
        if not setting.path or text is None or "://" in text:
            continue
        try:
            fault = fault_of_path(local_path(text), of_tables=setting.name == "storage")
        except RefusedValue as refused:
            yield setting.name, str(refused)
        else:
            if fault is not None:
                yield setting.name, f"leads to a path that {fault}"


def _without_secrets(message: str, texts: Texts) -> str:
    # A value is quoted only where it helps. Someone may still have pasted a secret into that variable as well.
    for setting in SETTINGS:
        secret = texts[setting.name]
        if setting.secret and len(secret) >= 4:
            message = message.replace(secret, "***").replace(secret[:SHOWN_CHARACTERS], "***")
    return message


_AWS_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_SIGMA_API = ("sigma_client_id", "sigma_client_secret", "sigma_base_url")
