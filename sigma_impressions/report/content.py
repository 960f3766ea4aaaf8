"""Read what can be asked of the page: its workbooks, elements, pages and people, and who viewed what on which day.

Impressions by workbook, person and day are the one table of facts: every figure of the page that follows a choice is
a sum over its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from sigma_impressions.report import QUERIES

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Cut:
    """How many pairs of a person and a workbook there are and how many are shown, with their impressions."""

    pairs: int
    shown: int
    impressions: int
    impressions_shown: int


@dataclass(frozen=True)
class Facts:
    """Who viewed which workbook on which day: a row has the places of both in their tables, the day, and how often.

    Rows are in the order of their workbooks, then people, then days. Behind the last person stand two that are none:
    nobody, and the people of the pairs that are `cut`, of whom only the sum of a workbook is known; behind the last
    workbook stands one that is none: the workbooks of these pairs, of which only the sum of a person is known. So these
    impressions are there twice.
    """

    rows: pl.DataFrame
    cut: Cut | None


@dataclass(frozen=True)
class Content:
    """What the page is of. Elements and pages are in the order of their workbooks; `known` is what is known at all."""

    known: Mapping[str, Any]
    workbooks: pl.DataFrame
    elements: pl.DataFrame
    pages: pl.DataFrame
    people: pl.DataFrame
    underused: pl.DataFrame
    facts: Facts


def read_content(connection: duckdb.DuckDBPyConnection) -> Content:
    """The content of a published database, which the connection has opened."""
    workbooks, people = (QUERIES.frame(connection, f"shown_{name}") for name in ("workbooks", "people"))
    for name, rows, number, key in (
        ("workbooks", workbooks, "workbook_no", "workbook_url_id"),
        ("people", people, "person_no", "user_email"),
    ):
        connection.register(name, rows.select(key).with_row_index(number).to_arrow())
    return Content(
        QUERIES.frame(connection, "known").row(0, named=True),
        workbooks,
        QUERIES.frame(connection, "shown_elements"),
        QUERIES.frame(connection, "shown_pages"),
        people,
        QUERIES.frame(connection, "shown_underused"),
        _facts(connection, workbooks.height, people.height),
    )


def _facts(connection: duckdb.DuckDBPyConnection, workbooks: int, people: int) -> Facts:
    rows = QUERIES.frame(connection, "facts", nobody=people, others=people + 1, other_workbooks=workbooks)
    cut = Cut(**QUERIES.frame(connection, "cut").row(0, named=True))
    return Facts(rows, cut if cut.shown < cut.pairs else None)
