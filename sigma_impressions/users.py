"""How users are stored: as their e-mail addresses, or as pseudonyms that only a secret key leads to.

What holds an address is told here too: the columns of users, and texts in which an address may stand.
"""

from __future__ import annotations

import enum
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from sigma_impressions.addresses import ADDRESS, AT, Person, canonical_address, core_of, is_address

PSEUDONYM_PREFIX = "user_"
PSEUDONYM_DIGITS = 24
"""Hexadecimal digits of a pseudonym: with 96 bits, two of a billion users share one with a chance of 1 in 10^11."""

FORGOTTEN_PREFIX = "forgotten_"
"""What the names begin with that stand for users who were forgotten."""

PSEUDONYM = rf"^(?:{PSEUDONYM_PREFIX}[0-9a-f]{{{PSEUDONYM_DIGITS}}}|{FORGOTTEN_PREFIX}[0-9a-f]+)$"
"""A regular expression for the stored users that are no addresses."""

_ENDING_DIGITS = 8
"""Hexadecimal digits that tell apart the ways in which one address is written in IDs."""

HIDDEN_ADDRESS = "[address]"
"""What stands for an address in a text, such as a name or path of a resource."""

_FORMS = ("{}@{}", "{}＠{}", "{}%40{}", "{}%2540{}", '"{}"@{}', "'{}'@{}")
"""Forms of one address in which exports may name the user; each is a user of its own."""

_Texts = TypeVar("_Texts", pl.Expr, pl.Series)


class Kind(enum.Enum):
    """What a column of texts holds that may name a user."""

    USER = enum.auto()
    ID = enum.auto()
    TEXT = enum.auto()


PLACES = ("bucket", "key", "version", "read_from")
"""Columns that say where something lies; they stay as they are, because nobody would find it otherwise."""

_OF_THE_PROGRAM = (
    *("file_id", "capture_id", "snapshot_id", "fingerprint", "rules_fingerprint", "content_digest"),
    *("table_name", "partition", "file", "captures"),
)
_WORDS = ("status", "reason", "resource_type")
"""Columns that hold what the program makes, or its own words."""


def kind_of(column: str) -> Kind | None:
    """What a column, or a field of a record, holds if it is one of texts; None if nobody from outside wrote it."""
    if column in (*PLACES, *_OF_THE_PROGRAM, *_WORDS):
        return None
    if column.endswith("_email"):
        return Kind.USER
    return Kind.ID if column.endswith("_id") else Kind.TEXT


@dataclass(frozen=True)
class Pseudonyms:
    """Turns users into pseudonyms: the same user has the same one as long as the key is the same.

    A pseudonym is `user_` and the first 24 hexadecimal digits of HMAC-SHA256 of the trimmed, lower-cased address in
    UTF-8. The key is secret: whoever has it can tell which pseudonym an address has.
    """

    key: str = field(repr=False)

    def of(self, users: pl.Series) -> pl.Series:
        """The pseudonyms of users, null where there is none. Each distinct user is hashed once."""
        distinct = users.drop_nulls().unique()
        hashed = pl.Series([self.of_one(user) for user in canonical(distinct)], dtype=pl.String)
        return users.replace_strict(distinct, hashed, default=None, return_dtype=pl.String)

    def in_ids(self, ids: pl.Series) -> pl.Series:
        """IDs with a pseudonym for every word with an @ inside; two different ones stay different.

        Where columns are mixed up, addresses stand in them. The pseudonym is that of the address in the word, with an
        ending if the word is not that address in its usual form.
        """
        distinct = ids.filter(ids.str.contains(AT)).unique()
        if distinct.is_empty():
            return ids
        found = zip(distinct, distinct.str.extract_all(ADDRESS), strict=True)
        named = pl.Series([self._in_id(value, words.to_list()) for value, words in found], dtype=pl.String)
        return ids.replace(distinct, named)

    def _in_id(self, value: str, words: list[str]) -> str:
        parts = []
        for word in words:
            before, _, value = value.partition(word)
            user = core_of(word)
            ending = "" if word == user else f"-{self._digest(word)[:_ENDING_DIGITS]}"
            parts.append(f"{before}{self.of_one(user)}{ending}")
        return "".join([*parts, value])

    def of_one(self, user: str) -> str:
        """The pseudonym of one user, who is trimmed and lower-cased."""
        return f"{PSEUDONYM_PREFIX}{self._digest(user)[:PSEUDONYM_DIGITS]}"

    @property
    def key_id(self) -> str:
        """A text that differs for another key, and does not give the key away."""
        # No trimmed user begins with a NUL, so that this is nobody's pseudonym.
        return self._digest("\0key")[:16]

    def _digest(self, text: str) -> str:
        return hmac.digest(self.key.encode(), text.encode(), "sha256").hex()


def person_of(user: str, pseudonyms: Pseudonyms | None) -> Person:
    """A user by the address, or by the name that is stored, with the pseudonyms that the user may have."""
    name, address = user.strip().lower(), canonical_address(user)
    names = {name} if re.match(PSEUDONYM, name) else set()
    if pseudonyms is not None:
        local, _, domain = address.rpartition("@")
        forms = [form.format(local, domain) for form in _FORMS] if is_address(user) else [address]
        names |= {pseudonyms.of_one(form) for form in (name, *forms)}
    return Person(user, frozenset(names))


def canonical(users: pl.Series) -> pl.Series:
    """Users as they are compared: trimmed and in lower case."""
    return users.str.strip_chars().str.to_lowercase()


def shape_of(texts: pl.Expr) -> pl.Expr:
    """Texts of which only the shape is left: every letter is an x, every digit a 0.

    That shows why a row could not be read, and nothing of who is in it, whatever column a name stands in.
    """
    return texts.str.replace_all(r"[\p{L}\p{M}]", "x").str.replace_all(r"\p{N}", "0")


def without_addresses(texts: _Texts) -> _Texts:
    """Texts in which every word with an @ inside is replaced."""
    return texts.str.replace_all(ADDRESS, HIDDEN_ADDRESS)


def without_address(text: str) -> str:
    """A text in which every word with an @ inside is replaced."""
    return without_addresses(pl.Series([text])).item() if re.search(AT, text) else text


def pseudonymous_rows(rows: pl.DataFrame, pseudonyms: Pseudonyms) -> pl.DataFrame:
    """Resources, or what belongs to them, with pseudonyms for their owners and without addresses in other columns.

    Personal folders are often called after their owner.
    """
    change: dict[Kind | None, Callable[[pl.Series], pl.Series]] = {
        Kind.USER: pseudonyms.of,
        Kind.ID: pseudonyms.in_ids,
        Kind.TEXT: without_addresses,
    }
    texts = [column for column in rows.iter_columns() if column.dtype == pl.String]
    return rows.with_columns(change.get(kind_of(column.name), pl.Series)(column) for column in texts)


def shortened(users: pl.Expr) -> pl.Expr:
    """Users as a record may show them that is kept for good: `a…@example.com`, `user_01ab…`, `a…`."""
    # With the rest gone, a user who is forgotten later is not in it.
    begin = pl.when(users.str.len_chars() > 2).then(users.str.head(1)).when(users.is_not_null()).then(pl.lit("")) + "…"
    return (
        pl.when(users.str.contains(PSEUDONYM))
        .then(users.str.head(9) + "…")
        .when(users.str.contains(_SIMPLE))
        .then(users.str.replace(_SIMPLE, "$1…$2"))
        .otherwise(begin)
    )


_SIMPLE = r"(?s)^(.?).+(@[A-Za-z0-9.-]+)$"
"""An address whose part behind the @ is a domain; of one letter before it nothing is left."""
