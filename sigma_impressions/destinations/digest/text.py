"""The digest in words: one text, for a terminal, a chat and the Dagster UI.

It names workbooks and counts people. No user and no owner is named, as a chat and Dagster's records have many readers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from sigma_impressions.destinations.digest.week import DAYS, Digest, Listed, Moved, NotCounted, Unused, Week
from sigma_impressions.exports.manifest import REMEDIES
from sigma_impressions.texts import change, markdown, mrkdwn, printable, value
from sigma_impressions.users import without_address
from sigma_impressions.windows import LONGEST_WINDOW, span

T = TypeVar("T")

_NAME: Final = 60
"""Characters of a name that a line shows."""

_QUOTES: Final = re.compile('[“”„‟"]')

_LABEL: Final = 18


@dataclass(frozen=True)
class Line:
    """What a line is about, and what it says. Names in it stand in quotes, which no name holds."""

    about: str
    says: str


@dataclass(frozen=True)
class Text:
    """The digest as it is told; `link` leads to the report."""

    title: str
    lines: tuple[Line, ...]
    link: str | None

    def plain(self) -> list[str]:
        """The lines for a terminal."""
        lines = [*self.lines, *([Line("Report", self.link)] if self.link else [])]
        return [printable(self.title), *(f"{line.about:<{_LABEL}}{printable(line.says)}" for line in lines)]

    def mrkdwn(self) -> str:
        """The text for a chat."""
        # An address of the settings has no character that ends the link.
        link = [f"<{self.link.replace('&', '&amp;')}|The usage report>"] if self.link else []
        lines = [f"• *{line.about}:* {mrkdwn(line.says)}" for line in self.lines]
        return "\n".join([f"*{mrkdwn(self.title)}*", *lines, *link])

    def markdown(self) -> str:
        """The text for the Dagster UI."""
        link = ["", f"[The usage report](<{self.link}>)"] if self.link else []
        lines = [f"- **{line.about}:** {markdown(line.says)}" for line in self.lines]
        return "\n".join([f"**{markdown(self.title)}**", "", *lines, *link])


def digest_text(digest: Digest, source: str, link: str | None = None) -> Text:
    """The digest of a source in words, with a link to where people open the report."""
    week = digest.week
    what = span(week.first_day, week.last_day) if week else "no new week"
    told = _of_week(week) if week else [Line("Nothing new", _nothing_new(digest))]
    return Text(f"{value(source)}: {what}", (*told, *_files(digest)), link)


def _nothing_new(digest: Digest) -> str:
    last = digest.last_complete_day
    if last is None:
        return "no export file has been read, so no day is complete. sigma-impressions status says what is to do."
    return (
        f"the last complete day is {last}, {(digest.told_on - last).days} days ago. The exports have stopped, or the "
        "runs that read them; sigma-impressions status says which."
    )


def _of_week(week: Week) -> Iterator[Line]:
    if not week.now.captured:
        yield Line("Views", f"not known: none of the {DAYS} days was captured.")
    elif not week.now.views:
        nobody = f"nobody viewed anything{'' if week.now.are_known else ' on those that were captured'}"
        before = f"; {week.before.views:,} in the {DAYS} days before" if week.before.are_known else ""
        yield Line("Views", f"none: {nobody}{before}.")
    else:
        yield Line("Views", f"{_compared(week, week.now.views, week.before.views)}.")
        yield Line("People", f"{_compared(week, week.now.people, week.before.people)}.")
    if week.movements is None:
        yield Line("Not compared", f"{_not_all_captured(week)} So nothing is said to rise or fall.")
    else:
        yield Line("Rising", _listed(week.movements.rising, "", _moved))
        yield Line("Falling", _listed(week.movements.falling, "", _moved))
    if week.newly_unused is None:
        yield Line(
            "Newly unused", f"not known: not all of the {LONGEST_WINDOW} days up to {week.last_day} were captured."
        )
    else:
        reached = f" reached {LONGEST_WINDOW} days without a view"
        yield Line("Newly unused", _listed(week.newly_unused, reached, _unused))


def _compared(week: Week, now: int, before: int) -> str:
    if not week.now.are_known:
        return f"{now:,} on the {week.now.captured} of {DAYS} days that were captured"
    if not week.before.are_known:
        return f"{now:,}"
    return f"{now:,}; {change(now, before)} in the {DAYS} days before"


def _not_all_captured(week: Week) -> str:
    captured, first = week.now.captured + week.before.captured, week.first_day - timedelta(days=DAYS)
    return f"only {captured} of the {2 * DAYS} days from {first} to {week.last_day} were captured."


def _listed(found: Listed[T], did: str, described: Callable[[T], str]) -> str:
    """How many workbooks did something, the first ones by name, and how many more."""
    if not found.of_them:
        return f"none{did}."
    named = ", ".join(map(described, found.first))
    more = found.of_them - len(found.first)
    plural = "" if found.of_them == 1 else "s"
    return f"{found.of_them:,} workbook{plural}{did}: {named}{f' and {more:,} more' if more else ''}."


# Words stand between names and figures: figures beside a name that is read from right to left would change places.


def _moved(one: Moved) -> str:
    return f"{_name(one.name)} from {one.before:,} to {one.now:,} views"


def _unused(one: Unused) -> str:
    return f"{_name(one.name)} last viewed on {one.last_viewed}"


def _name(name: str) -> str:
    shown = _QUOTES.sub("'", printable(without_address(" ".join(name.split())), _NAME))
    return f"“{shown}”"


def _files(digest: Digest) -> Iterator[Line]:
    since = f" since {digest.files_since}" if digest.files_since else ""
    if not digest.not_counted:
        yield Line("Files", f"none was refused or unreadable{since}.")
    for files in digest.not_counted:
        yield Line(f"{files.status} files".capitalize(), f"{_not_counted(files, since)} {REMEDIES[files.status]}")


def _not_counted(files: NotCounted, since: str) -> str:
    which = ":" if files.files == 1 else "; the newest is"
    return f"{files.files:,}{since}{which} {value(files.newest)} ({value(files.reason)})."
