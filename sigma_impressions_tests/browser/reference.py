"""What the page must show under a choice, asked of the published database in SQL of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb

Row = tuple[Any, ...]
COMPARED = 14


@dataclass(frozen=True)
class Choice:
    """What is chosen for all sections."""

    period: int = 30
    folder: str | None = None
    owner: str | None = None
    team: str | None = None
    type: str | None = None

    @property
    def address(self) -> str:
        chosen = {"folder": self.folder, "owner": self.owner, "team": self.team, "type": self.type}
        texts = [f"{name}={quote(value, safe='')}" for name, value in chosen.items() if value is not None]
        return "#" + "&".join(["", *([f"period={self.period}"] if self.period != 30 else []), *texts])


class Reference:
    """A published database, and what is chosen of it: the views `seen`, the workbooks and people `chosen_…`."""

    def __init__(self, database: Path) -> None:
        self.connection = duckdb.connect(str(database), read_only=True)
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(_VIEWS)
        ((self.as_of, last, captured),) = self.rows(
            "SELECT (SELECT as_of_date FROM publication), max(event_date) FILTER (is_complete), "
            "(SELECT any_value(captured_since) FROM active_users) FROM usage_by_day"
        )
        self.first_captured = 60 if captured is None else max(0, self._place(captured))
        self.has_members = self.column("SELECT count(*) > 0 FROM sigma_members") == [True]
        self.complete: tuple[int, int] | None = None
        self.before: tuple[int, int] | None = None
        if last is not None:
            c = self._place(last)
            captured_days = set(map(self._place, self.column("SELECT event_date FROM usage_by_day WHERE is_captured")))
            if captured_days.issuperset(range(c - COMPARED + 1, c + 1)):
                self.complete = (c - COMPARED + 1, c)
            if captured_days.issuperset(range(c - 2 * COMPARED + 1, c + 1)):
                self.before = (c - 2 * COMPARED + 1, c - COMPARED)

    def _place(self, day: date) -> int:
        """Which of the 60 days it is, from 0."""
        return 59 - (self.as_of - day).days

    def rows(self, query: str, **parameters: Any) -> list[Row]:
        return self.connection.execute(query, parameters).fetchall()

    def column(self, query: str, **parameters: Any) -> list[Any]:
        return [row[0] for row in self.rows(query, **parameters)]

    def choose(self, choice: Choice) -> None:
        self.choice = choice
        self.connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE chosen_books AS
            FROM books
            WHERE ($folder IS NULL OR folder = $folder OR starts_with(folder, $folder || '/'))
                AND ($owner IS NULL OR owner = $owner)
            """,
            {"folder": choice.folder, "owner": choice.owner},
        )
        self.connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE chosen_people AS
            FROM active_users
            WHERE ($team IS NULL AND $type IS NULL)
                OR (may_use_sigma AND ($team IS NULL OR list_contains(teams, $team))
                    AND ($type IS NULL OR account_type = $type))
            """,
            {"team": choice.team, "type": choice.type},
        )
        nobody = "" if choice.team or choice.type else "OR v.user_email IS NULL"
        self.connection.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE seen AS
            SELECT v.*, no >= 60 - {choice.period} AS in_period, no BETWEEN {_between(self.complete)} AS now,
                no BETWEEN {_between(self.before)} AS before
            FROM views AS v
            SEMI JOIN chosen_books USING (workbook_url_id)
            WHERE v.user_email IN (SELECT user_email FROM chosen_people) {nobody}
            """
        )

    def figures(self) -> dict[str, int]:
        """Each figure of the overview that is known."""
        choice = self.choice
        of_people = (
            "EXISTS (FROM seen WHERE seen.user_email = p.user_email)" if choice.folder or choice.owner else "TRUE"
        )
        wanted = {
            "complete_impressions": "SELECT coalesce(sum(impressions), 0) FROM seen WHERE now",
            "complete_users": "SELECT count(DISTINCT user_email) FROM seen WHERE now",
            "complete_workbooks": f"SELECT count(DISTINCT workbook_url_id) FROM seen {_NO_MODEL} WHERE now",
            "underused": "SELECT count(*) FROM chosen_underused WHERE resource_type = 'sigma_workbook'",
            "period_impressions": "SELECT coalesce(sum(impressions), 0) FROM seen WHERE in_period",
            "period_users": "SELECT count(DISTINCT user_email) FROM seen WHERE in_period",
            "period_workbooks": "SELECT count(*) FROM chosen_books WHERE is_present AND NOT is_model "
            "AND workbook_url_id IN (SELECT workbook_url_id FROM seen WHERE in_period)",
            "new_users": f"SELECT count(*) FROM chosen_people AS p WHERE is_new AND {of_people}",
        }
        self.connection.execute(
            """
            CREATE OR REPLACE TEMP TABLE chosen_underused AS
            SELECT u.*, lower(trim(u.owner_email)) AS owner
            FROM underused_resources AS u
            WHERE NOT is_archived AND ($owner IS NULL OR lower(trim(owner_email)) = $owner)
                AND ($folder IS NULL OR folder_of(path) = $folder OR starts_with(folder_of(path), $folder || '/'))
            """,
            {"folder": choice.folder, "owner": choice.owner},
        )
        return {
            metric: self.column(query)[0]
            for metric, query in wanted.items()
            if self.complete or not metric.startswith("complete")
        }

    def lead(self) -> tuple[int, int]:
        """Impressions of the complete days and of those before."""
        ((now, before),) = self.rows(
            "SELECT coalesce(sum(impressions) FILTER (now), 0), coalesce(sum(impressions) FILTER (before), 0) FROM seen"
        )
        return int(now), int(before)

    def days(self) -> list[Row]:
        """Of each of the 60 days: impressions, users of the day, of 7 and 30 days, workbooks; None if not captured."""
        return self.rows(
            f"""
            SELECT
                d.event_date, d.is_captured,
                (SELECT coalesce(sum(impressions), 0)::BIGINT FROM seen WHERE no = d.no),
                (SELECT count(DISTINCT user_email) FROM seen WHERE no = d.no),
                (SELECT count(DISTINCT user_email) FROM seen WHERE no BETWEEN d.no - 6 AND d.no),
                (SELECT count(DISTINCT user_email) FROM seen WHERE no BETWEEN d.no - 29 AND d.no),
                (SELECT count(DISTINCT workbook_url_id) FROM seen {_NO_MODEL} WHERE no = d.no)
            FROM (SELECT *, row_number() OVER (ORDER BY event_date) - 1 AS no FROM usage_by_day) AS d
            ORDER BY d.no
            """
        )

    def underused_workbooks(self) -> list[Row]:
        """Of each chosen one, in words: name, owner, reason, impressions, last viewed, last changed, age."""
        return self.rows(
            """
            SELECT coalesce(name, workbook_url_id), coalesce(owner, '–'), reason, format('{:,}', total_impressions_60d),
                coalesce(last_impression_at::DATE::VARCHAR, '–'), coalesce(updated_at::DATE::VARCHAR, '–'),
                coalesce(format('{:,}', age_days), '–')
            FROM chosen_underused
            WHERE resource_type = 'sigma_workbook'
            """
        )

    def workbooks(self) -> list[Row]:
        """Of each current workbook: its name, impressions and users of the period, now and before."""
        return self._by_workbook("is_present AND NOT is_model")

    def _by_workbook(self, which: str) -> list[Row]:
        return self.rows(
            f"""
            SELECT name, coalesce(sum(impressions) FILTER (in_period), 0)::BIGINT AS impressions,
                count(DISTINCT user_email) FILTER (in_period),
                coalesce(sum(impressions) FILTER (now), 0)::BIGINT AS now,
                coalesce(sum(impressions) FILTER (before), 0)::BIGINT AS before
            FROM chosen_books LEFT JOIN seen USING (workbook_url_id)
            WHERE {which}
            GROUP BY workbook_url_id, name
            ORDER BY impressions DESC
            """
        )

    def people(self) -> list[Row]:
        """Of each person: user, tier, impressions, impressions now, active days and workbooks of the period."""
        return self.rows(
            """
            SELECT p.user_email, tier, coalesce(sum(impressions) FILTER (in_period), 0)::BIGINT AS impressions,
                coalesce(sum(impressions) FILTER (now), 0)::BIGINT, count(DISTINCT no) FILTER (in_period),
                count(DISTINCT workbook_url_id) FILTER (in_period), p.may_use_sigma, p.account_type, p.kind
            FROM chosen_people AS p LEFT JOIN seen AS s USING (user_email)
            GROUP BY ALL
            ORDER BY impressions DESC
            """
        )

    def underused_by_owner(self) -> list[Row]:
        return self.rows(
            "SELECT coalesce(owner, '(no owner)'), count(*), count(*) FILTER (reason_code = 'never_seen'), "
            "sum(total_impressions_60d)::BIGINT FROM chosen_underused WHERE element_id IS NULL GROUP BY owner"
        )

    def groups(self, name: str) -> list[Row]:
        """Of each folder or owner: workbooks, those viewed and underused, impressions, viewers, now, before."""
        if name == "folder":
            group, inside = "f.folder", "OR starts_with(f.folder, $chosen || '/')"
            source = "chosen_books JOIN folders AS f USING (workbook_url_id)"
        else:
            group, inside, source = "owner", "", "chosen_books"
        return self.rows(
            f"""
            SELECT {group}, count(DISTINCT workbook_url_id),
                count(DISTINCT workbook_url_id) FILTER (in_period),
                count(DISTINCT workbook_url_id) FILTER (
                    workbook_url_id IN (SELECT workbook_url_id FROM underused_resources WHERE element_id IS NULL)),
                coalesce(sum(impressions) FILTER (in_period), 0)::BIGINT AS impressions,
                count(DISTINCT user_email) FILTER (in_period),
                coalesce(sum(impressions) FILTER (now), 0)::BIGINT,
                coalesce(sum(impressions) FILTER (before), 0)::BIGINT
            FROM {source} LEFT JOIN seen USING (workbook_url_id)
            WHERE is_present AND NOT is_model AND ($chosen IS NULL OR {group} = $chosen {inside})
            GROUP BY {group}
            """,
            chosen=getattr(self.choice, name),
        )

    def teams(self) -> list[Row]:
        """Of each team and other group: people, active ones, never seen ones, impressions, workbooks, now, before."""
        return self.rows(
            """
            WITH members AS (
                SELECT user_email, tier, unnest(CASE
                    WHEN is_member IS NOT TRUE THEN ['Not members']
                    WHEN NOT may_use_sigma THEN ['Members who may not use Sigma']
                    WHEN teams IS NULL THEN ['Members whose teams are not known']
                    WHEN teams = [] THEN ['Members in no team']
                    ELSE teams
                END) AS team
                FROM chosen_people
            )
            SELECT team, count(DISTINCT user_email), count(DISTINCT user_email) FILTER (in_period),
                count(DISTINCT user_email) FILTER (tier = 'never'),
                coalesce(sum(impressions) FILTER (in_period), 0)::BIGINT AS impressions,
                count(DISTINCT workbook_url_id) FILTER (in_period AND is_present AND NOT is_model),
                coalesce(sum(impressions) FILTER (now), 0)::BIGINT,
                coalesce(sum(impressions) FILTER (before), 0)::BIGINT
            FROM members LEFT JOIN seen USING (user_email) LEFT JOIN books USING (workbook_url_id)
            GROUP BY team
            """
        )


