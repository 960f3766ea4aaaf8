"""The insight tables in plain, slow Python, written from docs/insights.md: what the SQL is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions_tests.metrics.reference import Impression, match, users_of

Resource = dict[str, Any]


def day_of(at: datetime) -> date:
    return at.astimezone(UTC).date()


@dataclass(frozen=True)
class View:
    """An impression with what it was matched to."""

    impression: Impression
    workbook: str
    resource_is_known: bool

    @property
    def day(self) -> date:
        return day_of(self.impression.at)


class Insights:
    """The insight tables as of a day.

    `resources` gives those of an as-of date, `first_seen` when a snapshot held one (by type, workbook and element)
    first, `stated` the earlier as-of dates that have tables.
    """

    def __init__(
        self,
        impressions: Iterable[Impression],
        resources: Callable[[date], list[Resource]],
        first_seen: Mapping[tuple[str, str, str | None], datetime],
        *,
        as_of: date,
        rules: InsightRules,
        stated: Iterable[date],
    ) -> None:
        self._as_of, self._rules, self._resources, self._first_seen = as_of, rules, resources, first_seen
        self._stated = set(stated)
        self._views = []
        for impression in impressions:
            if day_of(impression.at) <= as_of:
                workbook, _, resource_is_known = match(impression, resources(as_of))
                self._views.append(View(impression, workbook, resource_is_known))
        models = [r for r in resources(as_of) if r["resource_type"] == "sigma_data_model"]
        self._data_models = {model["workbook_url_id"] for model in models}
        self._first_day = min((view.day for view in self._views), default=as_of)

    # --- what the tables are made from

    def _back(self, days: int) -> date:
        return self._as_of - timedelta(days=days)

    def _between(self, first: date, last: date) -> list[View]:
        return [view for view in self._views if first <= view.day <= last]

    def _of(self, resource: Resource, views: Iterable[View]) -> list[View]:
        """The views of a resource; of a workbook also those of its elements, known or not."""
        element = resource.get("element_id")
        return [
            view
            for view in views
            if view.workbook == resource["workbook_url_id"]
            and (element is None or (view.impression.element == element and view.resource_is_known))
        ]

    def _window(self, resource: Resource, as_of: date, days: int) -> list[View]:
        return self._of(resource, self._between(as_of - timedelta(days=days - 1), as_of))

    def _last(self, resource: Resource) -> datetime | None:
        return max((view.impression.at for view in self._of(resource, self._views)), default=None)

    def _first(self, user: str) -> datetime:
        return min(view.impression.at for view in self._views if view.impression.user == user)

    def _active_workbooks(self, views: Iterable[View]) -> int:
        return len({view.workbook for view in views} - self._data_models)

    def _is_captured_before(self, day: date) -> bool:
        return self._first_day < day

    # --- the tables

    def popular_resources(self) -> list[dict[str, Any]]:
        present = [r for r in self._resources(self._as_of) if not r.get("is_archived") and not r.get("is_deleted")]
        rows = []
        for resource in present:
            of_60 = self._window(resource, self._as_of, 60)
            now = count(self._window(resource, self._as_of, 14))
            before = count(self._window(resource, self._back(14), 14))
            rows.append(
                {
                    "as_of_date": self._as_of,
                    **key(resource),
                    "total_impressions_60d": count(of_60),
                    "distinct_impressions_users_60d": len(users(of_60)),
                    "total_impressions_14d": now,
                    "previous_impressions_14d": before,
                    "trend_14d": now / before - 1 if before else None,
                    "movement": movement(now, before),
                    "last_impression_at": self._last(resource),
                }
            )
        for row in rows:
            peers = [other for other in rows if other["resource_type"] == row["resource_type"]]
            for what, column in (("impressions", "total_impressions_60d"), ("users", "distinct_impressions_users_60d")):
                row[f"rank_by_{what}"] = 1 + sum(other[column] > row[column] for other in peers)
                fewer = sum(other[column] < row[column] for other in peers)
                row[f"percentile_by_{what}"] = 100 * fewer / len(peers)
        return rows

    def _is_underused(self, resource: Resource, as_of: date) -> bool:
        if resource.get("is_deleted"):
            return False
        created, appeared = resource.get("created_at"), self._appeared(resource)
        if any(at and (as_of - day_of(at)).days < 14 for at in (created, appeared)):
            return False
        views = self._window(resource, as_of, 60)
        # Each view of nobody may be by somebody else.
        of_nobody = count(view for view in views if view.impression.user is None)
        return not views or len(users(views)) + of_nobody < self._rules.underused_below_users

    def _appeared(self, resource: Resource) -> datetime | None:
        seen = self._first_seen[resource["resource_type"], resource["workbook_url_id"], resource.get("element_id")]
        return seen if seen > min(self._first_seen.values()) else None

    def underused_resources(self) -> list[dict[str, Any]]:
        rows = []
        for resource in self._resources(self._as_of):
            if not self._is_underused(resource, self._as_of):
                continue
            views, last = self._window(resource, self._as_of, 60), self._last(resource)
            since = resource.get("created_at") or self._appeared(resource)
            rows.append(
                {
                    "as_of_date": self._as_of,
                    **key(resource),
                    "is_archived": bool(resource.get("is_archived")),
                    "age_days": (self._as_of - day_of(since)).days if since else None,
                    "total_impressions_60d": count(views),
                    "distinct_impressions_users_60d": len(users(views)),
                    "last_impression_at": last,
                    "days_since_last_impression": (self._as_of - day_of(last)).days if last else None,
                    "reason_code": "few_users" if views else "no_impressions" if last else "never_seen",
                }
            )
        return rows

    def _tier(self, user: str, as_of: date) -> str:
        views = [v for v in self._between(as_of - timedelta(days=29), as_of) if v.impression.user == user]
        days = len({view.day for view in views})
        if days >= self._rules.power_user_days:
            return "power"
        if days >= self._rules.regular_user_days:
            return "regular"
        return "occasional" if days else "lapsed"

    def active_users(self) -> list[dict[str, Any]]:
        window = self._between(self._back(59), self._as_of)
        by_user = {user: [v for v in window if v.impression.user == user] for user in users(window)}
        order = sorted(by_user, key=lambda user: (-count(by_user[user]), user))
        rows, counted = [], 0
        for user in order:
            views = by_user[user]
            last_14 = [view for view in views if view.day > self._back(14)]
            counted += count(views)
            rows.append(
                {
                    "as_of_date": self._as_of,
                    "user_email": user,
                    "tier": self._tier(user, self._as_of),
                    "is_new": day_of(self._first(user)) > self._back(14) and self._is_captured_before(self._back(13)),
                    "impressions_60d": count(views),
                    "impressions_14d": count(last_14),
                    "active_days_60d": len({view.day for view in views}),
                    "active_days_30d": len({view.day for view in views if view.day > self._back(30)}),
                    "active_days_14d": len({view.day for view in last_14}),
                    "first_impression_at": self._first(user),
                    "last_impression_at": max(view.impression.at for view in views),
                    "distinct_workbooks_60d": len({view.workbook for view in views}),
                    "rank": 1 + sum(count(other) > count(views) for other in by_user.values()),
                    "share_of_impressions": count(views) / sum(map(count, by_user.values())),
                    "cumulative_share": counted / sum(map(count, by_user.values())),
                }
            )
        return rows

    def usage_by_day(self) -> list[dict[str, Any]]:
        rows = []
        for day in (self._back(age) for age in reversed(range(60))):
            views = self._between(day, day)
            rows.append(
                {
                    "event_date": day,
                    "weekday": day.isoweekday(),
                    "impressions": count(views),
                    "active_users": len(users(views)),
                    "weekly_active_users": len(users(self._between(day - timedelta(days=6), day))),
                    "monthly_active_users": len(users(self._between(day - timedelta(days=29), day))),
                    "active_workbooks": self._active_workbooks(views),
                }
            )
        return rows

    def usage_summary(self) -> list[dict[str, Any]]:
        rows: list[tuple[str, float, float | None]] = []
        for name, days, figure in (
            ("impressions_14d", 14, count),
            ("impressions_60d", 60, count),
            ("active_users_14d", 14, lambda views: len(users(views))),
            ("active_workbooks_14d", 14, self._active_workbooks),
        ):
            now, before = (
                figure(self._between(self._back(end + days - 1), self._back(end)))  # type: ignore[no-untyped-call]
                for end in (0, days)
            )
            rows.append((name, now, before if self._is_captured_before(self._back(2 * days - 2)) else None))
        for name, back, state in (
            ("workbooks", 14, lambda as_of: len(self._workbooks(as_of))),
            ("used_workbooks_60d", 60, self._used_workbooks),
            ("underused_workbooks", 14, self._underused_workbooks),
            ("lapsed_users", 14, self._lapsed_users),
            ("share_of_top_10_percent_users", 14, self._share_of_top),
        ):
            then = self._back(back)
            is_known = then in self._stated and self._is_captured_before(then - timedelta(days=58))
            rows.append((name, state(self._as_of), state(then) if is_known else None))
        firsts = [day_of(self._first(user)) for user in users(self._views)]
        new, new_before = (
            sum(self._back(end + 13) <= day <= self._back(end) for day in firsts)
            if self._is_captured_before(self._back(end + 13))
            else None
            for end in (0, 14)
        )
        rows.append(("new_users_14d", new or 0, new_before))
        return [{"as_of_date": self._as_of, "metric": m, "value": v, "previous_value": p} for m, v, p in rows]

    def _workbooks(self, as_of: date) -> list[Resource]:
        return [
            resource
            for resource in self._resources(as_of)
            if resource["resource_type"] == "sigma_workbook"
            and not resource.get("is_archived")
            and not resource.get("is_deleted")
        ]

    def _used_workbooks(self, as_of: date) -> int:
        return sum(bool(self._window(workbook, as_of, 60)) for workbook in self._workbooks(as_of))

    def _underused_workbooks(self, as_of: date) -> int:
        return sum(self._is_underused(workbook, as_of) for workbook in self._workbooks(as_of))

    def _lapsed_users(self, as_of: date) -> int:
        everyone = users(self._between(as_of - timedelta(days=59), as_of))
        return sum(self._tier(user, as_of) == "lapsed" for user in everyone)

    def _share_of_top(self, as_of: date) -> float:
        window = self._between(as_of - timedelta(days=59), as_of)
        totals = sorted((count(v for v in window if v.impression.user == user) for user in users(window)), reverse=True)
        top = math.ceil(len(totals) / 10)
        return sum(totals[:top]) / sum(totals) if totals else 0.0


def movement(now: int, before: int) -> str:
    if not before:
        return "new" if now else "none"
    if not now:
        return "gone"
    if abs(now - before) < 5 or abs(now - before) < before / 2:
        return "steady"
    return "riser" if now > before else "faller"


def key(resource: Resource) -> dict[str, Any]:
    return {
        "resource_type": resource["resource_type"],
        "workbook_url_id": resource["workbook_url_id"],
        "element_id": resource.get("element_id"),
    }


def count(views: Iterable[View]) -> int:
    return sum(view.impression.count for view in views)


def users(views: Iterable[View]) -> set[str]:
    return users_of(view.impression for view in views)
