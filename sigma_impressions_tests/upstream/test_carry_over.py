"""What a snapshot keeps of the one before, and how impressions are matched with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from sigma_impressions.lake.schemas import (
    RESOURCE_HISTORY,
    RESOURCE_SNAPSHOTS,
    SIGMA_RESOURCES,
    WORKBOOK_ALIASES,
    Table,
)
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.contract import ALIASES, conform
from sigma_impressions.upstream.snapshots import CapturedSnapshot, capture_snapshot

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
ID = "0b0f6d7e-3c44-4f0e-9a53-0d3f1f0a6c11"
OTHER_ID = "5a0f6d7e-3c44-4f0e-9a53-0d3f1f0a6c22"


def workbook(url_id: str, workbook_id: str | None = None) -> dict[str, object]:
    return {"resource_type": "sigma_workbook", "workbook_url_id": url_id, "workbook_id": workbook_id}


def element(url_id: str, element_id: str) -> dict[str, object]:
    return {"resource_type": "sigma_element", "workbook_url_id": url_id, "element_id": element_id}


class Storage:
    """Tables into which one snapshot after the other is captured."""

    def __init__(self, folder: Path) -> None:
        self.tables = Tables(folder)

    def capture(
        self,
        days: float,
        *rows: dict[str, object],
        aliases: dict[str, str] | None = None,
        unread: tuple[str, ...] = (),
        unlisted: tuple[str, ...] = (),
    ) -> CapturedSnapshot:
        found = conform(pl.DataFrame(list(rows), infer_schema_length=None), "the test")
        named = pl.DataFrame(
            [(alias, target, "Production") for alias, target in (aliases or {}).items()], schema=ALIASES, orient="row"
        )
        now = NOW + timedelta(days=days)
        return capture_snapshot(self.tables, found, "the test", now, aliases=named, unread=unread, unlisted=unlisted)

    def newest(self, table: Table) -> pl.DataFrame:
        newest = self.tables.read(RESOURCE_SNAPSHOTS).sort("taken_at").last().collect()["snapshot_id"].item()
        return self.tables.read(table).filter(pl.col("snapshot_id") == newest).collect()

    def resources(self) -> dict[str, bool]:
        """Whether each resource of the newest snapshot is deleted, by `workbook` or `workbook/element`."""
        return {
            "/".join(filter(None, (url_id, element_id))): bool(deleted)
            for url_id, element_id, deleted in self.newest(SIGMA_RESOURCES)
            .select("workbook_url_id", "element_id", "is_deleted")
            .iter_rows()
        }

    def aliases(self) -> dict[str, str]:
        return dict(self.newest(WORKBOOK_ALIASES).select("alias_id", "workbook_url_id").iter_rows())


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


def test_data_models_that_cannot_be_listed_stay_as_they_were(storage: Storage) -> None:
    models = [workbook(name, name) | {"resource_type": "sigma_data_model"} for name in ("m1", "m2", "gone")]
    storage.capture(0, workbook("w1"), element("w1", "e1"), *models, element("m1", "e1"))
    storage.capture(1, workbook("w1"), element("w1", "e1"), *models[:2], element("m1", "e1"))
    captured = storage.capture(2, workbook("w1"), workbook("m2"), unlisted=("sigma_data_model",))
    # What is a workbook now is none of them any more.
    assert storage.resources() == {"w1": False, "w1/e1": True, "m2": False, "m1": False, "m1/e1": False, "gone": True}
    assert (captured.workbooks, captured.elements, captured.vanished) == (2, 0, 2)
    assert not storage.capture(3, workbook("w1"), workbook("m2"), unlisted=("sigma_data_model",)).is_new
    storage.capture(4, workbook("w1"), workbook("m2"))
    assert storage.resources()["m1"]


def test_what_vanished_stays_deleted_until_its_last_day_has_left_the_window(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), element("w1", "e1"), element("w1", "e2"), workbook("w2"), element("w2", "e1"))
    captured = storage.capture(1, workbook("w1"), element("w1", "e1"))
    assert (captured.workbooks, captured.elements, captured.vanished) == (1, 1, 3)
    gone = {"w1": False, "w1/e1": False, "w1/e2": True, "w2": True, "w2/e1": True}
    assert storage.resources() == gone
    assert not storage.capture(30, workbook("w1"), element("w1", "e1")).is_new
    assert not storage.capture(60.3, workbook("w1"), element("w1", "e1")).is_new
    assert storage.resources() == gone
    # 15:00 + 60.4 days is after midnight: the day on which it was missed is out of the window.
    assert storage.capture(60.4, workbook("w1"), element("w1", "e1")).is_new
    assert storage.resources() == {"w1": False, "w1/e1": False}


def test_what_comes_back_is_as_if_it_had_never_been_away(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), element("w1", "e1"))
    storage.capture(1, workbook("w1"), workbook("w2"))
    storage.capture(2, workbook("w1"), workbook("w2"), element("w1", "e1"))
    assert storage.resources() == {"w1": False, "w1/e1": False, "w2": False}
    history = storage.newest(RESOURCE_HISTORY).sort("workbook_url_id", "element_id", nulls_last=False)
    assert history["first_seen_at"].to_list() == [NOW, NOW, NOW + timedelta(days=1)]
    assert history["vanished_at"].null_count() == 3


def test_the_time_of_vanishing_is_that_of_the_first_run_that_missed_it(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), workbook("w2"))
    storage.capture(3, workbook("w1"))
    storage.capture(5, workbook("w1"), workbook("w3"))
    assert storage.newest(RESOURCE_HISTORY).filter(workbook_url_id="w2").drop("snapshot_id").rows() == [
        ("sigma_workbook", "w2", None, NOW, NOW + timedelta(days=3))
    ]


def test_a_workbook_that_cannot_be_read_keeps_its_elements(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), element("w1", "e1"), workbook("w2"), element("w2", "e1"))
    storage.capture(1, workbook("w1"), workbook("w2"), unread=("w1",))
    assert storage.resources() == {"w1": False, "w1/e1": False, "w2": False, "w2/e1": True}
    # Readable again, and the element is gone for good.
    storage.capture(2, workbook("w1"), workbook("w2"))
    assert storage.resources()["w1/e1"]


def test_a_workbook_whose_id_is_in_use_again_is_not_kept(storage: Storage) -> None:
    storage.capture(0, workbook("w1", ID), element("w1", "e1"), workbook("w2", OTHER_ID))
    storage.capture(1, workbook("w3", ID.upper()), workbook("w2", OTHER_ID))
    assert storage.resources() == {"w3": False, "w2": False}


def test_a_workbook_that_is_a_data_model_now_has_not_vanished(storage: Storage) -> None:
    storage.capture(0, workbook("w1", ID), element("w1", "e1"), element("w1", "e2"))
    changed = {"resource_type": "sigma_data_model", "workbook_url_id": "w1", "workbook_id": ID}
    storage.capture(1, changed, element("w1", "e1"))
    assert storage.resources() == {"w1": False, "w1/e1": False, "w1/e2": True}
    assert storage.newest(SIGMA_RESOURCES)["resource_type"].to_list().count("sigma_workbook") == 0
    # And like a workbook it stays, with its elements, when it is gone.
    storage.capture(2, workbook("w2"))
    assert storage.resources() == {"w1": True, "w1/e1": True, "w1/e2": True, "w2": False}


def test_a_workbook_that_became_an_alias_is_not_kept(storage: Storage) -> None:
    storage.capture(0, workbook("w1", ID), workbook("version", OTHER_ID), element("version", "e1"))
    storage.capture(1, workbook("w1", ID), aliases={"version": "w1", OTHER_ID: "w1"})
    assert storage.resources() == {"w1": False}
    assert storage.aliases() == {"version": "w1", OTHER_ID: "w1"}


def test_aliases_stay_as_long_as_resources_do(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), workbook("w2"), aliases={"v1": "w1", "v2": "w2"})
    storage.capture(1, workbook("w1"), aliases={})
    # The tag is gone, the workbook w2 too; views of both still count in the window.
    assert storage.aliases() == {"v1": "w1", "v2": "w2"}
    storage.capture(61, workbook("w1"), workbook("w3"))
    assert storage.aliases() == {}
    assert storage.resources() == {"w1": False, "w3": False}


def test_an_alias_never_stands_beside_the_workbook_of_that_id(storage: Storage) -> None:
    storage.capture(0, workbook("w1", ID), aliases={"v1": "w1", OTHER_ID: "w1"})
    storage.capture(1, workbook("w1", ID), workbook("v1", OTHER_ID.upper()))
    assert storage.aliases() == {}
    assert storage.resources() == {"w1": False, "v1": False}


def test_a_snapshot_of_a_version_without_history_is_where_history_begins(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), workbook("w2"))
    storage.tables.open(RESOURCE_HISTORY).delete()
    storage.capture(2, workbook("w1"))
    assert storage.resources() == {"w1": False, "w2": True}
    assert storage.newest(RESOURCE_HISTORY)["first_seen_at"].unique().to_list() == [NOW]


def test_what_the_source_itself_calls_deleted_is_dated_too(storage: Storage) -> None:
    storage.capture(0, workbook("w1"), workbook("w2"))
    storage.capture(4, workbook("w1"), workbook("w2") | {"is_deleted": True})
    assert storage.newest(RESOURCE_HISTORY).filter(workbook_url_id="w2")["vanished_at"].to_list() == [
        NOW + timedelta(days=4)
    ]
