"""The component for `dg` projects: the pipeline as one more folder of a code location that exists already."""

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from sigma_impressions.defs.build import build_definitions
from sigma_impressions.defs.names import Names
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.settings.declared import SETTINGS, Setting
from sigma_impressions.settings.parse import NONE
from sigma_impressions.settings.read import refuse_written
from sigma_impressions.texts import printable

_SECRETS = [setting.name for setting in SETTINGS if setting.secret]


class Variable(dg.Model, dg.Resolvable):
    """A value that is read from the environment when a run starts: `env: NAME`."""

    env: str = Field(description="Name of the environment variable.")


def _field(setting: Setting) -> tuple[Any, Any]:
    description = setting.help if setting.default is None else f"{setting.help} Default: {setting.default}."
    if setting.secret:
        # Text is accepted here and refused below: Dagster shows the line of the file where a type is wrong.
        return Variable | str | None, Field(default=None, description=f"{description} Write env: NAME_OF_A_VARIABLE.")
    return str | int | bool | Variable | None, Field(default=None, description=description)


# The attributes are the settings: their names, defaults and help are written once.
_Settings: Any = create_model("_Settings", __base__=dg.Model, **{s.name: _field(s) for s in SETTINGS})  # type: ignore[call-overload]


class ScaffoldOptions(BaseModel):
    """What `dg scaffold defs` asks for."""

    bucket_uri: str = Field(default="s3://bucket/prefix", description="Where Sigma writes its exports.")
    asset_key_prefix: str | None = Field(
        default=None,
        description="What the asset keys begin with, parts separated by slashes; default: the folder's name.",
    )


class _Scaffolder(dg.Scaffolder[ScaffoldOptions]):
    """Writes `defs.yaml` with what every source needs."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldOptions]:
        return ScaffoldOptions

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldOptions]) -> None:
        named = request.params.asset_key_prefix
        folder = re.sub(r"[^A-Za-z0-9]+", "_", request.target_path.name).strip("_")
        prefix = named.strip("/").split("/") if named else [folder]
        Names(tuple(prefix))
        dg.scaffold_component(request, {"asset_key_prefix": prefix, "bucket_uri": request.params.bucket_uri})


@dg.scaffold_with(_Scaffolder)
class SigmaImpressionsComponent(dg.Component, _Settings, dg.Resolvable):  # type: ignore[misc]
    """Usage metrics of Sigma workbooks and elements, from the audit-log exports in a bucket.

    The attributes are the settings of the source. A code location may hold several, each with its own asset key
    prefix, which names its jobs, sensors and group too, and with a storage location of its own.
    """

    # The text of an error must not repeat a secret that was written where a variable belongs.
    model_config = ConfigDict(hide_input_in_errors=True)

    asset_key_prefix: list[str] = Field(
        default_factory=list, description="What the asset keys begin with, for example [emea]; default: nothing."
    )

    executor: str = Field(
        default="dagster:in_process_executor",
        description=(
            "What runs the steps of the jobs, as package.module:name, for example dagster_celery:celery_executor; "
            "default: one process for all steps."
        ),
    )

    @field_validator("executor")
    @classmethod
    def _executor_is_one(cls, value: str) -> str:
        _executor(value)
        return value

    @field_validator(*_SECRETS, mode="before")
    @classmethod
    def _no_secret_in_a_file(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("is a secret. Write env: and the name of the environment variable that holds it")
        return value

    @field_validator("asset_key_prefix")
    @classmethod
    def _prefix_gives_names(cls, value: list[str]) -> list[str]:
        Names(tuple(value))
        return value

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the pipeline, under the names that the prefix gives.

        Raises `SettingsError` for what is written in the file and cannot be right; what is read from the environment
        when a run starts may not be there yet.
        """
        names = Names(tuple(self.asset_key_prefix))
        values = dict(self._values(context.project_root, names))
        later = {name for name, value in values.items() if isinstance(value, dg.EnvVar)}
        written = {name: value for name, value in values.items() if name not in later}
        refuse_written(written, later, lambda name: f"attributes.{name}")
        return build_definitions(
            source=SigmaSource(**values),
            environ={
                setting.variable: _text_now(values[setting.name]) for setting in SETTINGS if setting.name in values
            },
            names=names,
            executor=_executor(self.executor),
        )

    def _values(self, project: Path, names: Names) -> Iterator[tuple[str, str]]:
        """The text of every setting that has one; of a variable, what Dagster reads when a run starts."""
        folder = project / "data" / "__".join(names.prefix)
        own = {"storage": folder, "cache": folder / "cache"}
        for setting in SETTINGS:
            written = getattr(self, setting.name)
            if isinstance(written, Variable):
                yield setting.name, dg.EnvVar(written.env)
            elif written is None or written == "":
                if setting.name in own:
                    yield setting.name, str(own[setting.name])
            elif isinstance(written, bool):
                yield setting.name, "on" if written else "off"
            elif setting.path and "://" not in str(written) and str(written).lower() != NONE:
                # A relative one starts at the folder of the `dg` project. The home of an unknown user stays as it is.
                yield setting.name, str(project / os.path.expanduser(str(written)))  # noqa: PTH111
            else:
                yield setting.name, str(written)


def _executor(named: str) -> dg.ExecutorDefinition:
    module, _, name = named.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        found = None
    if not isinstance(found, dg.ExecutorDefinition):
        raise ValueError(
            f"names no executor of Dagster that can be imported: {printable(named)}. Write package.module:name, for "
            "example dagster:multiprocess_executor, and install its package"
        )
    return found


def _text_now(value: str) -> str:
    return os.environ.get(value.env_var_name, "") if isinstance(value, dg.EnvVar) else value
