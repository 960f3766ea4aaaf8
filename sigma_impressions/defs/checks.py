"""A check: what it asks, how grave a No is, and the results that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from sigma_impressions.texts import markdown, printable, value

WARN: Final = dg.AssetCheckSeverity.WARN
ERROR: Final = dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Check:
    """A check of an asset, whatever the key of the asset is in a code location.

    `description` says what is asked and what to do after a No. With `blocking` a No stops what is downstream. One that
    is `of_days` asks about the days of a run alone, so that a run over other days leaves its answer true.
    """

    name: str
    description: str
    severity: dg.AssetCheckSeverity = WARN
    bound: str = ""
    """The setting that says how much is still a Yes: a No names it."""
    blocking: bool = False
    of_days: bool = False

    def spec(self, key: dg.AssetKey) -> dg.AssetCheckSpec:
        """The check as the asset of this key declares it."""
        return dg.AssetCheckSpec(self.name, asset=key, description=self.description, blocking=self.blocking)

    def result(
        self,
        key: dg.AssetKey,
        failure: str | None,
        *,
        severity: dg.AssetCheckSeverity | None = None,
        **figures: Any,
    ) -> dg.AssetCheckResult:
        """A result: `failure` is None, or says what is wrong and what to do; `figures` are shown in any case.

        Both may name keys and headers: the UI, to which a description is Markdown, shows them as they are.
        """
        remedy = f" If that is usual, set {self.bound}." if self.bound else ""
        return dg.AssetCheckResult(
            check_name=self.name,
            asset_key=key,
            passed=failure is None,
            severity=severity or self.severity,
            description=None if failure is None else markdown(f"{failure}{remedy}"),
            metadata={name: printable(it) if isinstance(it, str) else it for name, it in figures.items()},
        )


def largest(counts: Sequence[tuple[str, int]], shown: int = 3) -> str:
    """The first of some reasons, the largest first, each with its count, as part of a sentence that stands alone.

    A terminal and an alert show the sentence only, and no table beside it.
    """
    named = [f"{count:,} {value(reason)}" for reason, count in counts[:shown]]
    others = sum(count for _, count in counts[shown:])
    return ", ".join([*named, *([f"{others:,} for other reasons"] if others else [])])
