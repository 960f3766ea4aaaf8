"""What is taken from the answers of Sigma's API: texts and truth values within bounds. No answer is ever quoted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sigma_impressions.errors import SigmaApiError
from sigma_impressions.upstream.contract import ROWS_LIMIT, TEXT_LIMIT, as_text
from sigma_impressions.upstream.sigma_api import NOT_SIGMA


def text(entry: Mapping[str, Any], name: str) -> str | None:
    """A text of an entry. Raises `SigmaApiError` if it is none, or too long."""
    try:
        found = as_text(entry.get(name))
    except ValueError:
        raise SigmaApiError(f"{name} is not a text in the answer. {NOT_SIGMA}") from None
    if found is not None and len(found) > TEXT_LIMIT:
        raise SigmaApiError(f"{name} has more than {TEXT_LIMIT:,} characters in the answer. {NOT_SIGMA}")
    return found


def truth(entry: Mapping[str, Any], name: str, of: str) -> bool | None:
    """A truth value of an entry, which is of such a thing. Raises `SigmaApiError` if it is none."""
    found = entry.get(name)
    if not (found is None or isinstance(found, bool)):
        raise SigmaApiError(f"{name} of {of} is neither true nor false in the answer. {NOT_SIGMA}")
    return found


def check_count(found: int) -> None:
    """Raise `SigmaApiError` if there are more things than any organization has."""
    if found > ROWS_LIMIT:
        raise SigmaApiError(f"Sigma lists more than {ROWS_LIMIT:,} workbooks, elements or members. {NOT_SIGMA}")
