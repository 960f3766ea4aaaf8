"""Generated histories for the benchmarks: normalized tables of many days, as captured exports leave them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from sigma_impressions.exports.reading.classify import ACCEPTED_SCHEMA
from sigma_impressions.exports.reading.parquet import write_frames
from sigma_impressions.lake.commits import StagedFile, append_files, append_rows
from sigma_impressions.lake.schemas import EXPORT_FILES, NORMALIZED_IMPRESSIONS
from sigma_impressions.lake.tables import Tables
from sigma_impressions.upstream.contract import conform
from sigma_impressions.windows import MAX_DAYS_BACK

_USERS = 12_000
_ELEMENTS_PER_WORKBOOK = 12
_HABIT = 150
"""Workbooks and elements that a user looks at again and again."""

_REPEATED_SHARE = 20
"""Every so-many-th row of a day's export stands in a second export of that day too."""


class History:
    """Exports of a company: every user views what they are in the habit of viewing, some of it many times a day.

    A day has two files, the second of which repeats a part of the first. All is drawn anew from the same seed.
    """

    def __init__(self, workbooks: int = 3_000) -> None:
        rng = np.random.default_rng(11)
        letters = np.array(list("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
        self.workbooks = pl.Series(["".join(rng.choice(letters, 22)) for _ in range(workbooks)])
        self.elements = pl.Series(["".join(rng.choice(letters, 10)) for _ in range(workbooks * _ELEMENTS_PER_WORKBOOK)])
        self.users = pl.Series([f"user.{number:05d}@example.com" for number in range(_USERS)])
        # Popular workbooks are in many habits; of each element a number, 0 for the workbook itself.
        workbook = rng.zipf(1.2, (_USERS, _HABIT)) % workbooks
        element = rng.integers(0, _ELEMENTS_PER_WORKBOOK + 1, (_USERS, _HABIT))
        self._habits = workbook * (_ELEMENTS_PER_WORKBOOK + 1) + element

    def rows(self, day: date, count: int) -> pl.DataFrame:
        """One day's views, ordered by time, with the columns of ACCEPTED_SCHEMA."""
        rng = np.random.default_rng(day.toordinal())
        user = rng.zipf(1.1, count) % _USERS
        resource = self._habits[user, np.minimum(rng.geometric(0.05, count) - 1, _HABIT - 1)]
        workbook, element = np.divmod(resource, _ELEMENTS_PER_WORKBOOK + 1)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        times = pl.Series(midnight + np.sort(rng.integers(0, 86_400_000, count))).cast(pl.Datetime("ms", "UTC"))
        ids = pl.Series(workbook * _ELEMENTS_PER_WORKBOOK + element - 1)
        return pl.DataFrame(
            {
                "row_number": pl.Series(np.arange(1, count + 1)),
                "request_time": times.cast(pl.Datetime("us", "UTC")),
                "event_date": pl.repeat(day, count, dtype=pl.Date(), eager=True),
                "user_email": self.users.gather(user),
                "workbook_url_id": self.workbooks.gather(workbook),
                "element_id": self.elements.gather(ids.set(pl.Series(element == 0), 0)).set(
                    pl.Series(element == 0), None
                ),
                "count": pl.repeat(1, count, dtype=pl.Int64(), eager=True),
                "event_id": pl.repeat(None, count, dtype=pl.String(), eager=True),
            },
            schema=ACCEPTED_SCHEMA,
        )

    def resources(self) -> pl.DataFrame:
        """The workbooks and elements, all but every tenth element."""
        workbooks = pl.DataFrame({"workbook_url_id": self.workbooks}).with_columns(
            resource_type=pl.lit("sigma_workbook"), element_id=pl.lit(None, pl.String)
        )
        parent = self.workbooks.gather(np.arange(self.elements.len()) // _ELEMENTS_PER_WORKBOOK)
        elements = pl.DataFrame({"workbook_url_id": parent, "element_id": self.elements})
        known = elements.with_columns(resource_type=pl.lit("sigma_element")).remove(pl.int_range(pl.len()) % 10 == 0)
        return conform(pl.concat([workbooks, known], how="diagonal"), "the generator")


def add_days(tables: Tables, history: History, days: list[date], rows: int) -> None:
    """Commit the exports of some days, of about `rows` rows each, as a backfill captures them: six days a run."""
    for start in range(0, len(days), MAX_DAYS_BACK):
        captured = []
        for day in days[start : start + MAX_DAYS_BACK]:
            whole = history.rows(day, rows)
            for name, frame in (("daily", whole), ("again", whole.gather_every(_REPEATED_SHARE))):
                captured.append(_add_rows(tables, f"{day}-{name}.csv", day, frame))
        _register(tables, captured)


def add_file(tables: Tables, key: str, file_date: date, frame: pl.DataFrame) -> None:
    """Commit one captured file with the given rows."""
    _register(tables, [_add_rows(tables, key, file_date, frame)])


def _register(tables: Tables, captured: Sequence[Mapping[str, Any]]) -> None:
    append_rows(tables.open(EXPORT_FILES), pl.DataFrame(captured, schema=EXPORT_FILES.schema))


def _add_rows(tables: Tables, key: str, file_date: date, frame: pl.DataFrame) -> dict[str, Any]:
    """Commit the rows of a captured file; its row of the registry."""
    file_id, capture_id = uuid.uuid5(uuid.NAMESPACE_URL, key).hex, uuid.uuid4().hex
    work = tables.root / f"{capture_id}.parquet"
    work.parent.mkdir(parents=True, exist_ok=True)
    labelled = frame.with_columns(file_id=pl.lit(file_id), capture_id=pl.lit(capture_id))
    write_frames([labelled], labelled.clear(), work)
    append_files(tables.open(NORMALIZED_IMPRESSIONS), [StagedFile(work, {"file_date": str(file_date)}, frame.height)])
    moment = datetime(file_date.year, file_date.month, file_date.day, 23, tzinfo=UTC)
    return {
        "file_id": file_id,
        "capture_id": capture_id,
        "bucket": "exports",
        "key": key,
        "version": "1",
        "last_modified": moment,
        "file_date": file_date,
        "status": "read",
        "rows": frame.height,
        "accepted": frame.height,
        "rejected": 0,
        "skipped": 0,
        "event_dates": frame.get_column("event_date").unique().sort().to_list(),
        "captured_at": moment,
    }
