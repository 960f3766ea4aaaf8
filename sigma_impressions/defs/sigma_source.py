"""The settings of a source as a Dagster resource."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import ConfigDict, Field, create_model

from sigma_impressions.defs.signs_of_life import signs_of_life
from sigma_impressions.errors import Problem, SettingsError
from sigma_impressions.settings.declared import SETTINGS, Settings
from sigma_impressions.settings.read import read_settings


class _Source(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the Sigma exports lie and how they are read; every value is text, as the environment gives it.

    Values are checked when a run uses them, so that a code location with nothing set, or with a mistake, loads.
    """

    # The text of an error must not repeat a value that may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> SigmaSource:
        """A source whose set values are read from the environment when a run starts.

        Only the variables that are set become `EnvVar`s: Dagster refuses a run for one that is not, before we
        could say what to set.
        """
        present = os.environ if environ is None else environ
        return SigmaSource(
            **{
                setting.name: dg.EnvVar(setting.variable)
                for setting in SETTINGS
                if present.get(setting.variable, "").strip()
            }
        )

    def refuse_written_secrets(self) -> None:
        """Raise `SettingsError` for secrets that are no `EnvVar`s: Dagster shows what a definition holds.

        Not for a source within a run, where the variables have been read.
        """
        given = [(s, getattr(self, s.name)) for s in SETTINGS if s.secret]
        written = [setting for setting, value in given if value and not isinstance(value, dg.EnvVar)]
        problems = (
            Problem(
                setting.variable,
                f"is a secret, which the Dagster UI would show. Give SigmaSource {setting.name} as dg.EnvVar with the "
                "name of the variable that holds it",
            )
            for setting in written
        )
        if written:
            raise SettingsError(*problems)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """The resource for the steps of a run in this process, which says meanwhile that it is there."""
        with ExitStack() as stack:
            if context.run is not None and context.instance is not None:
                stack.enter_context(signs_of_life(context.instance, context.run.run_id))
            yield self

    def settings(self) -> Settings:
        """The validated settings. Raises `SettingsError` that lists every problem and what to write instead."""
        return read_settings(self.values())

    def values(self) -> dict[str, str | None]:
        """The text of every setting by its name, as `read_settings` takes it."""
        return {setting.name: getattr(self, setting.name) for setting in SETTINGS}


if TYPE_CHECKING:

    class SigmaSource(_Source):
        """See `_Source`."""

        def __init__(self, **values: Any) -> None: ...

else:
    SigmaSource = create_model(
        "SigmaSource",
        __base__=_Source,
        __module__=__name__,
        __doc__=_Source.__doc__,
        **{
            setting.name: (str | None, Field(default=None, description=setting.help, repr=not setting.secret))
            for setting in SETTINGS
        },
    )
