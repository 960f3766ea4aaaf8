"""Write docs/queries.md, the page with the graph of the SQL queries: `python -m sigma_impressions_tests.query_page`."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path

from sigma_impressions.lake.queries import Queries, Query

PAGE = Path(__file__).parents[1] / "docs" / "queries.md"

ROOMS = {
    "metrics": "From captured rows to impressions counted once per day, and from these to the metric tables of an "
    "as-of date. `keys_by_hash` and `keyed_impressions_by_hash` are replaced by those `…_by_number` where two texts "
    "have the same hash.",
    "insights": "From the metric tables to what is popular, underused and active, in the published database.",
    "publish": "Into the published database, and what a summary reads of it.",
    "destinations": "For what shows the usage elsewhere.",
    "report": "From the published database to the usage report.",
}
"""The packages with queries, in the order in which data goes through them, and what the queries of each are for."""

_INTRODUCTION = """# The SQL queries

<!-- Written by `make docs` from the headers of the .sql files; a test compares the two. -->

Everything that is counted is counted by these queries, which DuckDB runs. Each lies in a file of its own beside the \
Python that runs it, and begins with what it is for, what it reads and its parameters; the order in which queries run \
follows from that (`sigma_impressions/lake/queries.py`). A query makes the table or view of its own name, or gives a \
result of that name, unless it says that it makes others. In the graphs, rounded boxes are what comes from elsewhere: \
stored tables, other rooms, or what Python has registered.
"""


def queries_of(room: str) -> list[Query]:
    """All queries of a package, each after those that make what it reads."""
    package = f"sigma_impressions.{room}"
    found: Queries = import_module(package).QUERIES
    names = sorted(file.name for file in files(package).joinpath("sql").iterdir() if file.name.endswith(".sql"))
    return list(found.ordered(*(name.removesuffix(".sql") for name in names)))


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(_section(room, purpose) for room, purpose in ROOMS.items())])


def _section(room: str, purpose: str) -> str:
    queries = queries_of(room)
    rows = [
        f"| [`{query.name}`](../sigma_impressions/{room}/sql/{query.name}.sql) | {_purpose(query)} "
        f"| {_listed(query.reads)} | {_listed(query.parameters)} |"
        for query in queries
    ]
    head = ["| Query | Purpose | Reads | Parameters |", "| --- | --- | --- | --- |"]
    lines = [f"## {room}", "", purpose, "", "```mermaid", *_graph(queries), "```", "", *head, *rows, ""]
    return "\n".join(lines)


def _purpose(query: Query) -> str:
    return query.purpose if query.makes == (query.name,) else f"{query.purpose} Makes {_listed(query.makes)}."


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _graph(queries: list[Query]) -> list[str]:
    makers: dict[str, list[str]] = {}
    for query in queries:
        for made in query.makes:
            makers.setdefault(made, []).append(query.name)
    outside = sorted({read for query in queries for read in query.reads} - makers.keys())
    # What comes from elsewhere has a mark of its own: a query may have the same name.
    lines = ["flowchart LR", *(f"    {_mark(name)}([{name}])" for name in outside)]
    for query in queries:
        sources = {source: None for read in query.reads for source in makers.get(read, [_mark(read)])}
        lines.append(f"    {' & '.join(sources)} --> {query.name}")
    return lines


def _mark(outside: str) -> str:
    return f"from_{outside.replace('.', '_')}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
