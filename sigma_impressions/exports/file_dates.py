"""The file date: the UTC day an export file belongs to."""

from __future__ import annotations

import re
from datetime import UTC, date

from sigma_impressions.clouds.objects import StoredObject


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


# A pattern whose date stands at a fixed place, year before month before day, each of fixed width, after text that
# is always the same. Anything else is no match, also where it happens to mean the same.
_TEXT = r"((?:[A-Za-z0-9_/=:,@ -]|\\[^A-Za-z0-9])*)"
_SORTABLE = re.compile(
    rf"(\^?){_TEXT}"
    rf"\(\?P<year>(?:\\d\{{4\}}|\[0-9\]\{{4\}}|(?:\\d){{4}})\){_TEXT}"
    rf"\(\?P<month>(?:\\d\{{2\}}|\[0-9\]\{{2\}}|\\d\\d)\){_TEXT}"
    rf"\(\?P<day>(?:\\d\{{2\}}|\[0-9\]\{{2\}}|\\d\\d)\)(?![?*+{{])[^|]*"
)


def listing_start(pattern: re.Pattern[str], prefix: str, first: date) -> str | None:
    """The key after which all exports sort that carry `first` or a later day where the pattern's text says.

    None if that text does not promise that dates sort like keys: then the whole prefix is to be listed. Before the
    key returned lie the exports of earlier days, and also those that carry their date elsewhere, or none at all:
    who lists from here has to list the whole prefix now and then, or misses the latter.
    """
    shape = _SORTABLE.fullmatch(pattern.pattern)
    if shape is None or pattern.flags & ~re.UNICODE:
        return None
    anchor, before, after_year, after_month = (re.sub(r"\\(.)", r"\1", part) for part in shape.groups())
    if anchor and not before.startswith(prefix):
        return None
    start = before if anchor else prefix + before
    # The key of an export goes on after its day, at least with `.csv`, and so sorts after the day's own text.
    return f"{start}{first:%Y}{after_year}{first:%m}{after_month}{first:%d}"
