"""What DuckDB may do for us: run our queries, over our files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from sigma_impressions.lake.engine import Limits, connect, open_database, quoted


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "usage.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range AS number, uuid() AS text FROM range(1000)")
    return path


def test_a_published_database_is_read_and_nothing_else(database: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\nb\n")
    out = tmp_path / "it's out"
    out.mkdir()
    with open_database(database, writing_to=out) as connection:
        assert connection.execute("SELECT max(number) FROM numbers").fetchall() == [(999,)]
        connection.execute(f"COPY (SELECT 1) TO {quoted(str(out / 'one.parquet'))} (FORMAT parquet)")
        for statement in (
            f"FROM read_csv({quoted(str(tmp_path / 'secret.csv'))})",
            f"COPY (SELECT 1) TO {quoted(str(tmp_path / 'one.parquet'))} (FORMAT parquet)",
            f"ATTACH {quoted(str(tmp_path / 'other.duckdb'))}",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.PermissionException):
                connection.execute(statement)
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute("SET enable_external_access = true")


def test_what_needs_an_extension_fails(tmp_path: Path) -> None:
    with connect(tmp_path / "spill") as connection:
        settings = "SELECT value FROM duckdb_settings() WHERE name LIKE 'auto%_known_extensions'"
        assert connection.execute(settings).fetchall() == [("false",), ("false",)]
        with pytest.raises(duckdb.Error, match="httpfs"):
            connection.execute("FROM read_parquet('https://127.0.0.1:9/x.parquet')")
        with pytest.raises(duckdb.InvalidInputException, match="locked"):
            connection.execute("SET autoload_known_extensions = true")


@pytest.mark.parametrize("name", ["spill [1]", "spill*", "it's {a,b}?"])
def test_a_folder_to_spill_to_may_have_any_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    with connect(tmp_path, Limits(memory_gigabytes=1, spill_to=folder)) as connection:
        ((spill,),) = connection.execute("SELECT value FROM duckdb_settings() WHERE name = 'temp_directory'").fetchall()
        assert Path(spill).parent == folder
        assert Path(spill).is_dir()
