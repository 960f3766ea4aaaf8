"""What the SQL files say of themselves is true, and their days are those of the windows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import sigma_impressions
from sigma_impressions.insights.history import LONGEST_ACTIVITY
from sigma_impressions.lake.queries import Queries, Query
from sigma_impressions.windows import LONGEST_WINDOW, WINDOW_DAYS
from sigma_impressions_tests.query_page import PAGE, ROOMS, page, queries_of

PACKAGE = Path(sigma_impressions.__file__).parent
QUERIES = [query for room in ROOMS for query in queries_of(room)]
EVERY_QUERY = pytest.mark.parametrize("query", QUERIES, ids=[query.name for query in QUERIES])

CREATE = re.compile(r"CREATE (?:OR REPLACE )?(?:TEMP )?(?:TABLE|VIEW) ([\w.]+) AS\b")


def tables_in(node: Any, known: frozenset[str] = frozenset()) -> Iterator[str]:
    """The tables that a part of a parsed query reads; `known` are the names that a WITH around it gives."""
    if isinstance(node, list):
        for part in node:
            yield from tables_in(part, known)
    elif isinstance(node, dict):
        for entry in node.get("cte_map", {}).get("map", []):
            yield from tables_in(entry["value"], known)
            known |= {entry["key"]}
        if node.get("type") == "BASE_TABLE":
            name = ".".join(filter(None, (node["schema_name"], node["table_name"])))
            yield from {name} - known
        for key, part in node.items():
            if key != "cte_map":
                yield from tables_in(part, known)


def truth(query: Query) -> tuple[set[str], list[str], set[str]]:
    """What a query reads, what it makes, and its parameters, as DuckDB understands it."""
    reads: set[str] = set()
    makes: list[str] = []
    parameters: set[str] = set()
    for statement in duckdb.extract_statements(query.text):
        select = CREATE.sub("", statement.query)
        ((parsed,),) = duckdb.execute("SELECT json_serialize_sql($select::VARCHAR)", {"select": select}).fetchall()
        tree = json.loads(parsed)
        assert not tree["error"], tree
        reads |= set(tables_in(tree)) - set(makes)
        makes += CREATE.findall(statement.query)
        parameters |= set(statement.named_parameters)
    return reads, makes, parameters


@EVERY_QUERY
def test_the_header_of_a_query_is_true(query: Query) -> None:
    reads, makes, parameters = truth(query)
    assert query.purpose.endswith((".", ")."))
    assert sorted(query.reads) == sorted(reads)
    assert list(query.makes) == (makes or [query.name])
    assert sorted(query.parameters) == sorted(parameters)
    assert ("\n-- Makes:" in query.text) == (query.makes != (query.name,)), "said only where it is another name"


def test_a_false_header_is_found() -> None:
    text = "-- Why.\n-- Reads:      a, s.b (of c, d),\n--             d\n-- Makes:      e\n-- Parameter:  $f, a day\n"
    sql = "CREATE TEMP TABLE e AS WITH x AS (FROM a), a AS (FROM s.b) FROM a, x WHERE $f IN (FROM d)"
    query = Query.parse("name", text + sql)
    assert query == Query("name", text + sql, "Why.", ("a", "s.b", "d"), ("e",), ("f",))
    assert truth(query) == ({"a", "s.b", "d"}, ["e"], {"f"})
    assert truth(Query.parse("name", "FROM a, s.b; CREATE VIEW g AS FROM e")) == ({"a", "s.b", "e"}, ["g"], set())


def test_every_file_is_a_query_of_its_own_name() -> None:
    assert len({query.name for query in QUERIES}) == len(QUERIES) == len(list(PACKAGE.rglob("*.sql")))


def test_queries_run_in_the_order_that_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made" / "sql").mkdir(parents=True)
    (tmp_path / "made" / "__init__.py").touch()
    for name, text in {
        "first": "-- One row.\n-- Reads: given\n-- Makes: one, two\n"
        "CREATE TABLE one AS SELECT number + 1 AS number FROM given; CREATE TABLE two AS FROM one",
        "second": "-- The same.\n-- Reads: two\nCREATE VIEW second AS FROM two",
        "third": "-- Again.\n-- Reads: second, one\n-- Parameter: $more\n"
        "CREATE TABLE third AS SELECT s.number + $more AS number FROM second AS s, one",
    }.items():
        (tmp_path / "made" / "sql" / f"{name}.sql").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    made = Queries("made")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE given AS SELECT 1 AS number")
        made.execute(connection, "third", "second", "first", more=5, of_no_query=0)
        assert connection.execute("FROM third").fetchall() == [(7,)]


def test_the_page_is_that_of_the_queries() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "make docs writes it anew"


# --- Windows ------------------------------------------------------------------------------------------------------

OF_WINDOWS = {length for days in WINDOW_DAYS for length in (days - 1, days, 2 * days - 1, 2 * days)}
"""Days back to the first or before the first day of a window, or of the one before it."""

OTHERS = {
    # A week and a month of activity, and the days of the window as numbers: day 0 is the first of the first month.
    "usage_by_day": {
        *(6, 7, LONGEST_ACTIVITY - 1, LONGEST_ACTIVITY),
        *(LONGEST_WINDOW + LONGEST_ACTIVITY - 2, LONGEST_WINDOW + LONGEST_ACTIVITY - 1),
    },
    "popular_resources": {100},  # percent
}


@EVERY_QUERY
def test_the_days_in_a_query_are_those_of_the_windows(query: Query) -> None:
    code = re.sub(r"--[^\n]*|'[^']*'", "", query.text)
    numbers = {int(number) for number in re.findall(r"(?<![\w.$])\d+\b", code)}
    assert numbers <= {0, 1} | OF_WINDOWS | OTHERS.get(query.name, set())
    assert {int(days) for days in re.findall(r"\b(\d+) days?\b", query.text)} <= set(WINDOW_DAYS)


def test_the_columns_of_windows_are_those_of_the_windows() -> None:
    for file in (file for kind in ("*.sql", "*.py") for file in PACKAGE.rglob(kind)):
        suffixes = {int(days) for days in re.findall(r"_(\d+)d\b", file.read_text(encoding="utf-8"))}
        assert suffixes <= set(WINDOW_DAYS), file