def _between(days: tuple[int, int] | None) -> str:
    first, last = days or (0, -1)
    return f"{first} AND {last}"


_NO_MODEL = "ANTI JOIN (FROM books WHERE is_model) AS m USING (workbook_url_id)"

_VIEWS = """
CREATE TEMP MACRO folder_of(path) AS
    array_to_string(list_filter(string_split(coalesce(path, ''), '/'), lambda name: name <> ''), '/');

CREATE TEMP TABLE views AS
WITH named AS (
    SELECT workbook_url_id, event_date, user_email, impressions
    FROM daily_users
    WHERE user_email IS NOT NULL
),
everybody AS (
    SELECT workbook_url_id, event_date, sum(impressions)::BIGINT AS impressions
    FROM daily_impressions
    GROUP BY ALL
),
all_views AS (
    FROM named
    UNION ALL
    SELECT e.workbook_url_id, e.event_date, NULL, (e.impressions - coalesce(sum(n.impressions), 0))::BIGINT AS rest
    FROM everybody AS e LEFT JOIN named AS n USING (workbook_url_id, event_date)
    GROUP BY e.workbook_url_id, e.event_date, e.impressions
    HAVING rest > 0
)
SELECT a.*, 59 - date_diff('day', event_date, (SELECT as_of_date FROM publication)) AS no FROM all_views AS a;

CREATE TEMP TABLE books AS
SELECT workbook_url_id, coalesce(r.name, workbook_url_id) AS name, folder_of(r.path) AS folder,
    lower(trim(r.owner_email)) AS owner,
    p.workbook_url_id IS NOT NULL AS is_present, coalesce(r.resource_type = 'sigma_data_model', FALSE) AS is_model
FROM (SELECT DISTINCT workbook_url_id FROM views UNION SELECT workbook_url_id FROM popular_resources)
LEFT JOIN (FROM sigma_resources WHERE element_id IS NULL) AS r USING (workbook_url_id)
LEFT JOIN (FROM popular_resources WHERE element_id IS NULL) AS p USING (workbook_url_id);

CREATE TEMP TABLE folders AS
SELECT workbook_url_id, array_to_string(names[:depth], '/') AS folder
FROM (
    SELECT workbook_url_id, string_split(folder, '/') AS names, unnest(range(1, len(names) + 1)) AS depth
    FROM books WHERE folder <> ''
)
UNION ALL SELECT workbook_url_id, NULL FROM books WHERE folder = '';
"""
