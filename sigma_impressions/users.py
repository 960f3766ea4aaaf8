"""How users are stored: as their e-mail addresses, or as pseudonyms that only a secret key leads to.

What holds an address is told here too: the columns of users, and texts in which an address may stand.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

PSEUDONYM_PREFIX = "user_"
PSEUDONYM_DIGITS = 24
"""Hexadecimal digits of a pseudonym: with 96 bits, two of a billion users share one with a chance of 1 in 10^11."""

FORGOTTEN_PREFIX = "forgotten_"
"""What the names begin with that stand for users who were forgotten."""

PSEUDONYM = rf"^(?:{PSEUDONYM_PREFIX}[0-9a-f]{{{PSEUDONYM_DIGITS}}}|{FORGOTTEN_PREFIX}[0-9a-f]+)$"
"""A regular expression for the stored users that are no addresses."""

HIDDEN_ADDRESS = "[address]"
"""What stands for an address in a name or path of a resource."""

_PART = r"""[^\s/\\,;|<>"'()\[\]]+"""
_ADDRESS = f"{_PART}(?:@|＠|%40){_PART}"
_NAMES = ("name", "workbook_name", "path", "page_name")


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


def canonical(users: pl.Series) -> pl.Series:
    """Users as they are compared: trimmed and in lower case."""
    return users.str.strip_chars().str.to_lowercase()


def shape_of(texts: pl.Expr) -> pl.Expr:
    """Texts of which only the shape is left: every letter is an x, every digit a 0.

    That shows why a row could not be read, and nothing of who is in it, whatever column a name stands in.
    """
    return texts.str.replace_all(r"[\p{L}\p{M}]", "x").str.replace_all(r"\p{N}", "0")


def without_addresses(texts: pl.Expr) -> pl.Expr:
    """Texts in which every word with an @ inside is replaced."""
    return texts.str.replace_all(_ADDRESS, HIDDEN_ADDRESS)


def pseudonymous_resources(resources: pl.DataFrame, pseudonyms: Pseudonyms) -> pl.DataFrame:
    """Resources with the pseudonyms of their owners, and without addresses in names and paths.

    Personal folders are often called after their owner.
    """
    return resources.with_columns(
        pseudonyms.of(resources.get_column("owner_email")),
        *(without_addresses(pl.col(name)) for name in _NAMES),
    )


def shortened(users: pl.Expr) -> pl.Expr:
    """Users as a record may show them that is kept for good: `a…@example.com`, `user_01ab…`."""
    # With the rest gone, a user who is forgotten later is not in it.
    address = users.str.replace(r"^(.).*(@.*)$", "$1…$2")
    return pl.when(users.str.contains(PSEUDONYM)).then(users.str.head(9) + "…").otherwise(address)


def replaced(users: pl.Expr, names: Mapping[str, str]) -> pl.Expr:
    """Users, with other names for some of them."""
    return users.replace(pl.Series(list(names), dtype=pl.String), pl.Series(list(names.values()), dtype=pl.String))
