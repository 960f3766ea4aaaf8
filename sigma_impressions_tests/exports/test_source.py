"""Whose exports the tables hold: one bucket and prefix, and another one only if it is said to be the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deltalake.exceptions import CommitFailedError

from sigma_impressions.clouds.objects import StoredObject
from sigma_impressions.errors import OtherSource
from sigma_impressions.exports.listing import ExportFile, Listing
from sigma_impressions.exports.manifest import record_listing
from sigma_impressions.exports.source import Source, claim_tables, claimed_manifest, refuse_other_source
from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import RAW_EXPORT_FILES
from sigma_impressions.lake.tables import Tables, note_source, source_of

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
ACME = Source("s3://acme/sigma/", "acme", "sigma/")
OTHERS = [
    Source("s3://other/sigma/", "other", "sigma/"),
    Source("gs://acme/sigma/", "acme", "sigma/"),
    Source("s3://acme/sigma/emea/", "acme", "sigma/emea/"),
]


def record(tables: Tables, *keys: str, bucket: str = ACME.bucket, source: Source | None = None) -> None:
    files = [ExportFile(StoredObject(bucket, key, "v", 1, NOW), NOW.date()) for key in keys]
    record_listing(tables, Listing(files), NOW, source)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


@pytest.mark.parametrize("other", OTHERS, ids=lambda source: source.uri)
def test_another_source_is_refused_until_it_is_said_to_be_the_same(other: Source, tables: Tables) -> None:
    claim_tables(tables, ACME)
    record(tables, "sigma/1.csv")
    claim_tables(tables, ACME)
    for refuse in (claim_tables, refuse_other_source):
        with pytest.raises(OtherSource) as refused:
            refuse(tables, other)
        said = str(refused.value)
        assert f"holds export files of {ACME.uri}, " in said
        assert f"SIGMA_IMPRESSIONS_BUCKET_URI is {other.uri}." in said
        assert all(way in said for way in ("SIGMA_IMPRESSIONS_STORAGE", "--source-moved", "source_moved"))
    claim_tables(tables, other, moved=True)
    refuse_other_source(tables, other)
    with pytest.raises(OtherSource, match=f"holds export files of {other.uri}"):
        claim_tables(tables, ACME)


def test_tables_without_an_export_file_are_anybodys(tables: Tables) -> None:
    claim_tables(tables, Source("s3://acme/typo/", "acme", "typo/"))
    claim_tables(tables, ACME)
    record(tables, "sigma/1.csv")
    refuse_other_source(tables, ACME)


def test_older_tables_are_those_of_the_source_whose_files_they_hold_alone(tables: Tables) -> None:
    record(tables, "sigma/1.csv", "sigma/emea/2.csv")
    for other in (OTHERS[0], OTHERS[2]):
        with pytest.raises(OtherSource, match=r"holds export files of bucket acme, such as sigma/"):
            claim_tables(tables, other)
    assert source_of(tables.newest(RAW_EXPORT_FILES)) is None
    refuse_other_source(tables, ACME)
    claim_tables(tables, ACME)
    assert source_of(tables.newest(RAW_EXPORT_FILES)) == ACME.uri


def test_older_tables_of_two_buckets_have_to_be_taken_over(tables: Tables) -> None:
    record(tables, "sigma/1.csv")
    record(tables, "sigma/2.csv", bucket="other")
    with pytest.raises(OtherSource, match="of bucket other, such as sigma"):
        claim_tables(tables, ACME)
    claim_tables(tables, ACME, moved=True)
    refuse_other_source(tables, ACME)


def test_runs_at_once_claim_the_tables_together(tmp_path: Path) -> None:
    def run(number: int) -> None:
        tables = Tables(tmp_path)
        claim_tables(tables, ACME)
        record(tables, f"sigma/{number}.csv")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    tables = Tables(tmp_path)
    refuse_other_source(tables, ACME)
    assert tables.read(RAW_EXPORT_FILES).collect().height == 4


@pytest.mark.parametrize("first", [0, 1], ids=["the first to claim", "the last to claim"])
def test_of_first_runs_of_two_sources_at_once_only_one_goes_on(first: int, tmp_path: Path) -> None:
    runs = [(Tables(tmp_path), ACME), (Tables(tmp_path), OTHERS[0])]
    for tables, source in runs:
        claim_tables(tables, source)
    for tables, source in (runs[first], runs[1 - first]):
        refused = pytest.raises(OtherSource, match=f"holds export files of {runs[first][1].uri}, ")
        with nullcontext() if source == runs[first][1] else refused:
            record(tables, "sigma/1.csv", bucket=source.bucket, source=source)
    for tables, _ in runs:
        assert set(tables.read(RAW_EXPORT_FILES).collect()["bucket"]) == {runs[first][1].bucket}


def test_a_claim_loses_against_files_that_were_added_meanwhile(tables: Tables) -> None:
    claim_tables(tables, ACME)
    opened = Tables(tables.root).open(RAW_EXPORT_FILES)
    record(tables, "sigma/1.csv", source=ACME)
    with pytest.raises(CommitFailedError):
        note_source(opened, OTHERS[0].uri)
    claimed = claimed_manifest(tables, ACME)
    claim_tables(Tables(tables.root), OTHERS[0], moved=True)
    with pytest.raises(CommitFailedError):
        append_rows(claimed, tables.read(RAW_EXPORT_FILES).collect(), lambda: source_of(claimed) == ACME.uri)
    with pytest.raises(OtherSource):
        record(tables, "sigma/2.csv", source=ACME)
