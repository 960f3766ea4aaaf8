"""The settings that decide what rows an export file gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sigma_impressions.exports.reading.headers import COLUMNS, is_count_of, normalize_name, owners_of_names
from sigma_impressions.lake.digests import digest
from sigma_impressions.users import Pseudonyms

NORMALIZATION_VERSION = 2
"""Raised whenever the same file would give other rows than before, so that it is read again."""


@dataclass(frozen=True)
class ReadingRules:
    """The settings that decide what rows a file gives.

    `time_zone`: IANA zone of times without an offset. `excluded_users`: lower-cased e-mails, or globs with `*`
    (any characters) and `?` (any one). `extra_aliases`: column -> more accepted header names, in order of precedence.
    `pseudonyms`: what users become after the excluded ones were left out; None keeps their addresses. `event_types`:
    names or globs, in lower case, of the types that are views; without any, every row is one. `anonymous_users`:
    whether a row without a user is an impression of nobody.

    Raises ValueError if `extra_aliases` names an unknown column, or a header name that has no letter or digit or
    already stands for another column.
    """

    time_zone: str = "UTC"
    excluded_users: tuple[str, ...] = ()
    extra_aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pseudonyms: Pseudonyms | None = None
    event_types: tuple[str, ...] = ()
    anonymous_users: bool = False

    def __post_init__(self) -> None:
        owners = owners_of_names({})
        for column, aliases in self.extra_aliases.items():
            if column not in COLUMNS:
                raise ValueError(f"no column is called {column!r}; the columns are {', '.join(COLUMNS)}")
            for alias in aliases:
                name = normalize_name(alias)
                if not name:
                    raise ValueError(f"the alias {alias!r} of {column} holds no ASCII letter or digit")
                owner = "count" if is_count_of(alias) else owners.setdefault(name, column)
                if owner != column:
                    raise ValueError(f"the alias {alias!r} of {column} already stands for {owner}")

    def fingerprint(self) -> str:
        """A short hash that changes whenever the same file could give other rows; see also `holds_pseudonyms`."""
        rules: dict[str, object] = {
            "version": NORMALIZATION_VERSION,
            "time_zone": self.time_zone,
            "excluded_users": sorted(set(self.excluded_users)),
            "extra_aliases": {
                column: list(dict.fromkeys(map(normalize_name, aliases)))
                for column, aliases in self.extra_aliases.items()
                if aliases
            },
        }
        if self.event_types:
            rules["event_types"] = sorted(set(self.event_types))
        if self.anonymous_users:
            rules["anonymous_users"] = True
        if self.pseudonyms is None:
            return _fingerprint(rules)
        return pseudonymous_fingerprint(_fingerprint(rules), self.pseudonyms)


def pseudonymous_fingerprint(fingerprint: str, pseudonyms: Pseudonyms) -> str:
    """The fingerprint of rules that give pseudonyms, from that of the same rules with addresses."""
    return f"p{_fingerprint([fingerprint, pseudonyms.key_id])[:-1]}"


def holds_pseudonyms(fingerprint: str) -> bool:
    """Whether what was read under the rules of this fingerprint holds pseudonyms instead of addresses."""
    return fingerprint.startswith("p")


def _fingerprint(value: object) -> str:
    return digest([json.dumps(value, sort_keys=True)])
