"""What the definitions of one pipeline are called, so that several of them fit into one code location."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from sigma_impressions.defs.metadata import GROUP
from sigma_impressions.defs.sigma_source import SigmaSource
from sigma_impressions.settings.declared import Settings

_RESOURCE = "source"
_DAYS = "days"


@dataclass(frozen=True)
class Names:
    """The names of a pipeline whose asset keys begin with `prefix`; without one, the plain names.

    Jobs, sensors, schedules, steps, the group and the resource have one-part names: the parts of the prefix and the
    plain name, joined as Dagster joins an asset key. A part with two underscores is refused, so that no two
    prefixes give the same name. Raises `ValueError`.
    """

    prefix: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in self.prefix:
            if re.fullmatch(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)*", part) is None:
                raise ValueError(
                    f"{part!r} cannot be part of an asset key prefix. Write letters, digits and single underscores "
                    "between them, for example emea"
                )

    def key(self, name: str) -> dg.AssetKey:
        """The key of an asset."""
        return dg.AssetKey([*self.prefix, name])

    def keys(self, names: Iterable[str]) -> list[dg.AssetKey]:
        """The keys of several assets."""
        return [self.key(name) for name in names]

    def name(self, name: str) -> str:
        """The name of a job, sensor, schedule or step."""
        return "__".join([*self.prefix, name])

    @property
    def group(self) -> str:
        """The group of the assets of a scan."""
        return self.name(GROUP)

    @property
    def resource(self) -> str:
        """The key of the resource that holds the settings."""
        return self.name(_RESOURCE)

    @property
    def days(self) -> str:
        """The key of the resource that gives days to a run that was launched without any."""
        return self.name(_DAYS)

    @property
    def resources_of_days(self) -> set[str]:
        """The keys of what an asset with daily partitions needs."""
        return {self.resource, self.days}

    def source_of(self, resources: Any) -> SigmaSource:
        """The resource with the texts of the settings, of the resources that a context gives."""
        return cast(SigmaSource, getattr(resources, self.resource))

    def settings_of(self, resources: Any) -> Settings:
        """The validated settings, of the resources that a context gives. Raises `SettingsError`."""
        return self.source_of(resources).settings()


PLAIN_NAMES = Names()
"""The names without a prefix."""
