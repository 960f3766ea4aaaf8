"""The metrics over a long history, against recomputing everything."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from bench.measure import Measured, measure, revision
from bench.stock import shares_of

LAST_DAY = date(2026, 11, 20)

ROWS = 1_000_000
WINDOW = 60

_SHORT = "short"
_LONG_HISTORY = 365
_LATE_DATES = 6
_LATE_SHARE = 50
"""Every so-many-th row of these dates is written late."""
_ROUNDS = 3
_PEERS = {"naive SQL": "naive", "polars": "polars"}

MODULE = "bench.windows"
"""Where the functions of processes of their own are."""


def lines(folder: Path, large: bool, before: Path | None = None) -> Iterator[str]:
    """The section of the results; `large` adds a history of a year, and `before` what another checkout takes."""
    yield "From normalized rows to the published database"
    yield (
        f"{ROWS:,} rows a day by 12,000 users, in two files of which the second repeats a part of the first. "
        f"`first build`: all days, as of each of them; `increment`: a new day is counted, the windows up to it are "
        "stated and published; `its daily part` ends "
        f"before the windows. `late file`: the same for a file with rows of the last {_LATE_DATES} event dates, whose "
        "as-of dates are restated. `nothing new`: all is found up to date. `naive SQL`: one DuckDB query over the raw "
        f"rows of {WINDOW} days; `polars`: a script that does the same day by day. These two do not find who used a "
        "resource, the activity of users, or what is unmatched."
        + (f" `before`: the same by {revision(before)}, with a history of its own." if before else "")
    )
    yield ""
    yield "| days | way | seconds | increment = 1 | peak memory |"
    yield "| --- | --- | --- | --- | --- |"
    first_build, ways = _histories(folder / _SHORT, WINDOW)
    peers = {way: (ways["increment"][0], function, None) for way, function in _PEERS.items()}
    first_builds = {"first build": first_build}
    if before:
        first_build, others = _histories(folder / "before", WINDOW, before)
        first_builds["first build, before"] = first_build
        ways |= {f"{way}, before": others[way] for way in ("increment", "late file")}
    results = {**first_builds, **_compare(folder, {**ways, **peers}, _ROUNDS)}
    reference = results["increment"]
    for way, measured in results.items():
        yield _row(WINDOW, way, measured, reference)
    built = shares_of(folder / _SHORT / "known")
    if large:
        _, ways = _histories(folder / "long", _LONG_HISTORY)
        for way, measured in _compare(folder, ways, _ROUNDS).items():
            yield _row(_LONG_HISTORY, way, measured, reference)
    yield ""
    yield (
        f"Bytes after the first build, normalized rows = 1: as-of tables {built.as_of_ratio}, everything "
        f"{built.everything_ratio}."
    )


def _row(days: int, way: str, measured: Measured, reference: Measured) -> str:
    ratio = measured.seconds / reference.seconds
    return f"| {days} | {way} | {measured.seconds:.2f} | {ratio:.2f} | {measured.memory} |"


def published(folder: Path, storage: Path) -> None:
    """Put a storage of a whole window, as of each of its days, into `storage`, by way of the histories in `folder`."""
    _, ways = _histories(folder / _SHORT, WINDOW)
    link(ways["increment"][0], storage)
    measure((MODULE, "publish", str(storage), str(LAST_DAY)))


_Ways = dict[str, tuple[Path, str, Path | None]]
"""By name: the storage that a way begins with, and the function of this module, in which checkout, that it runs."""


def _histories(folder: Path, days: int, checkout: Path | None = None) -> tuple[Measured, _Ways]:
    """How long the first build took, and storages to begin with, which a folder that was kept has already."""
    known, grown, late = folder / "known", folder / "grown", folder / "late"
    ready = folder / "first_build.json"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        ready.write_text(json.dumps(asdict(_build_histories(known, grown, late, days, checkout))), encoding="utf-8")
    return Measured(**json.loads(ready.read_text(encoding="utf-8"))), {
        "increment": (grown, "publish", checkout),
        "its daily part": (grown, "daily", checkout),
        "late file": (late, "publish", checkout),
        "its daily part (late file)": (late, "daily", checkout),
        "nothing new": (known, "publish_again", checkout),
    }


def _build_histories(known: Path, grown: Path, late: Path, days: int, checkout: Path | None) -> Measured:
    """Write the storages: all days but the last; then the last; then also a late file. The first one's build."""

    def run(function: str, storage: Path, *days: date) -> Measured:
        return measure((MODULE, function, str(storage), *map(str, days)), checkout=checkout)

    first, last = LAST_DAY - timedelta(days=days - 1), LAST_DAY
    before = last - timedelta(days=1)
    run("generate", known, first, before)
    first_build = run("build", known, first, before)
    link(known, grown)
    run("generate", grown, last, last)
    link(grown, late)
    run("publish", late, last)
    run("generate_late", late, last)
    return first_build


