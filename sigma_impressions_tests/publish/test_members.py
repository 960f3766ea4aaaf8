"""The members in the published database: joined at publication, without computing any metric again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner

from sigma_impressions.cli import main
from sigma_impressions.lake.schemas import MEMBER_COLUMNS, METRIC_TABLES
from sigma_impressions.publish.database import DATABASE_NAME, publish_database
from sigma_impressions.upstream.members import MEMBERS
from sigma_impressions.upstream.members_stored import as_stored, capture_members
from sigma_impressions_tests.commands import without_settings
from sigma_impressions_tests.publish.test_handover import AS_OF, computed

pytestmark = pytest.mark.slow

NOW = datetime(AS_OF.year, AS_OF.month, AS_OF.day, 9, tzinfo=UTC)


def test_changed_members_are_published_anew_and_no_metric_is_computed(tmp_path: Path) -> None:
    tables = computed(tmp_path)
    versions = {table: tables.open(table).version() for table in METRIC_TABLES}

    def published(**options: bool) -> tuple[bool, pl.DataFrame]:
        done = publish_database(tables, AS_OF, **options)  # type: ignore[arg-type]
        with duckdb.connect(str(done.path), read_only=True) as connection:
            return done.is_new, connection.sql("FROM sigma_members").pl()

    is_new, found = published()
    assert is_new
    assert (found.columns, found.height) == (list(MEMBER_COLUMNS), 0)
    ann = pl.DataFrame([{"member_id": "1", "email": "Ann@x.org", "teams": ["HR"], "is_active": True}], schema=MEMBERS)
    for names, later in ((["HR"], 0), (["Finance", "HR"], 1)):
        members = as_stored(ann.with_columns(teams=pl.lit(names)), None)
        capture_members(tables, members, "here", NOW + timedelta(hours=later))
        is_new, found = published()
        assert is_new
        assert found.select("user_email", "teams").rows() == [("ann@x.org", names)]
        assert not published()[0]
    # Switched off, they are not shown any more.
    assert published(with_members=False)[1].is_empty()
    assert {table: tables.open(table).version() for table in METRIC_TABLES} == versions


@pytest.mark.parametrize(
    ("members", "is_source"),
    [("", False), ("none", False), ("members.csv", True)],
    ids=["nowhere", "off", "file"],
)
def test_who_is_forgotten_brings_no_members_back_that_are_switched_off(
    members: str, is_source: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch)
    tables = computed(tmp_path / "storage")
    found = pl.DataFrame([{"member_id": "1", "email": "bob@x.org", "is_active": True}], schema=MEMBERS)
    capture_members(tables, as_stored(found, None), "here", NOW)
    environment = {
        "SIGMA_IMPRESSIONS_PROJECT": str(tmp_path),
        "DAGSTER_HOME": str(tmp_path / "dagster_home"),
        "SIGMA_IMPRESSIONS_BUCKET_URI": "s3://exports-bucket/sigma",
        "SIGMA_IMPRESSIONS_STORAGE": str(tmp_path / "storage"),
        "SIGMA_IMPRESSIONS_MEMBERS": members,
    }
    assert CliRunner().invoke(main, ["forget", "ann@x.org"], env=environment).exit_code == 0
    with duckdb.connect(str(tmp_path / "storage" / DATABASE_NAME), read_only=True) as connection:
        assert len(connection.sql("FROM sigma_members").fetchall()) == int(is_source)
