"""Counting and metrics in plain, slow Python, written from the specification: what the SQL is compared with."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

WORKBOOKS = ("sigma_workbook", "sigma_data_model")
"""A data model is to its elements what a workbook is."""


@dataclass(frozen=True)
class Row:
    """An accepted row of an export file; without a user it is an impression of nobody."""

    request_time: datetime
    user_email: str | None
    workbook_url_id: str
    element_id: str | None
    count: int = 1
    event_id: str | None = None

    @property
    def identity(self) -> tuple[datetime, str | None, str, str | None]:
        return self.request_time, self.user_email, self.workbook_url_id, self.element_id


@dataclass(frozen=True)
class Impression:
    """Rows that were counted once."""

    at: datetime
    user: str | None
    workbook: str
    element: str | None
    count: int


def count_once(files: list[list[Row]], overlapping_exports: str = "largest") -> list[Impression]:
    deliveries: dict[Any, list[Row]] = defaultdict(list)
    claims: dict[Any, list[int]] = defaultdict(list)
    for rows in files:
        sums: dict[Any, int] = defaultdict(int)
        for row in rows:
            if row.event_id is None:
                sums[row.identity] += row.count
            else:
                deliveries[row.event_id, row.request_time.date(), *row.identity[1:]].append(row)
        for identity, total in sums.items():
            claims[identity].append(total)
    combine = sum if overlapping_exports == "sum" else max
    counted = [Impression(*identity, combine(totals)) for identity, totals in claims.items()]
    for rows in deliveries.values():
        best = max(rows, key=lambda row: (row.count, row.request_time))
        counted.append(Impression(*best.identity, best.count))
    return counted


def match(impression: Impression, resources: list[dict[str, Any]]) -> tuple[str, bool, bool]:
    """The workbook's URL ID, whether the workbook is known, whether the resource is."""
    workbooks = [r for r in resources if r["resource_type"] in WORKBOOKS]
    if UUID.fullmatch(impression.workbook):
        hits = [w for w in workbooks if (w.get("workbook_id") or "").lower() == impression.workbook.lower()]
    else:
        hits = [w for w in workbooks if w["workbook_url_id"] == impression.workbook]
    if not hits:
        return impression.workbook, False, False
    url_id = hits[0]["workbook_url_id"]
    element_is_known = impression.element is None or any(
        r["workbook_url_id"] == url_id and r.get("element_id") == impression.element
        for r in resources
        if r["resource_type"] == "sigma_element"
    )
    return url_id, True, element_is_known


def users_of(impressions: Iterable[Impression]) -> set[str]:
    """Everybody who viewed: nobody is no user."""
    return {impression.user for impression in impressions if impression.user is not None}


class Reference:
    """The metrics of an as-of date, asked for one number at a time."""

    def __init__(self, impressions: list[Impression], resources: list[dict[str, Any]], as_of: date) -> None:
        self._as_of = as_of
        self.impressions = [
            (impression, *match(impression, resources)) for impression in impressions if 0 <= self._age(impression) < 60
        ]

    def _age(self, impression: Impression) -> int:
        return (self._as_of - impression.at.astimezone(UTC).date()).days

    def _figures(self, rows: list[Impression], total: str, users: str) -> dict[str, int]:
        figures = {}
        for days in (14, 30, 60):
            inside = [row for row in rows if self._age(row) < days]
            figures[f"{total}_{days}d"] = sum(row.count for row in inside)
            figures[f"{users}_{days}d"] = len(users_of(inside))
        return figures

    def resource(self, resource: dict[str, Any]) -> dict[str, Any]:
        url_id, element = resource["workbook_url_id"], resource.get("element_id")
        is_workbook = resource["resource_type"] in WORKBOOKS
        own = [i for i, w, _, known in self.impressions if known and w == url_id and i.element == element]
        below = [i for i, w, known, _ in self.impressions if known and w == url_id]
        users = users_of(own)
        used = [
            {
                "user_email": user,
                **{
                    f"impressions_{days}d": sum(r.count for r in own if r.user == user and self._age(r) < days)
                    for days in (14, 30, 60)
                },
                "first_impression_at": min(r.at for r in own if r.user == user),
                "last_impression_at": max(r.at for r in own if r.user == user),
            }
            for user in users
        ]
        return {
            **self._figures(own, "total_impressions", "distinct_impressions_users"),
            **self._figures(
                below if is_workbook else own,
                "total_impressions_with_elements",
                "distinct_impressions_users_with_elements",
            ),
            "total_impressions_prior_14d": sum(r.count for r in own if 14 <= self._age(r) <= 27),
            "first_impression_at": min((r.at for r in own), default=None),
            "last_impression_at": max((r.at for r in own), default=None),
            "anonymous_impressions_60d": sum(r.count for r in (below if is_workbook else own) if r.user is None),
            "used": sorted(used, key=lambda entry: (-entry["impressions_60d"], entry["user_email"])),
        }

    def user(self, user: str) -> dict[str, Any]:
        rows = [(i, w) for i, w, _, _ in self.impressions if i.user == user]
        figures: dict[str, Any] = {}
        for days in (14, 30, 60):
            inside = [(i, w) for i, w in rows if self._age(i) < days]
            figures[f"total_impressions_{days}d"] = sum(i.count for i, _ in inside)
            figures[f"distinct_workbooks_{days}d"] = len({w for _, w in inside})
            figures[f"distinct_resources_{days}d"] = len({(w, i.element) for i, w in inside})
            figures[f"active_days_{days}d"] = len({self._age(i) for i, _ in inside})
        figures["first_impression_at"] = min(i.at for i, _ in rows)
        figures["last_impression_at"] = max(i.at for i, _ in rows)
        return figures

    def users(self) -> set[str]:
        return users_of(i for i, *_ in self.impressions)

    def unmatched(self) -> dict[tuple[str, str | None, str], dict[str, Any]]:
        groups: dict[tuple[str, str | None, str], list[Impression]] = defaultdict(list)
        for impression, workbook, workbook_is_known, resource_is_known in self.impressions:
            if not resource_is_known:
                reason = "unknown_element" if workbook_is_known else "unknown_workbook"
                groups[workbook, impression.element, reason].append(impression)
        return {
            key: {
                "total_impressions_60d": sum(r.count for r in rows),
                "distinct_impressions_users_60d": len(users_of(rows)),
                "first_impression_at": min(r.at for r in rows),
                "last_impression_at": max(r.at for r in rows),
            }
            for key, rows in groups.items()
        }
