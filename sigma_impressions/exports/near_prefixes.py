"""What there is in the bucket instead, where nothing lies under the prefix that is set: it may be misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from sigma_impressions.clouds.objects import ObjectStore
from sigma_impressions.errors import StoreError
from sigma_impressions.exports.listing import is_export_key
from sigma_impressions.texts import value
from sigma_impressions.users import without_address

_SHOWN = 5

_DEPTH = 8
"""How far up it is looked for something that is there."""


def prefixes_instead_of(prefix: str, store: ObjectStore) -> str:
    """A sentence that names what lies beside a prefix under which nothing does, the nearest names first.

    Where the folder above has nothing either, what lies beside that one. Empty for the bucket itself, and where listing
    is not allowed there.
    """
    missing = prefix.rstrip("/")
    for _ in range(_DEPTH if missing else 0):
        above, _, name = missing.rpartition("/")
        above += "/" if above else ""
        try:
            found = [key for key in store.below(above) if key.endswith("/") or is_export_key(key)]
        except StoreError:
            return ""
        if found:
            return _named(sorted(found, key=lambda key: -_likeness(key.removeprefix(above), name)))
        if not above:
            return "The bucket is empty, as far as it may be listed."
        missing = above.rstrip("/")
    return ""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.rstrip("/").casefold(), other.casefold()).ratio()


def _named(keys: Sequence[str]) -> str:
    shown = ", ".join(f"'{value(without_address(key))}'" for key in keys[:_SHOWN])
    more = " and others" if len(keys) > _SHOWN else ""
    return f"There {'is' if len(keys) == 1 else 'are'} {shown}{more}."
