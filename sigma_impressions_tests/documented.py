"""What the docs say of tables and their columns: read from the tables of their pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"

_COLUMNS = ["column", "type", "meaning"]
_COLUMNS_OF_TABLES = ["table", *_COLUMNS]


@dataclass(frozen=True)
class DocumentedColumn:
    """Its type in DuckDB, and what the docs say of it, without links."""

    type: str
    meaning: str


@dataclass
class DocumentedTable:
    """What a table has, and its columns; of some columns the values are listed, each with what it means."""

    purpose: str
    columns: dict[str, DocumentedColumn] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)


def documented_tables(page: str) -> dict[str, DocumentedTable]:
    """The tables that a page describes one by one: named in a heading, or where a paragraph begins to speak of them.

    The page of insights has `a`: what is in it, and for several tables at once `a`: this. `b`: that.
    """
    found: dict[str, DocumentedTable] = {}
    subjects: list[str] = []
    for block in _blocks(page):
        if block[0].startswith("#"):
            subjects = _names(block[0])
        elif not block[0].startswith("|"):
            subjects = _introduce(" ".join(block), subjects, found)
        elif subjects:
            _take(*_table(block), {name: found.setdefault(name, DocumentedTable("")) for name in subjects})
    return {name: table for name, table in found.items() if table.columns}


def delta_columns(page: str) -> Iterator[tuple[str, str, str]]:
    """Table, column and meaning of what a page says of the columns of several tables in one."""
    tables: list[str] = []
    for block in _blocks(page):
        header, rows = _table(block) if block[0].startswith("|") else ([], [])
        for row in rows if header == _COLUMNS_OF_TABLES else []:
            tables = _names(row[0]) or tables
            yield from ((table, column, row[3]) for table in tables for column in _names(row[1]))


def _introduce(paragraph: str, subjects: list[str], found: dict[str, DocumentedTable]) -> list[str]:
    """Note what a paragraph says of tables, unless they are known; the tables that are spoken of from here on."""
    begun = re.split(r"(?:^|(?<=\. ))`(\w+)`: ", paragraph)
    introduced = dict(zip(begun[1::2], begun[2::2], strict=True)) or dict.fromkeys(subjects, paragraph)
    for name, said in introduced.items():
        purpose = _without_links(said.strip())
        found.setdefault(name, DocumentedTable(purpose[0].upper() + purpose[1:]))
    return list(introduced)


def _take(header: list[str], rows: list[list[str]], tables: dict[str, DocumentedTable]) -> None:
    """Add what a table of the page says: of columns, or of the values of one."""
    if header == _COLUMNS:
        for names, types, said in rows:
            each = types.split(", ")
            for place, column in enumerate(_names(names)):
                # What is said of one of several tables begins with its name.
                of_one = re.match(r"`(\w+)`: ", said)
                for table in [of_one[1]] if of_one else tables:
                    meaning = said.removeprefix(of_one[0]) if of_one else said
                    tables[table].columns[column] = DocumentedColumn(each[place % len(each)], meaning)
    elif valued := _names(header[0]):
        for row in rows:
            for value in _names(row[0]):
                for documented in tables.values():
                    documented.values.setdefault(valued[0], {})[value] = row[-1]


def _blocks(page: str) -> Iterator[list[str]]:
    """The headings, paragraphs and tables of a page, each as its lines, without code."""
    text = re.sub(r"(?ms)^```.*?^```$", "", (DOCS / page).read_text(encoding="utf-8"))
    for blank, lines in groupby(text.splitlines(), key=lambda line: not line.strip()):
        if not blank:
            yield list(lines)


def _table(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """The cells of the header, and of each row; what is meant for readers is without links."""
    header, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return header, [[_without_links(cell) for cell in row] for row in rows]


def _without_links(text: str) -> str:
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)


def _names(cell: str) -> list[str]:
    """The columns, tables or values that a cell names; `_30d` behind `x_14d` is `x_30d`."""
    found: list[str] = []
    for name in re.findall(r"`([^`]+)`", cell):
        found.append(re.sub(r"_\d+d$", name, found[-1]) if name.startswith("_") else name)
    return found
