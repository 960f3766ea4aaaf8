"""A tick of the sensor over a prefix of many objects, on an S3 server of this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.measure import Measured, compare, measure

OBJECTS = 100_000
_ROUNDS = 2
_DAYS = 400
_BUCKET = "bench"
_PREFIX = "sigma/"
_PATTERN = r"^sigma/(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    yield "A tick of the sensor"
    yield (
        f"{OBJECTS:,} export files of {_DAYS} days under one prefix of the embedded S3 server (SeaweedFS), all of them "
        "captured. A whole process with one tick, its start included: settings, listing, comparison, decision. The "
        "server runs on the same cores."
    )
    yield ""
    yield "| tick | seconds | peak memory |"
    yield "| --- | --- | --- |"
    for name, measured in _measure(folder).items():
        yield f"| {name} | {measured.seconds:.1f} | {measured.memory} |"


def _measure(folder: Path) -> dict[str, Measured]:
    from sigma_impressions.demo.object_store import EmbeddedObjectStore

    with EmbeddedObjectStore(folder / "store") as store:
        store.create_bucket(_BUCKET)
        os.environ.update(
            {
                **store.environment(),
                "SIGMA_IMPRESSIONS_PROJECT": str(folder),
                "SIGMA_IMPRESSIONS_BUCKET_URI": f"s3://{_BUCKET}/{_PREFIX}",
                "SIGMA_IMPRESSIONS_FILE_DATE_PATTERN": _PATTERN,
            }
        )
        # In a process of its own: what this one has in memory would be counted as that of its children.
        measure(("bench.listing", "prepare", str(folder)))
        ticks = {
            "without a cursor: the whole prefix, every file compared with the registry": (),
            "settled: the whole prefix": (str(folder / "whole"),),
            "settled: dated keys from the first day of the look-back on": (str(folder / "settled"),),
        }
        return compare({name: ("bench.listing", "tick", *cursor) for name, cursor in ticks.items()}, _ROUNDS)


def _keys(objects: int) -> Iterator[str]:
    today = datetime.now(UTC).date()
    for number in range(objects):
        yield f"{_PREFIX}{today - timedelta(days=number % _DAYS)}T00-30-00 Workbook usage {number}.csv"


def prepare(folder: str) -> None:
    """Fill the bucket, register every object as captured, and leave the cursors of a settled bucket in the folder."""
    import boto3

    client = boto3.client("s3")
    with ThreadPoolExecutor(16) as pool:
        for done in pool.map(lambda key: client.put_object(Bucket=_BUCKET, Key=key, Body=b"x"), _keys(OBJECTS)):
            assert done["ETag"]
    cursor = _settled_cursor()
    (Path(folder) / "settled").write_text(cursor)
    (Path(folder) / "whole").write_text(json.dumps({**json.loads(cursor), "partial_ticks": 0}))


def _settled_cursor() -> str:
    import polars as pl

    from sigma_impressions.defs.sigma_source import SigmaSource
    from sigma_impressions.exports.listing import survey
    from sigma_impressions.exports.sensor import Rules, Stored, World, decide
    from sigma_impressions.lake.commits import append_rows
    from sigma_impressions.lake.schemas import EXPORT_FILES
    from sigma_impressions.wiring import file_date_pattern, object_store, tables

    source = SigmaSource.from_environment().process_config_and_initialize().settings()
    uri, pattern = source.bucket_uri, file_date_pattern(source)
    found = list(object_store(source).list(uri.prefix))
    captured = [
        {"file_id": file_id, "file_date": day, "event_dates": [day - timedelta(days=1), day]}
        for day, file_ids in survey(found, pattern).days.items()
        for file_id in file_ids
    ]
    stored = tables(source)
    registered = pl.DataFrame(captured, EXPORT_FILES.schema).with_columns(
        pl.col("file_id").str.reverse().alias("capture_id"), status=pl.lit("read")
    )
    append_rows(stored.open(EXPORT_FILES), registered)
    world = World(
        runs=lambda: [],
        listing=lambda start: found,
        stored=lambda file_ids, days: Stored(frozenset(), True),
        attempts=lambda request_id: [],
    )
    rules = Rules(str(uri), uri.prefix, source.storage, source.days_back, source.start_date, pattern)
    now = datetime.now(UTC)
    # The first tick looks at six days; after a second one over the whole prefix nothing changes any more.
    first = decide(rules, None, world, now).cursor
    return decide(rules, json.dumps({**json.loads(first), "partial_ticks": 0}), world, now).cursor


def tick(cursor: str = "") -> None:
    import dagster as dg

    from sigma_impressions.defs.build import build_definitions
    from sigma_impressions.defs.sigma_source import SigmaSource

    repository = build_definitions().get_repository_def()
    resources = {"source": SigmaSource.from_environment()}
    text = Path(cursor).read_text() if cursor else None
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance, text, repository_def=repository, resources=resources) as context,
    ):
        result = repository.get_sensor_def("new_export_files").evaluate_tick(context)
    if cursor and result.run_requests:
        sys.exit("The cursor was not that of a settled bucket.")


if __name__ == "__main__":
    {"prepare": prepare, "tick": tick}[sys.argv[1]](*sys.argv[2:])
