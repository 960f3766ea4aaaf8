"""Published weeks to tell a digest of: made of rows, export files and resources, by the pipeline itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from sigma_impressions.lake.commits import append_rows
from sigma_impressions.lake.schemas import EXPORT_FILES
from sigma_impressions.lake.tables import Tables
from sigma_impressions.metrics.as_of import refresh_metrics
from sigma_impressions.metrics.daily import refresh_daily_impressions
from sigma_impressions.publish.database import publish_database
from sigma_impressions_tests.metrics.captured import Captured, capture_files, discover
from sigma_impressions_tests.metrics.reference import Row
from sigma_impressions_tests.report.published import HOSTILE

TODAY = date(2026, 11, 20)
COMPLETE = TODAY - timedelta(days=1)
"""The last complete day: the newest export file is of the night before today. The week is that of 13 to 19 November."""


def at(ago: int) -> datetime:
    """A moment so many days before today."""
    return datetime(2026, 11, 20, 9, tzinfo=UTC) - timedelta(days=ago)


def views(workbook: str, ago: int, *counts: int, element: str | None = None) -> list[Row]:
    """Views of a workbook on a day: so many by each of some people, Ann first."""
    people = ("ann@example.com", "bob@example.com", "cyd@example.com", None)
    return [Row(at(ago), user, workbook, element, n) for user, n in zip(people, counts, strict=False) if n]


def workbook(url_id: str, owner: str | None = "ann@example.com", **more: Any) -> dict[str, Any]:
    """A workbook of Sigma, old enough to be called unused."""
    return {
        "resource_type": "sigma_workbook",
        "workbook_url_id": url_id,
        "name": url_id,
        "owner_email": owner,
        "created_at": at(400),
        "path": "Acme/Sales",
        "url": f"https://app.sigmacomputing.com/acme/workbook/{url_id}",
        **more,
    }


NOW_AND_THEN = tuple(range(1, 75, 6))
"""Days ago on which something is viewed, so near each other that one file tells of all days between."""


@dataclass
class Story:
    """What is stored: the rows of one export file, or no rows and files of some days; files that are not counted."""

    rows: list[Row]
    resources: list[dict[str, Any]]
    files_of: Iterable[int] = ()
    not_counted: Mapping[str, list[tuple[str, int, str]]] = field(default_factory=dict)

    def publish(self, folder: Path, today: date = TODAY) -> Path:
        """The published database of the story."""
        tables = Tables(folder)
        discover(tables, pl.DataFrame(self.resources, infer_schema_length=None))
        night = at(0).replace(hour=1)
        history = Captured("history", self.rows, TODAY, night)
        quiet = [Captured(f"of {ago} days ago", [], (TODAY - timedelta(days=ago)), night) for ago in self.files_of]
        capture_files(tables, [history, *quiet])
        refused = [
            {
                "file_id": key,
                "capture_id": key,
                "key": key,
                "version": "1",
                "file_date": TODAY - timedelta(days=ago),
                "last_modified": night,
                "status": status,
                "reason": reason,
                "captured_at": night,
            }
            for status, files in self.not_counted.items()
            for key, ago, reason in files
        ]
        if refused:
            frame = pl.DataFrame(refused, schema=EXPORT_FILES.schema)
            append_rows(tables.open(EXPORT_FILES), frame)
        refresh_daily_impressions(tables, "largest")
        refresh_metrics(tables, [today])
        return publish_database(tables, today).path


def usual() -> Story:
    """A week with something of everything."""
    rows = [row for ago in NOW_AND_THEN for row in views("Board", ago, 2, 1)]
    rows += [*views("Pipeline", 9, 3, 1), *views("Pipeline", 2, 10, 6, 4), *views("Pipeline", 1, 1, element="chart")]
    rows += views("Launch", 1, 4, 4)
    rows += [*views("Churn", 12, 0, 30), *views("Churn", 3, 10)]
    rows += [*views("Sunset", 8, 9)]
    rows += [*views("Steady", 7, 10), *views("Steady", 6, 13)]
    rows += [*views("Embed", 10, 2, 1, 0, 20), *views("Embed", 4, 0, 0, 0, 60)]
    rows += [*views("Archived", 2, 50), *views("Model", 2, 50)]
    # Today is not complete; it only says that somebody came back.
    rows += [*views("Revived", 64, 1), *views("Revived", 0, 40)]
    # The 60th day without a view is before the week, its first, its last, and after it.
    rows += [row for name, ago in (("Long ago", 68), ("Budget", 67), ("Forgotten", 61), ("Nearly", 60))
             for row in views(name, ago, 1)]  # fmt: skip
    names = ("Board", "Pipeline", "Launch", "Churn", "Sunset", "Steady", "Revived", "Long ago", "Budget", "Nearly")
    resources = [
        *map(workbook, names),
        workbook("Forgotten", "Cyd@Example.com "),
        workbook("Embed", "bob@example.com"),
        workbook("Never", "bob@example.com", path=None, url=None),
        workbook("Draft", "bob@example.com", created_at=at(3)),
        workbook("Orphan", None),
        workbook("Archived", is_archived=True),
        workbook("Model") | {"resource_type": "sigma_data_model"},
        {"resource_type": "sigma_element", "workbook_url_id": "Pipeline", "element_id": "chart"},
    ]
    not_counted = {
        "refused": [
            ("exports/2026-11-18.csv", 2, "missing_required_column"),
            ("exports/2026-11-14.csv", 6, "not_csv"),
            ("exports/2026-11-12.csv", 8, "not_csv"),
        ],
        "unreadable": [("exports/2026-11-20.csv.gz", 0, "access denied")],
    }
    return Story(rows, resources, not_counted=not_counted)


def empty() -> Story:
    """A week in which exports came, and nobody had viewed anything."""
    rows = [row for ago in NOW_AND_THEN if ago > 7 for row in views("Board", ago, 2, 1)]
    return Story(rows, [workbook("Board")], files_of=range(20))


def hostile() -> Story:
    """A week of workbooks, owners and files whose names are meant to break what shows them."""
    rows = [row for ago in NOW_AND_THEN for row in views("w0", ago, 1)]
    rows += [row for number in range(1, 4) for row in views(f"w{number}", 2, 50 - number)]
    rows += [row for number in range(4, 7) for row in views(f"w{number}", 9, 50 - number)]
    rows += views("w7", 61, 1)
    names = [
        *("Board", *HOSTILE[:3]),
        *("<!channel> *now* `x` _y_", "https://evil.example/login or evil.example, says a@example.com"),
        *(HOSTILE[3], 'x” from 1 to 9,999 views, “y "z"'),
    ]
    resources = [
        workbook(f"w{number}", f"{name}@acme.example", name=name, path=name, url="javascript:alert(4)")
        for number, name in enumerate(names)
    ]
    resources += [workbook(f"never{n}", "=x@acme.example", name=f"=cmd|'{n}'!A0", url=None) for n in range(30)]
    return Story(rows, resources, not_counted={"refused": [("exports/<!here> *x* |evil.example|.csv", 1, "not_csv")]})
