"""Texts from outside, made inert for the place where they are shown: whatever a key or a name holds, it is only read.

Keys of objects, cells of a header, values of rows, names and paths in Sigma, URLs, texts of settings: all of them may
have been written by somebody who wants the reader to see something else, to click, or to fetch.
"""

from __future__ import annotations

import re
import unicodedata

VALUE = 200
"""Characters of one text from outside that a message shows."""

LINE = 4_000
"""Characters of a line of a terminal, a log, a table of the UI."""

HTTP_URL = r"(?i)^https?://[^\s/?#]"
"""URLs that may become links; any other scheme is never one."""

FORMULA = r'(^|[;|\t\r\n])(["\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\p{Z}\p{Cf}]*[=+\-@＝＋－＠])'
"""What a spreadsheet may take for a formula, for the regular expressions of DuckDB: a cell that begins so.

Cells begin at the beginning of the text, and where a spreadsheet cuts it although it is quoted: where lists are
separated by semicolons, only the first cell of a line is seen as quoted. White space and quotes before it may be
dropped. Full-width characters count in some of them.
"""

NO_FORMULA = r"\1'\2"
"""What `FORMULA` is replaced with: an apostrophe before it makes it a text."""

_JOINER = r"[\u200c\u200d]"
_WRITTEN_JOINER = re.compile(
    rf"(?<=[^\x00-\x7f\u200c\u200d]){_JOINER}(?!{_JOINER})|(?<!{_JOINER}){_JOINER}(?=[^\x00-\x7f\u200c\u200d])"
)
"""Beside letters of Persian and Hindi, and in emojis, they are how these are written; elsewhere they hide."""

_BREAK = "\u2060"
"""A word joiner: nothing is seen of it, and no text has it that went through `printable`."""

_AT_EDGE = r"(?<![^\W_])_|_(?![^\W_])"
"""An underscore at the edge of a word; within one, as in `SIGMA_BASE_URL`, it is no markup."""

_MARKUP = re.compile(rf"[\\`*\[\]<>&~|]|{_AT_EDGE}|^[-+=#]")
_LIST_NUMBER = re.compile(r"^([0-9]+)([.)])")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_LINKED = re.compile(r"(?i)(?<=http:)(?=//)|(?<=https:)(?=//)|(?<=www)(?=\.)|(?<=@)")
"""Where URLs and addresses are broken that GitHub's Markdown turns into links, escaped or not."""

_LINKED_BY_CHATS = re.compile(
    r"(?i)(?<!\bs3:)(?<!\bgs:)(?<=:)(?=//)|(?<=@)|(?<=\])(?=\()"
    r"|(?<=\w\.)(?=[^\W\d_]{2})(?!(?:csv|duckdb|env|gz|html|json|ndjson|parquet)\b)"
)
"""Chats turn any URL into a link, and domains without a scheme; what our messages name often is none.

Some of those that take the JSON of Slack know the links of Markdown too.
"""

_LOOK_ALIKES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "*": "∗", "`": "ˋ", "~": "∼"})


def printable(text: str, most: int = LINE) -> str:
    """The text as part of a line, of at most `most` characters.

    Line ends, control characters, those that turn the direction or are not seen, and half characters are shown as `?`.
    """
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    if shown.isprintable():
        return shown
    written = {match.start() for match in _WRITTEN_JOINER.finditer(shown)}
    return "".join(c if at in written else _shown(c) for at, c in enumerate(shown))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if unicodedata.category(character) == "Zs" else "?"


def value(text: str) -> str:
    """A text from outside as part of a message: a line, and short."""
    return printable(text, VALUE)


def percent(part: float, whole: float) -> str:
    """A share as people write it: `12 %`, `0.4 %`. Only nothing is 0 %, and only all is 100 %."""
    share = 100 * part / whole if whole else 0.0
    for decimals in (0, 1) if share >= 10 else (1,):
        shown = f"{share:.{decimals}f}"
        if float(shown) not in (0, 100) or float(shown) == share:
            return f"{shown.removesuffix('.0')} %"
    return "less than 0.1 %" if share < 50 else "more than 99.9 %"


def change(now: float, before: float) -> str:
    """How a figure differs from the one before, in words that go on with where that one is from."""
    if before == 0:
        return "none"
    if now == before:
        return "as many"
    share = abs(now / before - 1)
    by = "less than 0.1%" if share < 0.0005 else f"{share:.1%}"
    return f"{by} {'more' if now > before else 'fewer'} than {before:,.0f}"


def markdown(text: str) -> str:
    """Markdown (CommonMark, and GitHub's) that shows the text as it is, on one line: no markup in it, no link."""
    escaped = _MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))
    return _LINKED.sub(_BREAK, _LIST_NUMBER.sub(r"\1\\\2", escaped))


def plain(inert: str) -> str:
    """The text of which `markdown` has made this, for places that show no Markdown."""
    return _ESCAPED.sub(r"\1", inert.replace(_BREAK, ""))


def unlinked(text: str, most: int = LINE) -> str:
    """A text as part of a line of a mail or a chat, neither of which makes a link of anything in it."""
    return _LINKED_BY_CHATS.sub(_BREAK, printable(" ".join(text.split()), most))


def mrkdwn(text: str, most: int = LINE) -> str:
    """A text as part of a line of a chat (Slack's "mrkdwn"): no mention, no link, no markup in it.

    That language has no escape for its marks, so ones that look like them stand in their place.
    """
    return re.sub(_AT_EDGE, "ˍ", unlinked(text, most)).translate(_LOOK_ALIKES)
