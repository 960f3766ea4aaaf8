"""The insight tables in plain, slow Python, written from docs/insights.md: what the SQL is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sigma_impressions.insights.thresholds import InsightRules
from sigma_impressions_tests.metrics.captured import Captured
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


def captured_days(files: list[Captured], viewed: set[date], as_of: date) -> set[date]:
    """The days whose views would be in the files, if there had been any; `viewed` are those with views."""
    first = min(viewed | {file.file_date for file in files}, default=as_of)
    days = [first + timedelta(days=age) for age in range((as_of - first).days + 1)]
    return {day for day in days if _is_captured(day, files, viewed)}


def _is_captured(day: date, files: list[Captured], viewed: set[date]) -> bool:
    if day in viewed:
        return True
    if {day, day + timedelta(days=1)} <= {file.file_date for file in files}:
        return True
    for file in files:
        told = {*file.days, file.file_date}
        before, after = [one for one in told if one < day], [one for one in told if one > day]
        if before and after and (min(after) - max(before)).days <= 14:
            return True
    return False


def last_complete_day(files: Iterable[Captured], as_of: date) -> date | None:
    newest = max((file.last_modified for file in files if file.last_modified), default=None)
    return newest and min(as_of, day_of(newest) - timedelta(days=1))


class Insights:
    """The insight tables as of a day.

    `resources` gives those of an as-of date, `first_seen` when a snapshot held one (by type, workbook and element)
    first, `stated` the earlier as-of dates that have tables, `files` the export files that were read.
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
        files: list[Captured],
    ) -> None:
        self._as_of, self._rules, self._resources, self._first_seen = as_of, rules, resources, first_seen
        self._stated = {*stated, as_of}
        self._views = []
        for impression in impressions:
            if day_of(impression.at) <= as_of:
                workbook, _, resource_is_known = match(impression, resources(as_of))
                self._views.append(View(impression, workbook, resource_is_known))
        models = [r for r in resources(as_of) if r["resource_type"] == "sigma_data_model"]
        self._data_models = {model["workbook_url_id"] for model in models}
        self._complete = last_complete_day(files, as_of)
        self._captured = captured_days(files, {view.day for view in self._views}, as_of)
        self._captured_since = None
        later = as_of
        for day in sorted(self._captured, reverse=True):
            if (later - day).days > 14:
                break
            self._captured_since = later = day

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

    # --- complete days

    def _are_captured(self, first: date, last: date) -> bool:
        return all(first + timedelta(days=age) in self._captured for age in range((last - first).days + 1))

    def _before_complete(self, days: int) -> date:
        assert self._complete
        return self._complete - timedelta(days=days)

    def _compared(self, views: Iterable[View]) -> dict[str, Any]:
        """The impressions of 14 complete days and of those before, and how they differ."""
        figures = []
        views = list(views)
        for end in (0, 14):
            is_known = (
                self._complete
                and self._before_complete(end + 13) >= self._back(59)
                and self._are_captured(self._before_complete(end + 13), self._before_complete(end))
            )
            days = (self._before_complete(end + 13), self._before_complete(end)) if is_known else None
            figures.append(count(view for view in views if days[0] <= view.day <= days[1]) if days else None)
        now, before = figures
        return {
            "last_complete_day": self._complete,
            "complete_impressions_14d": now,
            "previous_complete_impressions_14d": before,
            "trend_14d": now / before - 1 if now is not None and before else None,
        }

    # --- the tables

    def popular_resources(self) -> list[dict[str, Any]]:
        present = [r for r in self._resources(self._as_of) if not r.get("is_archived") and not r.get("is_deleted")]
        rows = []
        for resource in present:
            of_60 = self._window(resource, self._as_of, 60)
            compared = self._compared(self._of(resource, self._views))
            rows.append(
                {
                    "as_of_date": self._as_of,
                    **key(resource),
                    "total_impressions_60d": count(of_60),
                    "distinct_impressions_users_60d": len(users(of_60)),
                    "total_impressions_14d": count(self._window(resource, self._as_of, 14)),
                    **compared,
                    "movement": movement(
                        compared["complete_impressions_14d"], compared["previous_complete_impressions_14d"]
                    ),
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
                    "is_new": day_of(self._first(user)) > self._back(14) and self._knows_new_users(),
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

    def _knows_new_users(self) -> bool:
        return self._captured_since is not None and self._captured_since <= self._back(27)

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
                    "is_captured": day in self._captured,
                    "is_complete": self._complete is not None and day <= self._complete,
                }
            )
        return rows

    def usage_summary(self) -> list[dict[str, Any]]:
        def windows(days: int, figure: Callable[[list[View]], int]) -> Callable[[date], int]:
            return lambda end: figure(self._between(end - timedelta(days=days - 1), end))

        def new_users(end: date) -> int:
            firsts = [day_of(self._first(user)) for user in users(self._views)]
            return sum(end - timedelta(days=13) <= day <= end for day in firsts)

        # How many days it counts, or has to know, how much later it is stated than the one before, and whether the
        # published database must have the days, or there must be tables of the dates.
        figures: list[tuple[str, int, int, bool, bool, Callable[[date], float]]] = [
            ("impressions_14d", 14, 14, False, False, windows(14, count)),
            ("impressions_60d", 60, 60, False, False, windows(60, count)),
            ("active_users_14d", 14, 14, True, False, windows(14, lambda views: len(users(views)))),
            ("active_workbooks_14d", 14, 14, True, False, windows(14, self._active_workbooks)),
            ("workbooks", 0, 14, False, True, lambda as_of: len(self._workbooks(as_of))),
            ("used_workbooks_60d", 60, 60, False, True, self._used_workbooks),
            ("underused_workbooks", 60, 14, False, True, self._underused_workbooks),
            ("lapsed_users", 60, 14, False, True, self._lapsed_users),
            ("share_of_top_10_percent_users", 60, 14, False, True, self._share_of_top),
            ("new_users_14d", 28, 14, False, False, new_users),
        ]
        rows = []
        for name, days, later, in_window, of_tables, figure in figures:
            compared = []
            for back in (0, later):
                end = self._complete and self._before_complete(back)
                first = end and end - timedelta(days=days - 1)
                is_known = (
                    end
                    and first
                    and self._are_captured(first, end)
                    and (not in_window or first >= self._back(59))
                    and (not of_tables or end in self._stated)
                )
                compared.append(figure(end) if end and is_known else None)
            value = figure(self._as_of) if name != "new_users_14d" or self._knows_new_users() else 0
            rows.append(
                {
                    "as_of_date": self._as_of,
                    "metric": name,
                    "value": value,
                    "last_complete_day": self._complete,
                    "complete_value": compared[0],
                    "previous_complete_value": compared[1],
                }
            )
        return rows

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


def movement(now: int | None, before: int | None) -> str:
    if now is None or before is None:
        return "unknown"
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
