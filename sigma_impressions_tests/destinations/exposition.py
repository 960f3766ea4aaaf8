"""The metrics for operators as Prometheus reads them."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sigma_impressions.destinations.prometheus import HELP

Values = dict[str | tuple[str, str], float]
"""By the names without their prefix; those that have a label by name and value."""


def read(target: Path, source: str) -> Values:
    """The values of a file, all of one source."""
    found: Values = {}
    for family in text_string_to_metric_families(target.read_text(encoding="utf-8")):
        name = family.name.removeprefix("sigma_impressions_")
        assert (family.type, family.documentation) == ("gauge", HELP[name])
        for sample in family.samples:
            assert sample.name == family.name
            labels = dict(sample.labels)
            assert labels.pop("source") == source
            found[name if not labels else (name, *labels.values())] = sample.value  # type: ignore[index]
    return found
