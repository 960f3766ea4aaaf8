"""The queries of a package, in files that say what they read: from that follows the order in which they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.resources import files as package_files
from itertools import takewhile
from typing import TYPE_CHECKING

from sigma_impressions.lake import engine

if TYPE_CHECKING:
    import duckdb
    import polars as pl


@dataclass(frozen=True)
class Query:
    """A query and what its header says: its purpose, the tables and views that it reads, and its parameters.

    Its table, view or result has its own name, unless the header says that it `makes` others.
    """

    name: str
    text: str
    purpose: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    parameters: tuple[str, ...]

    @staticmethod
    def parse(name: str, text: str) -> Query:
        """A query of its text, which begins with the header; what stands there in parentheses are remarks."""
        header = " ".join(line[2:].strip() for line in takewhile(lambda line: line[:2] == "--", text.splitlines()))
        purpose, *labelled = re.split(r" (Reads|Makes|Parameter)s?: +", header)
        said = dict(zip(labelled[::2], (re.sub(r"\(.*?\)", "", listed) for listed in labelled[1::2]), strict=True))
        reads, makes = (tuple(re.findall(r"[\w.]+", said.get(label, ""))) for label in ("Reads", "Makes"))
        parameters = re.findall(r"\$(\w+)", said.get("Parameter", ""))
        return Query(name, text, purpose, reads, makes or (name,), tuple(parameters))

    def given(self, values: Mapping[str, object]) -> dict[str, object]:
        """Those of the values that are its parameters."""
        return {name: values[name] for name in self.parameters}


@dataclass(frozen=True)
class Queries:
    """The queries of a package: its files `sql/<name>.sql`."""

    package: str

    def query(self, name: str) -> Query:
        """A query by its name."""
        file = package_files(self.package).joinpath("sql", f"{name}.sql")
        return Query.parse(name, file.read_text(encoding="utf-8"))

    def ordered(self, *names: str) -> Iterable[Query]:
        """Queries by their names, each after those of them that make what it reads."""
        queries = [self.query(name) for name in names]
        after = {query: [one for one in queries if one != query and {*one.makes} & {*query.reads}] for query in queries}
        return TopologicalSorter(after).static_order()

    def execute(self, connection: duckdb.DuckDBPyConnection, *names: str, **values: object) -> None:
        """Run queries that make tables and views, in the order that they need, each with those values it names."""
        for query in self.ordered(*names):
            connection.execute(query.text, query.given(values))

    def run(self, connection: duckdb.DuckDBPyConnection, name: str, **values: object) -> duckdb.DuckDBPyRelation:
        """The result of a query."""
        query = self.query(name)
        return connection.sql(query.text, params=query.given(values))

    def frame(self, connection: duckdb.DuckDBPyConnection, name: str, **values: object) -> pl.DataFrame:
        """The result of a query as a polars frame."""
        return engine.frame(self.run(connection, name, **values).to_arrow_table())
