"""E-mail addresses in texts, in every form in which they are written there.

An @ may be percent-encoded (`%40`, in a URL within a URL `%2540`) or full-width, and what stands before it in quotes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import polars as pl

AT = r"(?:[@＠﹫]|%(?:25)*(?:40|[eE][fF]%(?:25)*(?:[bB][cC]%(?:25)*[aA]0|[bB]9%(?:25)*[aA][bB])))"
"""An @ in any form. Python and polars read the expressions of this module alike."""

# `…` stands for what is hidden already.
_CHARACTER = r"""[^\s/\\,;|<>"'()\[\]…]"""
_IN_QUOTES = r"""(?:"[^"\r\n]*"|'[^'\r\n]*'|\([^()\r\n]*\)|\[[^\[\]\r\n]*\]|<[^<>\r\n]*>)"""
_BEFORE = rf"(?:\w'\w|{_CHARACTER}|{_IN_QUOTES})+"
_BEHIND = f"(?:{_CHARACTER}|{_IN_QUOTES})+"

ADDRESS = rf"""{_BEFORE}(?:[\\"'>)\]]*{AT}{_BEHIND})+"""
"""A word with an @ inside: an address, with what stands around it without a space, as in a query of a URL."""

_LETTERS = r"0-9a-z\u00aa-\u058f"
"""Letters and digits that go on with a word. Those of scripts that are written without spaces do not."""

_QUOTES = (("'", "'"), ('"', '"'), ("“", "”"), ("‘", "’"))
_CLOSING = {closing: opening for opening, closing in _QUOTES}
_NOT_OF_LOCAL = r"[^\w.+~'’%-]"


def canonical_address(text: str) -> str:
    """The one form of an address, in lower case, whatever form it is written in; another text in lower case."""
    local, at, domain = _Plain.of(text).text.strip().rpartition("@")
    return f"{_without_quotes(local)}{at}{domain.strip()}"


def is_address(text: str) -> bool:
    """Whether a text has an @, and something before and behind it."""
    local, _, domain = canonical_address(text).rpartition("@")
    return bool(local.strip() and domain.strip())


def core_of(word: str) -> str:
    """The canonical address in a match of ADDRESS, which may hold more."""
    local, at, domain = _Plain.of(word).text.rpartition("@")
    opening = _CLOSING.get(local[-1:])
    before = local.rstrip(local[-1:] + "\\").rpartition(opening)[2] if opening else re.split(_NOT_OF_LOCAL, local)[-1]
    user = before.strip("'’ ")
    behind = (re.match(r"[\w.-]*", domain) or [""])[0].rstrip(".-")
    return f"{user}{at}{behind}" if user and behind else f"{local}{at}{domain}"


def _without_quotes(local: str) -> str:
    for opening, closing in _QUOTES:
        if len(local) > 2 and local[0] == opening and local[-1] == closing:
            return local[1:-1]
    return local


@dataclass(frozen=True)
class Person:
    """One user as texts name them, to be found as a whole and in any form.

    `user` is an address, or another word, that no longer one holds: `ann@example.com` is neither in
    `joann@example.com` nor in `ann@example.com.au`. `pseudonyms` are found as they are. With `alone`, a word that is no
    address is found only where nothing else stands: it may be part of many an ID.
    """

    user: str
    pseudonyms: frozenset[str] = frozenset()
    alone: bool = False

    def stand_in(self, texts: pl.Series) -> pl.Series:
        """Which of the texts name the user; false for nulls."""
        found = self._candidates(texts)
        named = [value for value in texts.filter(found).unique() if next(self.places(value), None)]
        return texts.is_in(named).fill_null(False) if named else found & False

    def are(self, texts: pl.Series) -> pl.Series:
        """Which of the texts are the user and nothing else; false for nulls."""
        found = self._candidates(texts)
        same = [value for value in texts.filter(found).unique() if self.is_named(value)]
        return texts.is_in(same).fill_null(False) if same else found & False

    def within(self, texts: pl.Series) -> pl.Series:
        """Which of the texts hold the user at all, also as part of a longer word; false for nulls."""
        found = self._candidates(texts)
        held = [value for value in texts.filter(found).unique() if self._canonical in _Plain.of(value).text]
        return texts.is_in(held).fill_null(False) if held else found & False

    def is_named(self, text: str) -> bool:
        """Whether a text is the user and nothing else."""
        return canonical_address(text) == self._canonical or text.strip().lower() in self.pseudonyms

    def places(self, text: str) -> Iterator[slice]:
        """Where a text names the user, in order."""
        if self.is_named(text):
            yield slice(0, len(text))
            return
        plain = _Plain.of(text)
        for found in self._whole.finditer(plain.text):
            yield plain.place(*found.span())

    def replaced(self, text: str, by: Callable[[str], str]) -> str:
        """The text with something else for what names the user there."""
        kept, end = [], 0
        for place in self.places(text):
            kept += [text[end : place.start], by(text[place])]
            end = place.stop
        return "".join([*kept, text[end:]])

    def _candidates(self, texts: pl.Series) -> pl.Series:
        """Which texts are worth a closer look: those with the word, or with what may be another form of it."""
        local = self._canonical.rpartition("@")[0] or self._canonical
        words = "|".join(map(pl.escape_regex, (local, *sorted(self.pseudonyms))))
        return texts.str.contains(f"(?i:{words})|[%[:^ascii:]]").fill_null(False)

    @cached_property
    def _canonical(self) -> str:
        return canonical_address(self.user)

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        # A pseudonym in an ID has an ending if the address was written in another form; see `Pseudonyms.in_ids`.
        words = [rf"(?<!\w){name}(?:-[0-9a-f]{{8}})?(?!\w)" for name in sorted(self.pseudonyms)]
        local, at, domain = self._canonical.rpartition("@")
        if not (local and domain):
            edge = "@_" + _LETTERS if self._canonical.isascii() else r"@\w"
            words += [] if self.alone else [f"(?<![{edge}]){re.escape(self._canonical)}(?![{edge}])"]
            return re.compile("|".join(words) or "(?!)")
        name = re.escape(local)
        quoted = [rf"\\?{o}{{1,2}}{name}\\?{c}{{1,2}}" for o, c in _QUOTES]
        bare = [] if re.search(r"\s", local) else [rf"(?<![{_LETTERS}_+~-])(?<![{_LETTERS}_][.'’]){name}"]
        # A hyphen or a dot goes on a domain if a letter or digit follows, behind a hyphen only if a dot comes later.
        end = rf"(?![{_LETTERS}]|\.[{_LETTERS}]|-[\w-]*\.[{_LETTERS}])"
        words.append(rf"(?:{'|'.join([*bare, *quoted])}){at}{re.escape(domain)}{end}")
        return re.compile("|".join(words))


@dataclass(frozen=True)
class _Plain:
    """A text in lower case without codes: percent-encoding, full-width and invisible characters.

    Each of its characters stands from `starts` to `ends` in the text that it was made of.
    """

    text: str
    starts: list[int]
    ends: list[int]

    @staticmethod
    def of(text: str) -> _Plain:
        if text.isascii() and "%" not in text:
            return _Plain(text.lower(), list(range(len(text))), list(range(1, len(text) + 1)))
        found = [(each, start, end) for character, start, end in _decoded(text) for each in _plain_character(character)]
        return _Plain("".join(each for each, _, _ in found), [each[1] for each in found], [each[2] for each in found])

    def place(self, start: int, end: int) -> slice:
        return slice(self.starts[start], self.ends[end - 1])


_CODES = re.compile("(?:%(?:25)*[0-9a-fA-F]{2})+")
_CODE = re.compile("%(?:25)*([0-9a-fA-F]{2})")


def _decoded(text: str) -> Iterator[tuple[str, int, int]]:
    """The characters of a text, percent-decoded however often they were encoded, and where each stands."""
    end = 0
    for codes in _CODES.finditer(text):
        yield from _as_they_are(text, end, codes.start())
        end = codes.end()
        found = [(int(code[1], 16), code.start(), code.end()) for code in _CODE.finditer(text, codes.start(), end)]
        at = 0
        while at < len(found):
            length, character = _character([code for code, _, _ in found[at : at + 4]])
            start, stop = found[at][1], found[at + length - 1][2]
            yield from [(character, start, stop)] if character else _as_they_are(text, start, stop)
            at += length
    yield from _as_they_are(text, end, len(text))


def _as_they_are(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    return ((text[at], at, at + 1) for at in range(start, end))


def _character(codes: Sequence[int]) -> tuple[int, str]:
    """How many of the first bytes are a character in UTF-8, and which; one byte and none if they are none."""
    for length in range(1, len(codes) + 1):
        try:
            return length, bytes(codes[:length]).decode()
        except UnicodeDecodeError:
            continue
    return 1, ""


def _plain_character(character: str) -> Iterable[str]:
    if character.isascii():
        return character.lower()
    if unicodedata.category(character) == "Cf":
        return ""
    # The dot of Chinese and Japanese is one in domains, too (IDNA).
    return unicodedata.normalize("NFKC", character).lower().replace("。", ".")
