"""What the checks of one run after the other have found: each finding once, and none that a later run made untrue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sigma_impressions.windows import span

Days = tuple[date, date]
"""The first and the last of consecutive days."""


@dataclass(frozen=True)
class Evaluation:
    """What a check said in a run over some days; `of_days` if it asks about these days alone."""

    asset: str
    check: str
    severity: Literal["WARN", "ERROR"]
    passed: bool
    text: str
    days: Days
    of_days: bool


@dataclass(frozen=True)
class Finding:
    """A check that did not pass: the newest of the gravest that it said, and of which other days it did not either."""

    said: Evaluation
    others: tuple[Days, ...] = ()

    def __str__(self) -> str:
        found = self.said
        days = f" of {span(*found.days)}" if found.of_days else ""
        said = f"{found.asset}, {found.check}{days}: {found.text}"
        if not self.others:
            return said
        return f"{said.removesuffix('.')}. Also of {', '.join(span(*other) for other in self.others)}."

    def as_json(self) -> dict[str, Any]:
        """The finding as a JSON object; without days if it is one of all days."""
        found = self.said
        days = sorted([*self.others, found.days]) if found.of_days else []
        return {
            "asset": found.asset,
            "check": found.check,
            "severity": found.severity,
            "text": found.text,
            "days": [[str(first), str(last)] for first, last in _joined(days)],
        }


def findings(evaluations: Sequence[Evaluation]) -> list[Finding]:
    """The findings of runs, oldest first in `evaluations`: of a check that asks about all days its last word counts."""
    said: dict[tuple[str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        of_check = said.setdefault((evaluation.asset, evaluation.check), [])
        if not evaluation.of_days:
            of_check.clear()
        of_check.append(evaluation)
    found = []
    for of_check in said.values():
        if failed := [evaluation for evaluation in of_check if not evaluation.passed]:
            # Of one colour the last one: what is red stays red, whatever is yellow later.
            gravest = [evaluation for evaluation in failed if evaluation.severity == "ERROR"] or failed
            others = [evaluation.days for evaluation in failed if evaluation is not gravest[-1]]
            found.append(Finding(gravest[-1], tuple(_joined(others))))
    return found


def _joined(spans: Sequence[Days]) -> list[Days]:
    """Consecutive days, in order, with those joined that follow each other."""
    joined: list[Days] = []
    for first, last in spans:
        if joined and first <= joined[-1][1] + timedelta(days=1):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