def _compare(folder: Path, ways: _Ways, rounds: int) -> dict[str, Measured]:
    """The run with the median time of each way, each run on a fresh copy of its storage; they take turns."""
    results: dict[str, list[Measured]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (storage, function, checkout) in ways.items():
            copy = folder / "copy"
            shutil.rmtree(copy, ignore_errors=True)  # of a measurement that was broken off
            link(storage, copy)
            result = measure((MODULE, function, str(copy), str(LAST_DAY)), checkout=checkout)
            shutil.rmtree(copy)
            results[way].append(result)
    return {way: sorted(runs, key=lambda run: run.seconds)[rounds // 2] for way, runs in results.items()}


def link(source: Path, target: Path) -> None:
    """A copy of a storage that shares its files, which never change."""
    shutil.copytree(source, target, copy_function=os.link)


# --- in a process of their own


def generate(storage: Path, first: str, last: str, rows: str = str(ROWS)) -> None:
    from bench.history import History, add_days
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.upstream.snapshots import capture_snapshot

    tables, history = Tables(storage), History()
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    capture_snapshot(tables, history.resources(), "bench", datetime(2026, 1, 1, tzinfo=UTC))
    add_days(tables, history, [begin + timedelta(days=n) for n in range((end - begin).days + 1)], int(rows))


def generate_late(storage: Path, last: str, rows: str = str(ROWS)) -> None:
    import polars as pl

    from bench.history import History, add_file
    from sigma_impressions.lake.tables import Tables

    history, end = History(), date.fromisoformat(last)
    # Days that differ from those that are known, so that the views are new.
    parts = [
        history.rows(end - timedelta(days=back), int(rows) // _LATE_SHARE).with_columns(count=pl.lit(2, pl.Int64))
        for back in range(_LATE_DATES)
    ]
    add_file(Tables(storage), "late.csv", end, pl.concat(parts))


def daily(storage: Path, as_of: str) -> None:
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.metrics.daily import refresh_daily_impressions

    refresh_daily_impressions(Tables(storage), "largest")


def build(storage: Path, first: str, last: str, gigabytes: str = "1") -> None:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    _publish(storage, [begin + timedelta(days=n) for n in range((end - begin).days + 1)], int(gigabytes))


def publish(storage: Path, as_of: str) -> None:
    _publish(storage, [date.fromisoformat(as_of)])


def _publish(storage: Path, as_of_dates: Sequence[date], gigabytes: int = 1) -> None:
    from sigma_impressions.lake.engine import Limits
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.metrics.as_of import refresh_metrics
    from sigma_impressions.metrics.daily import refresh_daily_impressions
    from sigma_impressions.publish.settle import publish_settled

    tables, limits = Tables(storage), Limits(gigabytes)
    refresh_daily_impressions(tables, "largest", limits)
    refresh_metrics(tables, as_of_dates, limits)
    publish_settled(tables, "largest", as_of_dates, None, report=print, limits=limits)


def publish_again(storage: Path, as_of: str) -> None:
    publish(storage, str(date.fromisoformat(as_of) - timedelta(days=1)))


def naive(storage: Path, as_of: str) -> None:
    from sigma_impressions.lake import engine
    from sigma_impressions.lake.engine import Limits
    from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, SIGMA_RESOURCES
    from sigma_impressions.lake.tables import Tables

    tables = Tables(storage)
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 8 // 10**10
    with engine.connect(storage, Limits(most)) as connection:  # what DuckDB takes by itself: most of the machine
        for table in (NORMALIZED_IMPRESSIONS, SIGMA_RESOURCES):
            engine.view(connection, tables.open(table))
        sql = Path(__file__).with_name("naive.sql").read_text(encoding="utf-8")
        connection.sql(sql, params={"as_of": date.fromisoformat(as_of)}).to_arrow_table()


def polars(storage: Path, as_of: str) -> None:
    import polars as pl

    from sigma_impressions.lake.schemas import NORMALIZED_IMPRESSIONS, SIGMA_RESOURCES
    from sigma_impressions.lake.tables import Tables
    from sigma_impressions.windows import window

    tables, end = Tables(storage), date.fromisoformat(as_of)
    raw = tables.read(NORMALIZED_IMPRESSIONS)
    keys = ["workbook_url_id", "element_id", "user_email"]
    days = []
    for day in window(end):
        views = raw.filter((pl.col("event_date") == day) & (pl.col("file_date") == day))
        claimed = views.group_by(*keys, "request_time", "file_id").agg(pl.col("count").sum())
        once = claimed.group_by(*keys, "request_time").agg(pl.col("count").max())
        days.append(once.group_by(keys).agg(pl.col("count").sum()).with_columns(day=day).collect(engine="streaming"))
    everything = pl.concat(days).lazy()
    totals = []
    for length in (14, 30, 60):
        within = everything.filter(pl.col("day") > end - timedelta(days=length))
        of_window = within.group_by("workbook_url_id", "element_id").agg(
            pl.col("count").sum().alias(f"total_impressions_{length}d"),
            pl.col("user_email").n_unique().alias(f"distinct_impressions_users_{length}d"),
        )
        totals.append(of_window)
    result = tables.read(SIGMA_RESOURCES)
    for total in totals:
        result = result.join(total, on=["workbook_url_id", "element_id"], how="left", nulls_equal=True)
    result.collect(engine="streaming")


if __name__ == "__main__":
    _, name, folder, *days = sys.argv
    globals()[name](Path(folder), *days)
