"""Dagster's databases of a process that writes many events."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import Engine, NullPool, event

from sigma_impressions.defs.sqlite_engines import engines_kept


@dg.asset
def noted(context: dg.AssetExecutionContext) -> None:
    for number in range(5):
        context.log_event(dg.AssetMaterialization("other", metadata={"number": number}))


def materialize(folder: Path) -> list[int]:
    """Run the asset on an instance in SQLite files; what its events say, newest first."""
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        dg.materialize([noted], instance=instance)
        events = instance.fetch_materializations(dg.AssetKey("other"), limit=10).records
        return [record.asset_materialization.metadata["number"].value for record in events]


def test_one_engine_is_made_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    create = sqlite_event_log.create_engine

    def counted(url: str, **options: Any) -> Any:
        made.append(url)
        return create(url, **options)

    monkeypatch.setattr(sqlite_event_log, "create_engine", counted)
    with engines_kept():
        assert materialize(tmp_path / "kept") == [4, 3, 2, 1, 0]
    assert len(made) == len(set(made)) <= len(list((tmp_path / "kept").rglob("*.db")))
    made.clear()
    assert materialize(tmp_path / "usual") == [4, 3, 2, 1, 0]
    assert len(made) > len(set(made)), "what Dagster does by itself is enough now: engines_kept can go"


def test_connections_stay_open_and_are_closed_at_the_end(tmp_path: Path) -> None:
    opened: list[str] = []

    def connected(connection: Any, _: Any) -> None:
        opened.append(connection.execute("PRAGMA database_list").fetchall()[0][2])

    event.listen(Engine, "connect", connected)
    try:
        with engines_kept():
            materialize(tmp_path / "instance")
    finally:
        event.remove(Engine, "connect", connected)
    assert len(opened) < 3 * len(set(opened)), sorted(opened)
    # Whoever closes a database last, takes what was written beside it into it.
    assert not list((tmp_path / "instance").rglob("*-wal"))


def test_no_more_than_some_databases_are_open(tmp_path: Path) -> None:
    with engines_kept():
        engines = []
        for number in range(20):
            engine = sqlite_event_log.create_engine(f"sqlite:///{tmp_path / str(number)}", poolclass=NullPool)
            with engine.connect() as connection:
                connection.exec_driver_sql("CREATE TABLE t (i)")
            engine.dispose()
            engines.append(engine)
        assert sum(engine.pool.checkedin() for engine in engines) <= 8
    assert sum(engine.pool.checkedin() for engine in engines) == 0
