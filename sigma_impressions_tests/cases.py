"""The cases under `cases/`: input files with the tables they must give."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

FOLDER = Path(__file__).parent / "cases"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/case.json"))
METRIC_TABLES = ("resource_impressions", "user_activity", "unmatched_impressions")


@dataclass(frozen=True)
class Case:
    """A case: its files, settings and resources, and what must come out."""

    name: str
    as_of: date
    settings: dict[str, str]
    resources: list[dict[str, Any]]
    files: list[dict[str, Any]]
    expected: dict[str, Any]

    def data(self, file: dict[str, Any]) -> bytes:
        return (FOLDER / self.name / file["path"]).read_bytes()

    def write_resources(self, folder: Path) -> Path:
        path = folder / "sigma_resources.ndjson"
        path.write_text("".join(json.dumps(resource) + "\n" for resource in self.resources), encoding="utf-8")
        return path


def load(name: str) -> Case:
    described = json.loads((FOLDER / name / "case.json").read_text(encoding="utf-8"))
    expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    return Case(
        name,
        date.fromisoformat(described["as_of"]),
        described["settings"],
        described["resources"],
        described["files"],
        expected,
    )


def published(database: Path) -> dict[str, list[dict[str, Any]]]:
    """The tables of a published database in the form of `expected.json`."""
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = {}
        for name in METRIC_TABLES:
            relation = connection.sql(f"SELECT * FROM {name}")
            tables[name] = sorted(
                ({c: plain(v) for c, v in zip(relation.columns, row, strict=True)} for row in relation.fetchall()),
                key=_order,
            )
        reasons: dict[str, dict[str, int]] = {}
        counted = connection.execute("SELECT key, reason, count(*) FROM rejected_rows GROUP BY ALL").fetchall()
        for key, reason, rows in counted:
            reasons.setdefault(key, {})[reason] = rows
        files = connection.execute("SELECT key, rows, accepted, rejected, skipped, status, reason FROM export_files")
        tables["files"] = [
            {
                "key": key,
                "rows": rows,
                "accepted": accepted,
                "rejected": rejected,
                "skipped": skipped,
                "refused": reason if status == "refused" else None,
                "reasons": reasons.get(key, {}),
            }
            for key, rows, accepted, rejected, skipped, status, reason in files.fetchall()
        ]
    return tables


def _order(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row.get(c) or "") for c in ("resource_type", "workbook_url_id", "element_id", "user_email"))


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def assert_as_expected(case: Case, database: Path) -> None:
    """Every column that the case states, of every row, is as stated; and there are no other rows."""
    found = published(database)
    for name in METRIC_TABLES:
        wanted = case.expected[name]
        assert len(found[name]) == len(wanted), name
        for row, stated in zip(found[name], wanted, strict=True):
            assert {column: row[column] for column in stated} == stated, name
    by_key = sorted(found["files"], key=lambda file: file["key"])
    assert by_key == sorted(case.expected["files"], key=lambda file: file["key"])
    given = {(r["resource_type"], r["workbook_url_id"], r.get("element_id")): r for r in case.resources}
    for row in found["resource_impressions"]:
        resource = given[row["resource_type"], row["workbook_url_id"], row["element_id"]]
        for column in ("workbook_id", "name", "workbook_name", "path", "owner_email"):
            assert row[column] == resource.get(column)
