"""The insight tables about members, teams, folders, owners and pages in plain, slow Python, from docs/insights.md."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any

from sigma_impressions_tests.insights.reference import Insights, Resource, View, count, day_of, users

Member = dict[str, Any]
DAYS = (14, 30, 60)


class InsightsOfPeople(Insights):
    """With members."""

    def __init__(self, *given: Any, members: list[Member], **named: Any) -> None:
        super().__init__(*given, **named)
        self._members = members

    # --- members

    def _age(self, member: Member) -> int | None:
        since = member["created_at"] or self._first_held(member)
        return (self._as_of - day_of(since)).days if since else None

    def _first_held(self, member: Member) -> datetime | None:
        seen: datetime = member["first_seen_at"]
        return seen if seen > min(other["first_seen_at"] for other in self._members) else None

    def _may_use(self, member: Member) -> bool:
        age = self._age(member)
        return member["is_active"] is not False and not member["is_deleted"] and (age is None or age >= 0)

    def _person(self, user: str | None) -> Member | None:
        found = [member for member in self._members if user is not None and member["user_email"] == user]
        ages = {id(member): self._age(member) for member in found}
        found.sort(key=lambda m: (not self._may_use(m), ages[id(m)] is None, ages[id(m)] or 0, m["member_id"]))
        return found[0] if found else None

    def _of_user(self, user: str, days: int) -> list[View]:
        return [view for view in self._between(self._back(days - 1), self._as_of) if view.impression.user == user]

    def _activity(self, user: str) -> str:
        """The tier, also of who was never seen."""
        if self._of_user(user, 60):
            return self._tier(user, self._as_of)
        if any(view.impression.user == user for view in self._views):
            return "dormant"
        person = self._person(user)
        assert person
        ages = [(self._as_of - day_of(at)).days for at in (person["created_at"], self._first_held(person)) if at]
        is_young = any(age < 14 for age in ages)
        since = self._captured_since
        whole_life = since and person["created_at"] and since <= day_of(person["created_at"])
        is_captured = since and (since <= self._back(59) or whole_life)
        return "never" if self._may_use(person) and is_captured and not is_young else "unknown"

    def _everybody(self) -> list[str]:
        addresses = {member["user_email"] for member in self._members} - {None}
        return sorted(addresses | users(self._between(self._back(59), self._as_of)))

    def _known(self, user: str | None) -> dict[str, Any]:
        person = self._person(user) or {}
        teams = person.get("teams")
        return {
            "name": person.get("name"),
            "account_type": person.get("account_type"),
            "kind": person.get("kind"),
            "teams": sorted(set(teams)) if teams is not None else None,
        }

    def user_activity(self) -> list[dict[str, Any]]:
        return [
            {
                "user_email": user,
                "total_impressions_60d": count(self._of_user(user, 60)),
                "is_member": self._person(user) is not None if self._members else None,
                **self._known(user),
            }
            for user in self._everybody()
            if self._of_user(user, 60)
        ]

    def active_users(self) -> list[dict[str, Any]]:
        rows = super().active_users()
        for row in rows:
            person = self._person(row["user_email"])
            row["is_member"] = person is not None if self._members else None
            row["may_use_sigma"] = person is not None and self._may_use(person)
        for user in self._everybody():
            person = self._person(user)
            if person and self._may_use(person) and not self._of_user(user, 60):
                seen = [view.impression.at for view in self._views if view.impression.user == user]
                rows.append(
                    {
                        "as_of_date": self._as_of,
                        "user_email": user,
                        "tier": self._activity(user),
                        "is_new": False,
                        "impressions_60d": 0,
                        "impressions_14d": 0,
                        "active_days_60d": 0,
                        "active_days_30d": 0,
                        "active_days_14d": 0,
                        "first_impression_at": min(seen, default=None),
                        "last_impression_at": max(seen, default=None),
                        "distinct_workbooks_60d": 0,
                        "rank": None,
                        "share_of_impressions": 0,
                        "cumulative_share": None,
                        "is_member": True,
                        "may_use_sigma": True,
                    }
                )
        for row in rows:
            person = self._person(row["user_email"])
            row |= {
                **self._known(row["user_email"]),
                "created_at": person and person["created_at"],
                "age_days": person and self._age(person),
                "captured_since": self._captured_since,
            }
        return rows

    def usage_summary(self) -> list[dict[str, Any]]:
        licensed = [user for user in self._everybody() if (m := self._person(user)) and self._may_use(m)]
        others = [user for user in self._everybody() if not self._person(user)]
        figures: dict[str, float | None] = {
            "members": len(licensed),
            "active_members_30d": sum(bool(self._of_user(user, 30)) for user in licensed),
            "never_seen_members": sum(self._activity(user) == "never" for user in licensed),
            "users_not_members_60d": len(others),
            "impressions_not_members_60d": sum(count(self._of_user(user, 60)) for user in others),
        }
        if not self._captured_since or self._captured_since > self._back(59):
            figures["never_seen_members"] = None
        if not self._members:
            figures = dict.fromkeys(figures)
        added = [
            {"as_of_date": self._as_of, "metric": name, "value": value, "complete_value": None}
            for name, value in figures.items()
        ]
        return super().usage_summary() + added

    def licence_usage(self) -> list[dict[str, Any]]:
        groups: dict[tuple[Any, Any], list[str]] = defaultdict(list)
        without: dict[tuple[Any, Any], int] = defaultdict(int)
        for member in self._members:
            if member["user_email"] is None and self._may_use(member):
                without[member["account_type"], member["kind"]] += 1
        for user in self._everybody():
            person = self._person(user)
            if person and self._may_use(person):
                groups[person["account_type"], person["kind"]].append(user)
        rows = []
        for key in groups.keys() | without.keys():
            tiers = [self._activity(user) for user in groups[key]]
            rows.append(
                {
                    "as_of_date": self._as_of,
                    "account_type": key[0],
                    "kind": key[1],
                    "members": len(groups[key]),
                    **{f"active_{days}d": sum(bool(self._of_user(u, days)) for u in groups[key]) for days in DAYS},
                    **{tier: tiers.count(tier) for tier in ("lapsed", "dormant", "never", "unknown")},
                    "without_address": without[key],
                    "captured_since": self._captured_since,
                }
            )
        return rows

    # --- teams

    def team_usage(self) -> list[dict[str, Any]]:
        if not self._members:
            return []
        groups: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        for user in self._everybody():
            person = self._person(user)
            if person is None:
                groups["no_member", None].append(user)
            elif not self._may_use(person):
                groups["inactive_member", None].append(user)
            elif person["teams"] is None:
                groups["teams_unknown", None].append(user)
            elif not person["teams"]:
                groups["no_team", None].append(user)
            else:
                for team in set(person["teams"]):
                    groups["team", team].append(user)
        present = {workbook["workbook_url_id"]: workbook for workbook in self._workbooks(self._as_of)}
        rows = []
        for (people, team), group in groups.items():
            views = [view for view in self._views if view.impression.user in group]
            viewed: dict[str, int] = defaultdict(int)
            for view in views:
                if view.workbook in present and view.day > self._back(60):
                    viewed[view.workbook] += view.impression.count
            rows.append(
                {
                    "as_of_date": self._as_of,
                    "people": people,
                    "team": team,
                    "members": len(group),
                    **{f"active_members_{n}d": sum(bool(self._of_user(user, n)) for user in group) for n in DAYS},
                    "never_seen_members": sum(self._activity(user) == "never" for user in group),
                    **{f"impressions_{n}d": count(v for v in views if v.day > self._back(n)) for n in DAYS},
                    "distinct_workbooks_60d": len(viewed),
                    **top_workbook({key: (present[key], number) for key, number in viewed.items()}),
                    **self._compared(views),
                }
            )
        return rows

    # --- folders, owners and pages

    def _figures(self, workbooks: list[Resource]) -> dict[str, Any]:
        views = [view for workbook in workbooks for view in self._of(workbook, self._views)]
        by_days = {days: [view for view in views if view.day > self._back(days)] for days in DAYS}
        totals = {
            workbook["workbook_url_id"]: (workbook, count(self._window(workbook, self._as_of, 60)))
            for workbook in workbooks
        }
        used = {key: found for key, found in totals.items() if found[1]}
        return {
            "as_of_date": self._as_of,
            "workbooks": len(workbooks),
            "used_workbooks_60d": len(used),
            "unused_workbooks_60d": len(workbooks) - len(used),
            "underused_workbooks": sum(self._is_underused(workbook, self._as_of) for workbook in workbooks),
            **{f"impressions_{days}d": count(by_days[days]) for days in DAYS},
            **{f"viewers_{days}d": len(users(by_days[days])) for days in DAYS},
            **top_workbook(used),
            **self._compared(views),
        }

    def folder_usage(self) -> list[dict[str, Any]]:
        folders: dict[tuple[str | None, int], list[Resource]] = defaultdict(list)
        for workbook in self._workbooks(self._as_of):
            names = [name for name in (workbook.get("path") or "").split("/") if name]
            for depth in range(1, len(names) + 1):
                folders["/".join(names[:depth]), depth].append(workbook)
            if not names:
                folders[None, 0].append(workbook)
        return [
            {"folder": folder, "depth": depth, **self._figures(workbooks)}
            for (folder, depth), workbooks in folders.items()
        ]

    def owner_usage(self) -> list[dict[str, Any]]:
        owners: dict[str | None, list[Resource]] = defaultdict(list)
        for workbook in self._workbooks(self._as_of):
            owner = workbook.get("owner_email")
            owners[owner and owner.strip().lower()].append(workbook)
        rows = []
        for owner, workbooks in owners.items():
            person = self._person(owner)
            may_use = person is not None and self._may_use(person) if self._members and owner else None
            rows.append(
                {
                    "owner_email": owner,
                    "owner_name": person and person["name"],
                    "owner_teams": self._known(owner)["teams"],
                    "owner_may_use_sigma": may_use,
                    **self._figures(workbooks),
                }
            )
        return rows

    def page_usage(self) -> list[dict[str, Any]]:
        present = {workbook["workbook_url_id"]: workbook for workbook in self._workbooks(self._as_of)}
        pages: dict[tuple[str, str], list[Resource]] = defaultdict(list)
        for resource in self._resources(self._as_of):
            is_there = not resource.get("is_archived") and not resource.get("is_deleted")
            if resource["resource_type"] == "sigma_element" and resource.get("page_id") and is_there:
                pages[resource["workbook_url_id"], resource["page_id"]].append(resource)
        rows = []
        for (url_id, page_id), elements in pages.items():
            if url_id not in present:
                continue
            views = {days: self._of_any(elements, self._back(days - 1)) for days in DAYS}
            rows.append(
                {
                    "as_of_date": self._as_of,
                    "workbook_url_id": url_id,
                    "workbook_name": present[url_id].get("name"),
                    "page_id": page_id,
                    "page_name": max((e["page_name"] for e in elements if e.get("page_name")), default=None),
                    "elements": len(elements),
                    "used_elements_60d": sum(bool(self._window(e, self._as_of, 60)) for e in elements),
                    **{f"impressions_{days}d": count(views[days]) for days in DAYS},
                    **{f"viewers_{days}d": len(users(views[days])) for days in DAYS},
                    "last_impression_at": max((view.impression.at for view in views[60]), default=None),
                }
            )
        return rows

    def _of_any(self, elements: list[Resource], first: date) -> list[View]:
        return [view for element in elements for view in self._of(element, self._between(first, self._as_of))]


def top_workbook(viewed: dict[str, tuple[Resource, int]]) -> dict[str, Any]:
    """That with the most impressions; of several the first by ID."""
    best = min(viewed, key=lambda url_id: (-viewed[url_id][1], url_id), default=None)
    return {
        "top_workbook_url_id": best,
        "top_workbook_name": viewed[best][0].get("name") if best else None,
        "top_workbook_impressions_60d": viewed[best][1] if best else None,
    }
