"""The sources of the dbt project are the tables that are published, in the words of the docs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.dbt.sources import FILE, KEYS, columns, text
from sigma_impressions_tests.publish.test_handover import AS_OF, computed

ONLY_THERE = {"member_teams", "loaded_days"}
"""Tables that only a warehouse has."""


def test_the_file_is_what_the_docs_say() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "`make docs` writes it anew"


@pytest.mark.slow
def test_every_column_that_is_published_and_no_list_is_described(tmp_path: Path) -> None:
    described = {(table, column) for table, names in columns().items() for column in names}
    with duckdb.connect(publish_database(computed(tmp_path), AS_OF).path, read_only=True) as connection:
        query = "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type NOT LIKE '%[]'"
        published = {(table, column) for table, column in connection.execute(query).fetchall() if table in KEYS}
    assert published - described == set()
    # Its days are those of one as-of date, where the warehouse has many; and what only the warehouse has.
    assert {column for table, column in described - published if table not in ONLY_THERE} == {"as_of_date"}
    assert {table for table, column in described - published} == {"usage_by_day", *ONLY_THERE}
