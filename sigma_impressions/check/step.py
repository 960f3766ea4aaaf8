"""One step of the test of a source."""

from __future__ import annotations

from dataclasses import dataclass

from sigma_impressions.texts import printable


@dataclass(frozen=True)
class Step:
    """One step of the test; `passed` is None if it could not be tried because an earlier one failed.

    The message is one line, whatever keys and headers it names.
    """

    name: str
    passed: bool | None
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", printable(self.message))
