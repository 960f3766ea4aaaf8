"""Published databases of any size, with made-up content and names that are meant to break a page.

All tables come from the same views, each of a workbook or element by a person or nobody on a day, by the rules of
docs/tables-and-metrics.md and docs/insights.md in their plainest form: so what is read of two tables fits together.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

import duckdb

AS_OF = "2026-11-20"

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '=HYPERLINK("https://evil.example","click")',
    "تقرير المبيعات الشهري \u202e(عكس)",
    "W" * 500,
    "word " * 100,
    "{{ 7 * 7 }} {% raw %} ${alert(3)} &amp; <!-- ",
    "\u0000\u2028line\u2029two\nthree\ttab\"'`".replace("\u0000", ""),
)
"""Names of the first workbooks; the same are names of elements, paths, owners, users, teams and account types."""

BAD_URL = "javascript:alert(4)"

DAYS = 60


def publish(
    path: Path,
    workbooks: int,
    elements_each: int,
    users: int,
    hostile: bool = False,
    *,
    pairs: int | None = None,
    days_each: int = 4,
    most_pairs: int | None = None,
    members: bool = True,
    not_captured: Collection[int] = (),
    complete: int | None = DAYS - 1,
) -> Path:
    """A database at `path` with the tables that the report reads, the same for the same arguments.

    There are `workbooks`, and a data model for eight of them. Every seventh is not used, every eleventh archived,
    every thirteenth deleted; some IDs are unknown. `pairs` of a person and a workbook are viewed (about ten of each
    person, if it is not said), on up to `days_each` days, of which `most_pairs` are in `daily_users`; some views are of
    nobody. Of the people every sixth never came, and every fifth is no member, unless nobody is (`members`).

    Of the 60 days, numbered from 0, those `not_captured` have no views; the first `complete` ones are complete, which
    are all but the last one, and with None no export file was read. With `hostile` the first workbooks, their elements,
    paths, owners, users and files have hostile names, and the second one a URL that is a script.
    """
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TEMP TABLE hostile AS SELECT unnest($names) AS text", {"names": list(HOSTILE)})
        connection.execute(
            "CREATE TEMP TABLE size AS SELECT $workbooks AS workbooks, $each AS elements_each, $users AS users, "
            "$pairs AS pairs, $days_each AS days_each, $most_pairs AS most_pairs, $members AS has_members, "
            "$hostile AS is_hostile, $bad AS bad_url, $as_of::DATE AS as_of_date, "
            "$last_complete::DATE AS last_complete_day",
            {
                "workbooks": workbooks,
                "each": elements_each,
                "users": users,
                "pairs": 10 * users if pairs is None else pairs,
                "days_each": days_each,
                "most_pairs": most_pairs,
                "members": members,
                "hostile": hostile,
                "bad": BAD_URL,
                "as_of": AS_OF,
                "last_complete": None
                if complete is None
                else date.fromisoformat(AS_OF) - timedelta(days=DAYS - complete),
            },
        )
        connection.execute(
            "CREATE TEMP TABLE not_captured AS SELECT unnest($days::INTEGER[]) AS no", {"days": [*not_captured]}
        )
        connection.execute(_CONTENT)
        connection.execute(_VIEWS)
        connection.execute(_METRICS)
        connection.execute(_INSIGHTS)
        connection.execute(_OF_GROUPS)
        connection.execute(_QUALITY)
    return path


_CONTENT = r"""
CREATE TEMP TABLE odd AS SELECT row_number() OVER () - 1 AS no, text FROM hostile, size WHERE is_hostile;

