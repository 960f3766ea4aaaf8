"""The event log of a process that writes many events."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log

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
    assert len(made) == len(set(made)) == len(list((tmp_path / "kept").rglob("history/runs/*.db")))
    made.clear()
    assert materialize(tmp_path / "usual") == [4, 3, 2, 1, 0]
    assert len(made) > len(set(made)), "what Dagster does by itself is enough now: engines_kept can go"
