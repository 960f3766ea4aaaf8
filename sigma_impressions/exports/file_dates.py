"""The file date: the UTC day an export file belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date
from functools import cached_property, lru_cache
from typing import Any

from sigma_impressions.clouds.objects import StoredObject


@dataclass(frozen=True)
class KeyPattern:
    """A regular expression that reads the file date from a key; two of the same text are equal.

    Whoever may write to the bucket chooses the keys, so they are matched by RE2, in time that grows with the key's
    length and no faster.
    """

    text: str

    @cached_property
    def _compiled(self) -> Any:
        import re2

        options = re2.Options()
        options.log_errors = False
        # Of bytes: for texts the library counts characters, which takes longer than the match.
        return re2.compile(self.text.encode(), options)

    def problem(self) -> str | None:
        """Why it cannot be used, and what to write instead; None if it can."""
        import re2

        try:
            groups = {str(name, "utf-8") for name in self._compiled.groupindex}
        except (re2.error, UnicodeEncodeError) as error:
            return _of_pattern(str(error.args[0], "utf-8", "replace") if isinstance(error, re2.error) else "no text")
        # RE2 takes for the characters themselves what it does not know as a repetition.
        if re.search(r"\{,[0-9]+\}", self.text):
            return "holds {,n}, which is no repetition to RE2. Write {0,n}"
        if re.search(r"\{[0-9,]*[0-9]{5}", self.text):
            return _of_pattern("invalid repetition size")
        named = re.findall(r"\(\?P?<(\w+)>", self.text)
        if missing := [group for group in _GROUPS if group not in groups]:
            return f"lacks the named groups {', '.join(missing)}. Name all three, {_EXAMPLE}"
        if twice := [group for group in _GROUPS if named.count(group) > 1]:
            return f"names the group {twice[0]} twice. Name each once, {_EXAMPLE}"
        return None

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        groups = self._compiled.groupindex
        return tuple(groups[group.encode()] for group in _GROUPS)

    def date_in(self, key: str) -> date | None:
        """The day that year, month and day name in the key; None without a match, or if there is no such day."""
        match = self._compiled.search(key.encode())
        return None if match is None else _day(*match.group(*self._numbers))


_GROUPS = ("year", "month", "day")


@lru_cache(maxsize=10_000)
def _day(*groups: bytes | None) -> date | None:
    """The day of the groups of a match, of which there are few, in many keys."""
    # Two digits of a year would be a guess at its century, so they are no match; `int` alone would also take
    # signs, spaces and the digits of other scripts. A group that took no part is none either.
    year, month, day = (group or b"" for group in groups)
    if not (re.fullmatch(rb"[0-9]{4}", year) and all(re.fullmatch(rb"[0-9]{1,2}", n) for n in (month, day))):
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


_EXAMPLE = r"for example (?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"

_NOT_IN_RE2 = (
    (r"invalid perl operator: \(\?<?[=!]", "look-around", "Write what stands before or behind as part of the pattern"),
    (r"invalid perl operator: \(\?P$", "a back reference ((?P=name))", "Write the group's own pattern again"),
    (r"invalid escape sequence: \\[1-9]", "a back reference (\\1)", "Write the group's own pattern again"),
    (r"invalid escape sequence: \\Z", "\\Z", "Write \\z or $ for the end of the key"),
    (r"invalid perl operator: \(\?>", "an atomic group", "Write (?:…)"),
    (r"invalid perl operator: \(\?\(", "a conditional", "Write both cases with | between them"),
    (r"bad repetition operator: [*+?}\d{,]+\+$", "a possessive quantifier", "Leave out its last +"),
    (r"invalid perl operator: \(\?#", "a comment", "Leave it out"),
    (r"invalid perl operator: \(\?[aLux]", "a flag other than i, m and s", "Leave it out"),
    (r"invalid repetition size|pattern too large", "a repetition that is too large", "Repeat at most 1000 times"),
)
"""By RE2's message: what regular expressions may have elsewhere and RE2 has not, and what to write instead."""


def _of_pattern(message: str) -> str:
    for known, construct, remedy in _NOT_IN_RE2:
        if re.match(known, message):
            return f"holds {construct}, which is not supported: keys are matched by RE2. {remedy}"
    reason = message.partition(":")[0]
    return (
        f"is not a regular expression that can be used ({reason}). Write one with the named groups year, month and "
        f"day, {_EXAMPLE}"
    )


def file_date(item: StoredObject, pattern: KeyPattern | None) -> tuple[date, bool]:
    """The UTC day an export file belongs to, and whether `pattern` did not give it.

    Without a pattern it is the day of the last-modified time. With one (named groups `year`, `month`, `day`,
    found anywhere in the key) it is read from the key; a key that does not match, or names a day that does not
    exist, falls back to last-modified and the second value is True, so that the caller can report the key.
    """
    found = None if pattern is None else pattern.date_in(item.key)
    return (item.last_modified.astimezone(UTC).date(), pattern is not None) if found is None else (found, False)


# A pattern whose date stands at a fixed place, year before month before day, each of fixed width, after text that
# is always the same. Anything else is no match, also where it happens to mean the same.
_TEXT = r"((?:[A-Za-z0-9_/=:,@ -]|\\[^A-Za-z0-9])*)"
_SORTABLE = re.compile(
    rf"(\^?){_TEXT}"
    rf"\(\?P<year>(?:\\d\{{4\}}|\[0-9\]\{{4\}}|(?:\\d){{4}})\){_TEXT}"
    rf"\(\?P<month>(?:\\d\{{2\}}|\[0-9\]\{{2\}}|\\d\\d)\){_TEXT}"
    rf"\(\?P<day>(?:\\d\{{2\}}|\[0-9\]\{{2\}}|\\d\\d)\)(?![?*+{{])[^|]*"
)


def listing_start(pattern: KeyPattern, prefix: str, first: date) -> str | None:
    """The key after which all exports sort that carry `first` or a later day where the pattern's text says.

    None if that text does not promise that dates sort like keys: then the whole prefix is to be listed. Before the
    key returned lie the exports of earlier days, and also those that carry their date elsewhere, or none at all:
    who lists from here has to list the whole prefix now and then, or misses the latter.
    """
    shape = _SORTABLE.fullmatch(pattern.text)
    if shape is None:
        return None
    anchor, before, after_year, after_month = (re.sub(r"\\(.)", r"\1", part) for part in shape.groups())
    if anchor and not before.startswith(prefix):
        return None
    start = before if anchor else prefix + before
    # The key of an export goes on after its day, at least with `.csv`, and so sorts after the day's own text.
    return f"{start}{first:%Y}{after_year}{first:%m}{after_month}{first:%d}"
