"""The one exception with which reading an export file ends when the file as a whole is unusable."""

from __future__ import annotations

from typing import Literal

from sigma_impressions.texts import printable

RefusalReason = Literal[
    "empty file",
    "not a CSV file",
    "cannot be decompressed",
    "cannot be decoded",
    "no header line",
    "ambiguous header",
    "missing required column",
    "malformed quoting",
    "field too large",
    "too many columns",
    "expands too far",
]
"""Short codes of the reasons for which a file is refused (docs/troubleshooting.md, "A file was refused")."""


class RefusedFile(Exception):
    """An export file that cannot be read; the other files of its day are processed.

    `reason` is the short code that is stored and counted; `detail` is a sentence for a person: what is wrong,
    where, and what to do about it, on one line.
    """

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: RefusalReason = reason
        self.detail = printable(detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
