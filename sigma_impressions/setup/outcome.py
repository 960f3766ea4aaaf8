"""What comes of an interview: the test of the source, the files that are written, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from sigma_impressions.check.source import check_source
from sigma_impressions.check.step import Step
from sigma_impressions.errors import OperatorError, SettingsError
from sigma_impressions.project import ENV_FILE, local_path, use_dagster_home
from sigma_impressions.settings.declared import BY_NAME
from sigma_impressions.settings.env_file import read_env_text
from sigma_impressions.settings.read import environment_values, read_leniently
from sigma_impressions.setup.env_text import merged, write_env_text
from sigma_impressions.setup.interview import Interview
from sigma_impressions.upstream.template import resources_template
from sigma_impressions.windows import window

_SUSPECTS = {
    "storage": ("storage",),
    "credentials": ("aws_credentials", "google_credentials"),
    "list": ("aws_secret_access_key", "aws_credentials", "google_credentials"),
    "get": ("aws_secret_access_key", "aws_credentials", "google_credentials"),
    "resources": ("sigma_client_secret", "resources"),
    "match": ("sigma_base_url", "resources"),
}
"""By the step that fails, the answers that are most often wrong then; of all others it is the bucket."""


@dataclass(frozen=True)
class Saved:
    """What was written: variables of the file `.env`, those that were taken out of it, and perhaps a template."""

    written: list[str]
    removed: list[str]
    template: Path | None


def tried(interview: Interview) -> Iterator[Step]:
    """The steps of `check` over the answers. Nothing is written for it; a template is not missed yet."""
    with _environment_of(interview.effective):
        for step in check_source(environment_values(os.environ)):
            if interview.has_template and step.name == "resources":
                yield Step(step.name, None, "will be a template, which has to be filled in first")
            else:
                yield step


def suspect(failed: Step, interview: Interview) -> str:
    """The name of the question that is offered first for correction when a step has failed."""
    asks_for_bucket = BY_NAME["bucket_uri"].variable in failed.message
    suspects = () if asks_for_bucket else _SUSPECTS.get(failed.name, ())
    return next((name for name in suspects if name in interview.answers), "bucket_uri")


def save(project: Path, interview: Interview) -> Saved:
    """Write what the answers change into the project's `.env`, and perhaps a template. Raises `OperatorError`.

    The folder of the Dagster instance is made too, so that Dagster has our settings from its first process on.
    """
    changes, path = interview.changes, project / ENV_FILE
    template = local_path(interview.answers["resources"]) if interview.has_template else None
    # As it is now: somebody may have edited it meanwhile.
    text = merged(read_env_text(path), changes)
    if changes or path.exists():
        write_env_text(path, text)
    if template is not None:
        _write_template(template)
    # Where it cannot be made, the test has told it, and every run does.
    with _environment_of(interview.effective), suppress(SettingsError):
        use_dagster_home(project)
    return Saved(
        [name for name, value in changes.items() if value is not None],
        [name for name, value in changes.items() if value is None],
        template,
    )


def next_commands(interview: Interview, has_passed: bool, today: date) -> list[tuple[str, str]]:
    """What to enter next, and what each does."""
    settings = read_leniently(interview.effective)
    first = max(window(today)[0], min(settings.start_date, today))
    if interview.has_template:
        test = [("check", "when the template is filled in")]
    else:
        test = [] if has_passed else [("check", "test the source")]
    return [
        *test,
        ("run", f"count the last {settings.days_back} days"),
        (f"backfill --from {first} --to {today}", "and the days before"),
        ("report --open", "look at the result"),
    ]


def _write_template(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(resources_template())
    except OSError as error:
        raise OperatorError(f"The template {path} cannot be written: {error.strerror}.") from None


@contextmanager
def _environment_of(variables: Mapping[str, str]) -> Iterator[None]:
    """Inside, these are the variables of this process: SDKs look for theirs nowhere else."""
    before = dict(os.environ)
    _change_environment(variables)
    try:
        yield
    finally:
        _change_environment(before)


def _change_environment(variables: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)
