"""The file date: the UTC day an export file belongs to."""

from __future__ import annotations

import re
from datetime import UTC, date

from sigma_impressions.exports.objects import StoredObject


def file_date(item: StoredObject, pattern: re.Pattern[str] | None) -> tuple[date, bool]:
    """The UTC day an export file belongs to, and whether `pattern` did not give it.

    Without a pattern it is the day of the last-modified time. With one (named groups `year`, `month`, `day`,
    found anywhere in the key) it is read from the key; a key that does not match, or names a day that does not
    exist, falls back to last-modified and the second value is True, so that the caller can report the key.
    """
    modified = item.last_modified.astimezone(UTC).date()
    if pattern is None:
        return modified, False
    found = _date_in(item.key, pattern)
    return (modified, True) if found is None else (found, False)


def _date_in(key: str, pattern: re.Pattern[str]) -> date | None:
    match = pattern.search(key)
    if match is None:
        return None
    year, month, day = (match[group] or "" for group in ("year", "month", "day"))
    # Two digits of a year would be a guess at its century, so they are no match; `int` alone would also take
    # signs, spaces and the digits of other scripts.
    if not (re.fullmatch(r"[0-9]{4}", year) and all(re.fullmatch(r"[0-9]{1,2}", n) for n in (month, day))):
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
