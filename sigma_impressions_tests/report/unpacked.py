"""What a page holds for its script, unpacked as the script does it, in plain loops."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

Fact = tuple[str, str | None, int, int]
"""A workbook's ID, a person's address, the day since 1970, and the impressions."""

NOBODY, OTHERS = None, "(others)"


class Unpacked:
    """The tables of a page, with texts in the place of their numbers, and its facts."""

    def __init__(self, tables: str, facts: str) -> None:
        packed = json.loads(_inflated(tables))
        self.meta: dict[str, Any] = packed["meta"]
        self.texts: list[str] = packed["texts"]
        self.links: list[str] = packed["links"]
        self.teams = [self.texts[place] for place in self.meta["teams"]]
        self.tables: dict[str, Any] = packed
        self._facts = _inflated(facts)

    @classmethod
    def of_page(cls, page: str) -> Unpacked:
        """What a page holds."""
        return cls(_element(page, "packed"), _element(page, "facts"))

    def numbers(self, table: str, column: str) -> list[Any]:
        """A column as it is packed."""
        values: list[Any] = self.tables[table][column]
        return values

    def texts_of(self, table: str, column: str) -> list[str | None]:
        """A column of texts, or of links."""
        pool = self.links if column == "url" else self.texts
        return [None if place is None else pool[place] for place in self.numbers(table, column)]

    def facts(self) -> Iterator[Fact]:
        """The facts, in the order of the page."""
        pairs, facts = self.meta["pairs"], self.meta["facts"]
        assert len(self._facts) == 4 * pairs + 5 * facts
        of_pairs = zip(self._planes(0, 3, pairs), self._planes(3 * pairs, 1, pairs), strict=True)
        of_facts = zip(self._planes(4 * pairs, 1, facts), self._planes(4 * pairs + facts, 4, facts), strict=True)
        people = [*self.texts_of("people", "user"), NOBODY, OTHERS]
        counts = self.numbers("workbooks", "pairs")
        workbooks = zip([*self.texts_of("workbooks", "id"), OTHERS], [*counts, pairs - sum(counts)], strict=True)
        for workbook, count in workbooks:
            person = 0
            for distance, days in islice(of_pairs, count):
                person += distance
                for day, impressions in islice(of_facts, days):
                    yield str(workbook), people[person], self.meta["firstDay"] + day, impressions
        assert not [*of_pairs, *of_facts]

    def _planes(self, start: int, width: int, count: int) -> list[int]:
        parts = [self._facts[start + place * count : start + (place + 1) * count] for place in range(width)]
        return [sum(byte << 8 * place for place, byte in enumerate(several)) for several in zip(*parts, strict=True)]


def _element(page: str, name: str) -> str:
    found = re.search(rf'<script type="text/plain" id="{name}">([A-Za-z0-9+/=]+)</script>', page)
    assert found is not None
    return found[1]


def _inflated(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text))
