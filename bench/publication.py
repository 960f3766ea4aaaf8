"""What the members of an organization cost a publication: the same database with and without them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from bench.measure import Measured, measure

WORKBOOKS, MEMBERS, TEAMS = 5_000, 12_000, 300

_LAST_DAY = date(2026, 11, 20)
_DAYS = 60
_ROWS = 100_000
_ROUNDS = 7
_MODULE = "bench.publication"
_WITH, _WITHOUT = "with members", "without members"


def lines(folder: Path, large: bool) -> Iterator[str]:
    """The section of the results."""
    storage = folder / "storage"
    resources = int(measure((_MODULE, "build", str(storage))).output)
    runs: dict[str, list[Measured]] = {_WITHOUT: [], _WITH: []}
    for _ in range(_ROUNDS):
        for way, of_way in runs.items():
            of_way.append(measure((_MODULE, "publish", str(storage), way)))
    results = {way: sorted(found, key=lambda run: run.work_seconds)[_ROUNDS // 2] for way, found in runs.items()}
    yield "A publication with the members of an organization"
    yield (
        f"The database as of one day: {_DAYS} days of {_ROWS:,} rows, {resources:,} resources, {WORKBOOKS:,} of them "
        f"workbooks, in folders, with owners, their elements on pages; {MEMBERS:,} members in {TEAMS} teams, most of "
        "whom viewed something. Without members the tables about them are there all the same, and have no figures of "
        "them. `seconds` are of processor time, of all threads, and of the publication alone: what it is made of is "
        "computed, but for the users of each resource. Processes take turns, each of which replaces what the one "
        f"before has published; a figure is the median of {_ROUNDS}."
    )
    yield ""
    yield "| publication | seconds of processor time | without members = 1 | peak memory | database |"
    yield "| --- | --- | --- | --- | --- |"
    for way, measured in results.items():
        ratio = measured.work_seconds / results[_WITHOUT].work_seconds
        size = int(measured.output.splitlines()[0])
        yield f"| {way} | {measured.work_seconds:.2f} | {ratio:.2f} | {measured.memory} | {size / 1e6:.1f} MB |"


# --- in a process of their own


def build(storage: Path) -> None:
    """Compute the metrics of the organization, and print how many resources it has."""
    from bench.history import History, add_days
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.metrics.as_of import refresh_metrics
    from sigma_impressions.metrics.daily import refresh_daily_impressions
    from sigma_impressions.upstream.members_stored import as_stored, capture_members
    from sigma_impressions.upstream.snapshots import capture_snapshot

    tables, history = Tables(storage), History(WORKBOOKS)
    known_since = datetime(2026, 1, 1, tzinfo=UTC)
    resources = _described(history.resources(), history.users)
    capture_snapshot(tables, resources, "bench", known_since)
    capture_members(tables, as_stored(_members(history.users), None), "bench", known_since)
    add_days(tables, history, [_LAST_DAY - timedelta(days=back) for back in reversed(range(_DAYS))], _ROWS)
    refresh_daily_impressions(tables, "largest")
    refresh_metrics(tables, [_LAST_DAY])
    print(resources.height)


def _described(resources: pl.DataFrame, users: pl.Series) -> pl.DataFrame:
    """The resources in three levels of folders, owned by some 1,000 of the users; four elements to a page."""
    workbook = pl.col("workbook_url_id").rank("dense") - 1
    element = pl.int_range(pl.len()).over("workbook_url_id", "resource_type")
    page = pl.when(pl.col("element_id").is_not_null()).then(pl.format("page {}", element // 4))
    return resources.with_columns(
        path=pl.format("Area {}/Department {}/Project {}", workbook % 10, workbook % 50, workbook % 500),
        owner_email=users.gather_every(len(users) // 1_000).gather(resources.select(workbook % 1_000).to_series()),
        page_id=page,
        page_name=page,
        created_at=pl.lit(datetime(2025, 1, 1, tzinfo=UTC)),
    )


def _members(users: pl.Series) -> pl.DataFrame:
    """Members, each in up to three teams: users but for every tenth, and as many who never viewed anything."""
    from sigma_impressions.upstream.members import MEMBERS as COLUMNS

    number = pl.int_range(pl.len())
    teams = [pl.format("Team {}", number * factor % TEAMS) for factor in (1, 7, 11)]
    return (
        pl.DataFrame({"email": users.head(MEMBERS)})
        .with_columns(pl.when(number % 10 == 0).then("never." + pl.col("email")).otherwise("email").alias("email"))
        .select(
            member_id=pl.format("member {}", number),
            email="email",
            name=pl.format("Name {}", number),
            account_type=pl.when(number % 4 == 0).then(pl.lit("Creator")).otherwise(pl.lit("Viewer")),
            kind=pl.lit("internal"),
            teams=pl.concat_list(teams).list.head(number % 4).list.unique().list.sort(),
            created_at=pl.lit(datetime(2025, 1, 1, tzinfo=UTC)),
            is_active=pl.lit(True),
        )
        .cast(dict(COLUMNS))
    )


def publish(storage: Path, way: str) -> None:
    """Publish the database, and print its size and the processor time that this took."""
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.publish.database import publish_database

    tables, before = Tables(storage), time.process_time()
    published = publish_database(tables, _LAST_DAY, with_members=way == _WITH)
    took = time.process_time() - before
    if not published.is_new:
        raise RuntimeError("nothing was published")
    print(published.path.stat().st_size, took, sep="\n")


if __name__ == "__main__":
    _, name, folder, *more = sys.argv
    globals()[name](Path(folder), *more)