CREATE TEMP TABLE books AS
SELECT
    w.no,
    w.no >= s.workbooks AS is_data_model,
    substr(md5('w' || w.no), 1, 22) AS workbook_url_id,
    coalesce(o.text, ['Revenue', 'Pipeline', 'Churn', 'Tickets', 'Inventory', 'Hiring', 'Spend'][1 + w.no % 7]
        || ' ' || ['Overview', 'Deep Dive', 'Weekly', 'by Region', 'Forecast'][1 + (w.no // 7) % 5]
        || ' ' || w.no) AS name,
    CASE WHEN w.no % 37 = 36 THEN NULL ELSE
        coalesce(o.text, 'Acme/' || ['Sales', 'Finance', 'Product', 'People'][1 + w.no % 4] || '/Team ' || w.no % 90)
    END AS path,
    CASE WHEN w.no % 41 = 40 THEN NULL ELSE
        coalesce(o.text, CASE WHEN w.no % 3 = 0 THEN 'Person' ELSE 'person' END || (w.no % 300) || '@acme.example')
    END AS owner_email,
    CASE WHEN s.is_hostile AND w.no = 1 THEN s.bad_url
        ELSE 'https://app.sigmacomputing.com/acme/workbook/Name-' || substr(md5('w' || w.no), 1, 22) END AS url,
    CASE WHEN w.no % 17 = 16 THEN NULL
        ELSE TIMESTAMPTZ '2025-01-05 08:00:00+00' + INTERVAL 1 HOUR * (w.no * 37 % 14000) END AS created_at,
    w.no % 11 = 10 AS is_archived,
    w.no % 13 = 12 AS is_deleted
FROM size AS s, range(s.workbooks + s.workbooks // 8) AS w(no)
LEFT JOIN odd AS o USING (no);

CREATE TABLE sigma_resources AS
SELECT
    CASE WHEN is_data_model THEN 'sigma_data_model' ELSE 'sigma_workbook' END AS resource_type,
    'id-' || workbook_url_id AS workbook_id, workbook_url_id, NULL::VARCHAR AS element_id, name, name AS workbook_name,
    path, url, owner_email, created_at, created_at + INTERVAL 9 DAY AS updated_at, is_archived, is_deleted,
    NULL::VARCHAR AS page_id, NULL::VARCHAR AS page_name
FROM books
UNION ALL
SELECT
    'sigma_element', 'id-' || workbook_url_id, workbook_url_id, substr(md5('e' || w.no || '/' || e.no), 1, 10),
    coalesce(o.text, ['Bookings', 'Win rate', 'Cost', 'Users', 'NPS', 'Lead time', 'Orders'][1 + e.no % 7]
        || ' ' || ['by region', 'by month', 'total', 'per team'][1 + (w.no + e.no) % 4]),
    name, path || '/' || name,
    CASE WHEN url LIKE 'http%' THEN url || '?:displayNodeId=' || substr(md5('e' || w.no || '/' || e.no), 1, 10)
        ELSE url END,
    owner_email, created_at, created_at + INTERVAL 9 DAY, is_archived, is_deleted OR e.no = 23,
    CASE WHEN NOT is_data_model AND w.no % 4 > 0 THEN 'page' || e.no % 3 END,
    CASE WHEN NOT is_data_model AND w.no % 4 > 0 THEN coalesce(o.text, 'Page ' || e.no % 3) END
FROM books AS w, size AS s, range(s.elements_each) AS e(no)
LEFT JOIN odd AS o ON o.no = e.no;

CREATE TABLE sigma_members AS
SELECT
    'member' || u.no AS member_id,
    CASE WHEN u.no % 29 <> 28 THEN coalesce(o.text, 'person' || u.no || '@acme.example') END AS user_email,
    coalesce(o.text, ['Ada', 'Ben', 'Cem', 'Dora'][1 + u.no % 4] || ' ' || ['Ash', 'Birk', 'Cole'][1 + u.no % 3])
        AS name,
    coalesce(o.text, ['Viewer', 'Creator', 'Explorer'][1 + u.no % 3]) AS account_type,
    CASE WHEN u.no % 31 <> 30 THEN CASE WHEN u.no % 8 = 7 THEN 'guest' ELSE 'internal' END END AS kind,
    CASE
        WHEN u.no % 19 = 18 THEN NULL
        WHEN u.no % 7 = 6 THEN []
        WHEN o.text IS NOT NULL THEN ['Finance', o.text]
        ELSE list_distinct([['Finance', 'Product', 'Sales'][1 + u.no % 3], 'Team ' || u.no % 24])
    END AS teams,
    CASE WHEN u.no % 23 = 22 THEN TIMESTAMPTZ '2026-11-15 08:00:00+00'
        ELSE TIMESTAMPTZ '2025-01-05 08:00:00+00' + INTERVAL 1 HOUR * (u.no * 53 % 12000) END AS created_at,
    u.no % 9 <> 8 AS is_active,
    TIMESTAMPTZ '2026-01-01 00:00:00+00' AS first_seen_at,
    FALSE AS is_deleted
FROM size AS s, range(s.users) AS u(no)
LEFT JOIN odd AS o USING (no)
WHERE s.has_members AND u.no % 5 <> 4;
"""

_VIEWS = r"""
-- DuckDB's hashes of several values differ too little to be drawn side by side.
CREATE TEMP MACRO chance(a, b, c) AS hash((a::BIGINT * 100003 + b) * 100003 + c);

-- A person is drawn with a power of chance, so that some view much, and a workbook so that some are viewed by many.
CREATE TEMP TABLE pairs AS
WITH drawn AS (
    SELECT
        d.no,
        (s.users * pow(chance(d.no, 0, 1) / 18446744073709551616.0, 1.6))::INTEGER AS user_no,
        ((s.workbooks + s.workbooks // 8 + 4) * pow(chance(d.no, 0, 2) / 18446744073709551616.0, 1.6))::INTEGER
            AS book_no
    FROM size AS s, range(3 * s.pairs) AS d(no)
)

SELECT user_no, book_no
FROM drawn, size AS s
WHERE user_no < s.users AND user_no % 6 <> 5 AND book_no % 7 <> 5
GROUP BY ALL
ORDER BY min(no)
LIMIT (SELECT pairs FROM size);

CREATE TEMP TABLE views AS
WITH of_people AS (
    SELECT
        (chance(p.user_no, p.book_no, n.no) % 60)::INTEGER AS day_no, p.book_no, p.user_no,
        chance(p.book_no, p.user_no, n.no) AS chance
    FROM pairs AS p, size AS s, range(s.days_each) AS n(no)
),

of_nobody AS (
    SELECT (chance(b.no, n.no, 5) % 60)::INTEGER AS day_no, b.no AS book_no, NULL AS user_no,
        chance(b.no, n.no, 6) AS chance
    FROM books AS b, range(9) AS n(no)
    WHERE b.no % 9 = 7 AND b.no % 7 <> 5
),

drawn AS (
    SELECT *, (chance % (s.elements_each + 3))::INTEGER AS place
    FROM (FROM of_people UNION ALL FROM of_nobody), size AS s
)

SELECT
    s.as_of_date - 59 + d.day_no AS event_date,
    coalesce(b.workbook_url_id, 'gone' || d.book_no) AS workbook_url_id,
    -- Some views are of the workbook itself, some of an element that Sigma does not know.
    CASE WHEN d.place < d.elements_each THEN substr(md5('e' || d.book_no || '/' || d.place), 1, 10)
        WHEN d.place = d.elements_each AND d.chance % 5 = 0 THEN 'unknown' END AS element_id,
    CASE WHEN d.user_no IS NOT NULL THEN coalesce(o.text, 'person' || d.user_no || '@acme.example') END AS user_email,
    sum(1 + d.chance % 7)::BIGINT AS impressions
FROM drawn AS d
CROSS JOIN size AS s
LEFT JOIN books AS b ON d.book_no = b.no
LEFT JOIN odd AS o ON d.user_no = o.no
WHERE d.day_no NOT IN (SELECT no FROM not_captured)
GROUP BY ALL;
"""

_METRICS = r"""
CREATE TABLE daily_impressions AS
SELECT event_date, workbook_url_id, element_id, sum(impressions)::BIGINT AS impressions,
    count(DISTINCT user_email) AS distinct_users
FROM views
GROUP BY ALL
ORDER BY ALL;

CREATE TEMP TABLE kept_pairs AS
SELECT workbook_url_id, user_email
FROM views
WHERE user_email IS NOT NULL
GROUP BY ALL
ORDER BY sum(impressions) DESC, workbook_url_id, user_email
LIMIT (SELECT coalesce(most_pairs, pairs) FROM size);

CREATE TABLE daily_users AS
SELECT
    event_date,
    CASE
        WHEN user_email IS NULL
            OR (workbook_url_id, user_email) IN (SELECT (workbook_url_id, user_email) FROM kept_pairs)
            THEN workbook_url_id
    END AS workbook_url_id,
    user_email,
    sum(impressions)::BIGINT AS impressions
FROM views
GROUP BY ALL
ORDER BY workbook_url_id, user_email, event_date;

CREATE TABLE resource_impressions AS
WITH viewed AS (
    SELECT workbook_url_id, element_id, element_id AS viewed_element, event_date, user_email, impressions
    FROM views WHERE element_id IS NOT NULL
    UNION ALL
    SELECT workbook_url_id, NULL, element_id, event_date, user_email, impressions FROM views
),

counted AS (
    SELECT
        v.workbook_url_id, v.element_id,
        sum(impressions) FILTER (event_date > as_of_date - 14) AS i14,
        sum(impressions) FILTER (event_date > as_of_date - 30) AS i30,
        sum(impressions) AS i60,
        count(DISTINCT user_email) FILTER (event_date > as_of_date - 14) AS u14,
        count(DISTINCT user_email) FILTER (event_date > as_of_date - 30) AS u30,
        count(DISTINCT user_email) AS u60,
        max(event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS last_impression_at
    FROM viewed AS v, size AS s
    GROUP BY ALL
)

SELECT
    s.as_of_date, r.* EXCLUDE (page_id, page_name),
    coalesce(c.i14, 0)::BIGINT AS total_impressions_with_elements_14d,
    coalesce(c.i30, 0)::BIGINT AS total_impressions_with_elements_30d,
    coalesce(c.i60, 0)::BIGINT AS total_impressions_with_elements_60d,
    coalesce(c.u14, 0) AS distinct_impressions_users_with_elements_14d,
    coalesce(c.u30, 0) AS distinct_impressions_users_with_elements_30d,
    coalesce(c.u60, 0) AS distinct_impressions_users_with_elements_60d,
    c.last_impression_at
FROM sigma_resources AS r
CROSS JOIN size AS s
LEFT JOIN counted AS c
    ON r.workbook_url_id = c.workbook_url_id AND r.element_id IS NOT DISTINCT FROM c.element_id;

CREATE TABLE unmatched_impressions AS
SELECT
    s.as_of_date, v.workbook_url_id, v.element_id,
    CASE WHEN starts_with(v.workbook_url_id, 'gone') THEN 'unknown_workbook' ELSE 'unknown_element' END AS reason,
    sum(v.impressions)::BIGINT AS total_impressions_60d, count(DISTINCT v.user_email) AS distinct_impressions_users_60d,
    min(v.event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS first_impression_at,
    max(v.event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS last_impression_at
FROM views AS v, size AS s
WHERE (v.workbook_url_id, coalesce(v.element_id, ''))
    NOT IN (SELECT (workbook_url_id, coalesce(element_id, '')) FROM sigma_resources)
GROUP BY ALL;

CREATE TABLE publication AS
SELECT as_of_date, TIMESTAMPTZ '2026-11-20 06:12:33+00' AS published_at, 'made from this' AS made_from,
    71 AS captured_files
FROM size;
"""

_INSIGHTS = r"""
CREATE TEMP TABLE known AS
SELECT
    s.as_of_date, s.last_complete_day, s.has_members,
    (SELECT min(event_date) FROM daily_impressions) AS captured_since
FROM size AS s;

CREATE TEMP TABLE days AS
SELECT
    k.as_of_date - 59 + d.no::INTEGER AS event_date,
    coalesce(k.as_of_date - 59 + d.no::INTEGER >= k.captured_since, FALSE)
        AND d.no NOT IN (SELECT no FROM not_captured) AS is_captured,
    coalesce(k.as_of_date - 59 + d.no::INTEGER <= k.last_complete_day, FALSE) AS is_complete
FROM known AS k, range(60) AS d(no);

-- Whether the 14 days to the last complete one are captured, and the 14 before these.
CREATE TEMP TABLE compared AS
SELECT
    any_value(k.last_complete_day) AS c,
    count(*) FILTER (is_captured AND event_date BETWEEN last_complete_day - 13 AND last_complete_day) = 14 AS has_now,
    count(*) FILTER (is_captured AND event_date BETWEEN last_complete_day - 27 AND last_complete_day - 14) = 14
        AS has_before
FROM known AS k LEFT JOIN days ON TRUE;

CREATE TEMP TABLE views_of_complete_days AS
SELECT v.workbook_url_id, v.element_id,
    sum(v.impressions) FILTER (event_date BETWEEN c - 13 AND c) AS now,
    sum(v.impressions) FILTER (event_date BETWEEN c - 27 AND c - 14) AS before
FROM (
    SELECT workbook_url_id, NULL AS element_id, event_date, impressions FROM daily_impressions
    UNION ALL
    SELECT workbook_url_id, element_id, event_date, impressions FROM daily_impressions WHERE element_id IS NOT NULL
) AS v, compared
GROUP BY ALL;

CREATE TABLE popular_resources AS
WITH figures AS (
    SELECT
        r.*, k.c,
        CASE WHEN k.has_now THEN coalesce(v.now, 0)::BIGINT END AS now,
        CASE WHEN k.has_before THEN coalesce(v.before, 0)::BIGINT END AS before
    FROM resource_impressions AS r
    CROSS JOIN compared AS k
    LEFT JOIN views_of_complete_days AS v
        ON r.workbook_url_id = v.workbook_url_id AND r.element_id IS NOT DISTINCT FROM v.element_id
    WHERE NOT r.is_archived AND NOT r.is_deleted
)

SELECT
    as_of_date, resource_type, workbook_id, workbook_url_id, element_id, name, workbook_name, path, url, owner_email,
    total_impressions_with_elements_60d AS total_impressions_60d,
    distinct_impressions_users_with_elements_60d AS distinct_impressions_users_60d,
    rank() OVER (PARTITION BY resource_type ORDER BY total_impressions_with_elements_60d DESC) AS rank_by_impressions,
    rank() OVER (PARTITION BY resource_type ORDER BY distinct_impressions_users_with_elements_60d DESC)
        AS rank_by_users,
    100 * percent_rank() OVER (PARTITION BY resource_type ORDER BY total_impressions_with_elements_60d)
        AS percentile_by_impressions,
    total_impressions_with_elements_14d AS total_impressions_14d, c AS last_complete_day,
    now AS complete_impressions_14d, before AS previous_complete_impressions_14d,
    now::DOUBLE / nullif(before, 0) - 1 AS trend_14d,
    CASE
        WHEN now IS NULL OR before IS NULL THEN 'unknown'
        WHEN now = 0 AND before = 0 THEN 'none'
        WHEN before = 0 THEN 'new'
        WHEN now = 0 THEN 'gone'
        WHEN now - before >= greatest(0.5 * before, 5) THEN 'riser'
        WHEN before - now >= greatest(0.5 * before, 5) THEN 'faller'
        ELSE 'steady'
    END AS movement,
    last_impression_at
FROM figures
ORDER BY resource_type DESC, rank_by_impressions, rank_by_users, workbook_url_id, element_id;

CREATE TABLE underused_resources AS
SELECT
    r.as_of_date, resource_type, workbook_id, workbook_url_id, element_id, name, workbook_name, path, url, owner_email,
    created_at, updated_at, is_archived,
    r.as_of_date - created_at::DATE AS age_days,
    total_impressions_with_elements_60d AS total_impressions_60d,
    distinct_impressions_users_with_elements_60d AS distinct_impressions_users_60d,
    last_impression_at,
    r.as_of_date - last_impression_at::DATE AS days_since_last_impression,
    CASE WHEN last_impression_at IS NULL THEN 'never_seen' ELSE 'few_users' END AS reason_code,
    CASE WHEN last_impression_at IS NULL THEN 'No view of it has been captured.'
        ELSE 'Only ' || distinct_impressions_users_60d || ' users viewed it in the last 60 days.' END AS reason
FROM resource_impressions AS r
WHERE NOT is_deleted AND (last_impression_at IS NULL OR distinct_impressions_users_60d < 2);

CREATE TEMP TABLE people AS
SELECT *, is_active AND NOT is_deleted AS may_use_sigma, k.as_of_date - created_at::DATE AS age_days
FROM sigma_members, known AS k
WHERE user_email IS NOT NULL;

CREATE TABLE user_activity AS
SELECT
    s.as_of_date, user_email,
    coalesce(sum(impressions) FILTER (event_date > s.as_of_date - 14), 0)::BIGINT AS total_impressions_14d,
    coalesce(sum(impressions) FILTER (event_date > s.as_of_date - 30), 0)::BIGINT AS total_impressions_30d,
    sum(impressions)::BIGINT AS total_impressions_60d,
    count(DISTINCT workbook_url_id) AS distinct_workbooks_60d,
    count(DISTINCT event_date) FILTER (event_date > s.as_of_date - 14) AS active_days_14d,
    count(DISTINCT event_date) FILTER (event_date > s.as_of_date - 30) AS active_days_30d,
    count(DISTINCT event_date) AS active_days_60d,
    min(event_date)::TIMESTAMPTZ + INTERVAL 8 HOUR AS first_impression_at,
    max(event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS last_impression_at
FROM views, size AS s
WHERE user_email IS NOT NULL
GROUP BY ALL;

CREATE TABLE active_users AS
WITH everybody AS (
    SELECT
        user_email, a.* EXCLUDE (as_of_date, user_email, first_impression_at, last_impression_at),
        -- Some came before the 60 days.
        CASE WHEN hash(user_email) % 3 = 0 THEN TIMESTAMPTZ '2026-08-01 09:00:00+00' ELSE first_impression_at END
            AS first_impression_at,
        CASE WHEN a.user_email IS NULL AND hash(user_email) % 3 = 0 THEN TIMESTAMPTZ '2026-08-01 09:00:00+00'
            ELSE last_impression_at END AS last_impression_at,
        CASE WHEN k.has_members THEN p.user_email IS NOT NULL END AS is_member,
        coalesce(p.may_use_sigma, FALSE) AS may_use_sigma, p.name, p.account_type, p.kind, p.teams, p.created_at,
        p.age_days, k.captured_since, a.user_email IS NOT NULL AS is_user
    FROM user_activity AS a
    FULL JOIN people AS p USING (user_email)
    CROSS JOIN known AS k
)

SELECT
    s.as_of_date, user_email,
    CASE
        WHEN NOT is_user AND last_impression_at IS NOT NULL THEN 'dormant'
        WHEN NOT is_user AND age_days >= 14 AND captured_since <= s.as_of_date - 59 THEN 'never'
        WHEN NOT is_user THEN 'unknown'
        WHEN active_days_30d = 0 THEN 'lapsed'
        WHEN active_days_30d >= 15 THEN 'power'
        WHEN active_days_30d >= 4 THEN 'regular'
        ELSE 'occasional'
    END AS tier,
    coalesce(first_impression_at::DATE > s.as_of_date - 14, FALSE) AS is_new,
    coalesce(total_impressions_60d, 0)::BIGINT AS impressions_60d,
    coalesce(total_impressions_14d, 0)::BIGINT AS impressions_14d,
    coalesce(active_days_60d, 0) AS active_days_60d,
    coalesce(active_days_30d, 0) AS active_days_30d,
    coalesce(active_days_14d, 0) AS active_days_14d,
    first_impression_at, last_impression_at,
    coalesce(distinct_workbooks_60d, 0) AS distinct_workbooks_60d,
    CASE WHEN is_user THEN rank() OVER (ORDER BY total_impressions_60d DESC NULLS LAST) END::INTEGER AS rank,
    coalesce(total_impressions_60d / sum(total_impressions_60d) OVER (), 0)::DOUBLE AS share_of_impressions,
    CASE WHEN is_user THEN
        sum(total_impressions_60d) OVER (
            ORDER BY total_impressions_60d DESC NULLS LAST, user_email ROWS UNBOUNDED PRECEDING
        ) / sum(total_impressions_60d) OVER ()
    END::DOUBLE AS cumulative_share,
    is_member, may_use_sigma, name, account_type, kind, teams, created_at, age_days, captured_since
FROM everybody, size AS s
WHERE is_user OR may_use_sigma
ORDER BY rank, user_email;

CREATE TABLE usage_by_day AS
WITH active AS (
    SELECT DISTINCT event_date, user_email FROM views
),

books_of_days AS (
    SELECT event_date, sum(impressions)::BIGINT AS impressions,
        count(DISTINCT workbook_url_id) FILTER (
            workbook_url_id NOT IN (SELECT workbook_url_id FROM books WHERE is_data_model)
        ) AS active_workbooks
    FROM daily_impressions
    GROUP BY event_date
)

SELECT
    d.event_date, isodow(d.event_date)::INTEGER AS weekday, coalesce(b.impressions, 0)::BIGINT AS impressions,
    (SELECT count(DISTINCT user_email) FROM active AS a WHERE a.event_date = d.event_date) AS active_users,
    (SELECT count(DISTINCT user_email) FROM active AS a WHERE a.event_date BETWEEN d.event_date - 6 AND d.event_date)
        AS weekly_active_users,
    (SELECT count(DISTINCT user_email) FROM active AS a WHERE a.event_date BETWEEN d.event_date - 29 AND d.event_date)
        AS monthly_active_users,
    coalesce(b.active_workbooks, 0) AS active_workbooks,
    d.is_captured, d.is_complete
FROM days AS d
LEFT JOIN books_of_days AS b USING (event_date)
ORDER BY d.event_date;

CREATE TABLE usage_summary AS
WITH impressions AS (
    SELECT
        coalesce(sum(impressions) FILTER (event_date > as_of_date - 14), 0) AS value,
        coalesce(sum(impressions) FILTER (event_date BETWEEN c - 13 AND c), 0) AS complete,
        coalesce(sum(impressions) FILTER (event_date BETWEEN c - 27 AND c - 14), 0) AS previous
    FROM daily_impressions, compared, size
),

users AS (
    SELECT
        count(DISTINCT user_email) FILTER (event_date > as_of_date - 14) AS value,
        count(DISTINCT user_email) FILTER (event_date BETWEEN c - 13 AND c) AS complete,
        count(DISTINCT user_email) FILTER (event_date BETWEEN c - 27 AND c - 14) AS previous
    FROM views, compared, size
),

viewed AS (
    SELECT
        count(DISTINCT workbook_url_id) FILTER (event_date > as_of_date - 14) AS value,
        count(DISTINCT workbook_url_id) FILTER (event_date BETWEEN c - 13 AND c) AS complete,
        count(DISTINCT workbook_url_id) FILTER (event_date BETWEEN c - 27 AND c - 14) AS previous
    FROM daily_impressions, compared, size
    WHERE workbook_url_id NOT IN (SELECT workbook_url_id FROM books WHERE is_data_model)
),

workbooks AS (FROM popular_resources WHERE resource_type = 'sigma_workbook'),

people AS (FROM active_users),

figures AS (
    SELECT 'impressions_14d' AS metric, * FROM impressions
    UNION ALL SELECT 'impressions_60d', (SELECT coalesce(sum(impressions), 0) FROM daily_impressions), NULL, NULL
    UNION ALL SELECT 'active_users_14d', * FROM users
    UNION ALL SELECT 'active_workbooks_14d', * FROM viewed
    UNION ALL SELECT 'workbooks', count(*), NULL, NULL FROM workbooks
    UNION ALL SELECT 'used_workbooks_60d', count(*) FILTER (total_impressions_60d > 0), NULL, NULL FROM workbooks
    UNION ALL SELECT 'underused_workbooks', count(*), NULL, NULL
        FROM underused_resources WHERE resource_type = 'sigma_workbook' AND NOT is_archived
    UNION ALL SELECT 'new_users_14d', count(*) FILTER (is_new), 4, 3 FROM people
    UNION ALL SELECT 'lapsed_users', count(*) FILTER (tier = 'lapsed'), 4, 2 FROM people
    UNION ALL SELECT 'share_of_top_10_percent_users',
        coalesce(max(cumulative_share) FILTER (rank <= ceil((SELECT count(rank) FROM people) / 10)), 0), NULL, NULL
        FROM people
    UNION ALL SELECT 'members', CASE WHEN any_value(has_members) THEN count(*) FILTER (may_use_sigma) END, NULL, NULL
        FROM known LEFT JOIN people ON TRUE
    UNION ALL SELECT 'never_seen_members',
        CASE WHEN any_value(has_members) THEN count(*) FILTER (tier = 'never') END, NULL, NULL
        FROM known LEFT JOIN people ON TRUE
)

SELECT s.as_of_date, metric, value::DOUBLE AS value, c AS last_complete_day,
    CASE WHEN has_now THEN complete::DOUBLE END AS complete_value,
    CASE WHEN has_before THEN previous::DOUBLE END AS previous_complete_value,
    CASE WHEN NOT has_now OR NOT has_before THEN 'Some days were not captured.' END AS not_compared_because,
    CASE WHEN value IS NULL THEN 'No members are known: neither Sigma''s API nor a file of members has given any.' END
        AS unknown_because
FROM figures, compared, size AS s;
"""

_OF_GROUPS = r"""
CREATE TABLE licence_usage AS
SELECT
    s.as_of_date, account_type, kind, count(*) AS members,
    count(*) FILTER (active_days_14d > 0) AS active_14d, count(*) FILTER (active_days_30d > 0) AS active_30d,
    count(*) FILTER (active_days_60d > 0) AS active_60d,
    count(*) FILTER (tier = 'lapsed') AS lapsed, count(*) FILTER (tier = 'dormant') AS dormant,
    count(*) FILTER (tier = 'never') AS never, count(*) FILTER (tier = 'unknown') AS unknown,
    0 AS without_address, any_value(captured_since) AS captured_since
FROM active_users, size AS s
WHERE may_use_sigma
GROUP BY ALL
ORDER BY members DESC, account_type, kind;

CREATE TABLE page_usage AS
WITH elements AS (
    SELECT r.workbook_url_id, r.page_id, max(r.page_name) OVER (PARTITION BY r.workbook_url_id, r.page_id) AS page_name,
        r.element_id, i.*  EXCLUDE (workbook_url_id, element_id)
    FROM sigma_resources AS r
    INNER JOIN resource_impressions AS i USING (workbook_url_id, element_id)
    INNER JOIN popular_resources AS w ON r.workbook_url_id = w.workbook_url_id AND w.element_id IS NULL
    WHERE r.page_id IS NOT NULL AND NOT r.is_archived AND NOT r.is_deleted
),

viewers AS (
    SELECT e.workbook_url_id, e.page_id,
        count(DISTINCT v.user_email) FILTER (v.event_date > s.as_of_date - 14) AS viewers_14d,
        count(DISTINCT v.user_email) FILTER (v.event_date > s.as_of_date - 30) AS viewers_30d,
        count(DISTINCT v.user_email) AS viewers_60d
    FROM elements AS e
    INNER JOIN views AS v USING (workbook_url_id, element_id)
    CROSS JOIN size AS s
    GROUP BY ALL
)

SELECT
    s.as_of_date, e.workbook_id, e.workbook_url_id, e.workbook_name, e.path, e.page_id, e.page_name,
    count(*) AS elements, count(*) FILTER (e.total_impressions_with_elements_60d > 0) AS used_elements_60d,
    sum(e.total_impressions_with_elements_14d)::BIGINT AS impressions_14d,
    sum(e.total_impressions_with_elements_30d)::BIGINT AS impressions_30d,
    sum(e.total_impressions_with_elements_60d)::BIGINT AS impressions_60d,
    any_value(coalesce(v.viewers_14d, 0)) AS viewers_14d, any_value(coalesce(v.viewers_30d, 0)) AS viewers_30d,
    any_value(coalesce(v.viewers_60d, 0)) AS viewers_60d, max(e.last_impression_at) AS last_impression_at
FROM elements AS e
CROSS JOIN size AS s
LEFT JOIN viewers AS v USING (workbook_url_id, page_id)
GROUP BY s.as_of_date, e.workbook_id, e.workbook_url_id, e.workbook_name, e.path, e.page_id, e.page_name
ORDER BY e.workbook_url_id, e.page_id;
"""

_QUALITY = r"""
CREATE TABLE export_files AS
SELECT
    'sigma/' || (s.as_of_date - n.no::INTEGER) || coalesce(' ' || o.text, '') || '.csv' AS key,
    md5('' || n.no) AS version, 1000 AS size,
    (s.last_complete_day + 1 - n.no::INTEGER)::TIMESTAMPTZ + INTERVAL 30 MINUTE AS last_modified,
    s.as_of_date - n.no::INTEGER AS file_date,
    CASE WHEN n.no IN (3, 4, 6) THEN 'refused' ELSE 'read' END AS status,
    CASE WHEN n.no IN (3, 4, 6) THEN 'missing_column' END AS reason,
    CASE WHEN n.no IN (3, 4, 6) THEN 'No column for user_email among: A, B' || coalesce(' ' || o.text, '') END
        AS detail,
    4000 AS rows, 3900 AS accepted, 40 AS rejected, 60 AS skipped,
    (s.as_of_date - n.no::INTEGER)::TIMESTAMPTZ + INTERVAL 1 HOUR AS captured_at
FROM size AS s, range(60) AS n(no) LEFT JOIN odd AS o USING (no)
WHERE n.no <> 9 AND s.last_complete_day IS NOT NULL AND 59 - n.no NOT IN (SELECT no FROM not_captured);

CREATE TABLE rejected_rows AS
SELECT key, version, file_date, r.no + 1 AS row_number,
    CASE WHEN r.no % 4 = 0 THEN 'missing_user_email' ELSE 'unparseable_request_time' END AS reason, 'x' AS text
FROM export_files, range(40) AS r(no) WHERE status = 'read';
"""
