"""Published databases of any size, with made-up content and names that are meant to break a page."""

from __future__ import annotations

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
"""Names of the first workbooks; the same are names of elements, paths, owners and users."""

BAD_URL = "javascript:alert(4)"


def publish(path: Path, workbooks: int, elements_each: int, users: int, hostile: bool = False) -> Path:
    """A database at `path` with the tables that the report reads, the same for the same arguments.

    Every seventh workbook is not used, every eleventh is archived. With `hostile` the first ones, their elements,
    paths, owners, users and files have hostile names, and the second one a URL that is a script.
    """
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TEMP TABLE hostile AS SELECT unnest($names) AS text", {"names": list(HOSTILE)})
        connection.execute(
            "CREATE TEMP TABLE size AS SELECT $workbooks AS workbooks, $each AS elements_each, $users AS users, "
            "$hostile AS is_hostile, $bad AS bad_url, $as_of::DATE AS as_of_date",
            {
                "workbooks": workbooks,
                "each": elements_each,
                "users": users,
                "hostile": hostile,
                "bad": BAD_URL,
                "as_of": AS_OF,
            },
        )
        connection.execute(_BASE)
        connection.execute(_INSIGHTS)
    return path


_BASE = r"""
CREATE TEMP TABLE odd AS SELECT row_number() OVER () - 1 AS no, text FROM hostile, size WHERE is_hostile;

CREATE TEMP TABLE resources AS
WITH workbook AS (
    SELECT
        w.no,
        substr(md5('w' || w.no), 1, 22) AS workbook_url_id,
        coalesce(o.text, ['Revenue', 'Pipeline', 'Churn', 'Tickets', 'Inventory', 'Hiring', 'Spend'][1 + w.no % 7]
            || ' ' || ['Overview', 'Deep Dive', 'Weekly', 'by Region', 'Forecast'][1 + (w.no // 7) % 5]
            || ' ' || w.no) AS workbook_name,
        coalesce(o.text, 'Acme/' || ['Sales', 'Finance', 'Product', 'People'][1 + w.no % 4] || '/Team ' || w.no % 90)
            AS path,
        coalesce(o.text, 'owner' || (w.no % 300) || '@acme.example') AS owner_email,
        CASE WHEN s.is_hostile AND w.no = 1 THEN s.bad_url
            ELSE 'https://app.sigmacomputing.com/acme/workbook/Name-' || substr(md5('w' || w.no), 1, 22) END AS url,
        TIMESTAMPTZ '2025-01-05 08:00:00+00' + INTERVAL 1 HOUR * (w.no * 37 % 14000) AS created_at,
        w.no % 11 = 10 AS is_archived
    FROM size AS s, range(s.workbooks) AS w(no)
    LEFT JOIN odd AS o USING (no)
)
SELECT
    'sigma_workbook' AS resource_type, no AS workbook_no, workbook_url_id, NULL::VARCHAR AS element_id,
    workbook_name AS name, workbook_name, path, url, owner_email, created_at,
    created_at + INTERVAL 9 DAY AS updated_at, is_archived, 0 AS element_no
FROM workbook
UNION ALL
SELECT
    'sigma_element', w.no, workbook_url_id, substr(md5('e' || w.no || '/' || e.no), 1, 10),
    coalesce(o.text, ['Bookings', 'Win rate', 'Cost', 'Users', 'NPS', 'Lead time', 'Orders'][1 + e.no % 7]
        || ' ' || ['by region', 'by month', 'total', 'per team'][1 + (w.no + e.no) % 4]),
    workbook_name, path || '/' || workbook_name,
    CASE WHEN url LIKE 'http%' THEN url || '?:displayNodeId=' || substr(md5('e' || w.no || '/' || e.no), 1, 10)
        ELSE url END,
    owner_email, created_at, created_at + INTERVAL 9 DAY, is_archived, e.no + 1
FROM workbook AS w, size AS s, range(s.elements_each) AS e(no)
LEFT JOIN odd AS o ON o.no = e.no;

CREATE TABLE daily_impressions AS
SELECT
    s.as_of_date - (59 - d.no)::INTEGER AS event_date,
    r.workbook_url_id,
    r.element_id,
    1 + (hash(r.workbook_no, r.element_no, d.no) % 9)::BIGINT * (1 + 400 // (5 + r.workbook_no)) AS impressions,
    1 + (hash(d.no, r.element_no, r.workbook_no) % 3)::BIGINT AS distinct_users
FROM resources AS r, size AS s, range(60) AS d(no)
WHERE r.workbook_no % 7 <> 5
    AND hash(r.workbook_no, r.element_no * 3, d.no)::UBIGINT % 100
        < (CASE WHEN dayofweek(s.as_of_date - (59 - d.no)::INTEGER) IN (0, 6) THEN 6 ELSE 30 END)
            / (1 + r.element_no // 4) * (CASE WHEN r.workbook_no % 3 = 0 THEN 1 + d.no / 40 ELSE 2 - d.no / 40 END);

CREATE TABLE user_activity AS
WITH listed AS (
    SELECT
        u.no,
        coalesce(o.text, 'person' || u.no || '@acme.example') AS user_email,
        greatest(1, (3000 / (1 + u.no))::BIGINT) AS impressions
    FROM size AS s, range(s.users) AS u(no)
    LEFT JOIN odd AS o USING (no)
)
SELECT
    s.as_of_date, user_email, impressions AS total_impressions_60d,
    CASE WHEN no % 5 = 4 THEN 0 ELSE impressions // 3 END AS total_impressions_14d,
    least(60, 1 + impressions // 4) AS active_days_60d, 1 + no % 9 AS distinct_workbooks_60d,
    s.as_of_date::TIMESTAMPTZ - INTERVAL 1 DAY * (CASE WHEN no % 9 = 0 THEN 6 ELSE 55 END) AS first_impression_at,
    s.as_of_date::TIMESTAMPTZ - INTERVAL 1 DAY * (CASE WHEN no % 5 = 4 THEN 30 ELSE 1 END) AS last_impression_at
FROM listed, size AS s;

CREATE TABLE resource_impressions AS
SELECT workbook_url_id, element_id, max(event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS last_impression_at
FROM daily_impressions
GROUP BY ALL;

CREATE TABLE unmatched_impressions AS
SELECT
    s.as_of_date, 'gone' || n.no AS workbook_url_id,
    CASE WHEN n.no % 2 = 0 THEN 'element' || n.no END AS element_id,
    CASE WHEN n.no % 2 = 0 THEN 'unknown_element' ELSE 'unknown_workbook' END AS reason,
    100 - n.no AS total_impressions_60d, 3 AS distinct_impressions_users_60d,
    s.as_of_date::TIMESTAMPTZ AS first_impression_at, s.as_of_date::TIMESTAMPTZ AS last_impression_at
FROM size AS s, range(30) AS n(no);

CREATE TABLE export_files AS
SELECT
    'sigma/' || (s.as_of_date - n.no::INTEGER) || coalesce(' ' || o.text, '') || '.csv' AS key,
    md5('' || n.no) AS version, 1000 AS size,
    (s.as_of_date - n.no::INTEGER)::TIMESTAMPTZ + INTERVAL 30 MINUTE AS last_modified,
    s.as_of_date - n.no::INTEGER AS file_date,
    CASE WHEN n.no IN (3, 4) THEN 'refused' ELSE 'read' END AS status,
    CASE WHEN n.no IN (3, 4) THEN 'missing_column' END AS reason,
    CASE WHEN n.no IN (3, 4) THEN 'No column for user_email among: A, B' || coalesce(' ' || o.text, '') END AS detail,
    4000 AS rows, 3900 AS accepted, 40 AS rejected, 60 AS skipped,
    (s.as_of_date - n.no::INTEGER)::TIMESTAMPTZ + INTERVAL 1 HOUR AS captured_at
FROM size AS s, range(60) AS n(no) LEFT JOIN odd AS o USING (no)
WHERE n.no <> 9;

CREATE TABLE rejected_rows AS
SELECT key, version, file_date, r.no + 1 AS row_number,
    CASE WHEN r.no % 4 = 0 THEN 'missing_user_email' ELSE 'unparseable_request_time' END AS reason, 'x' AS text
FROM export_files, range(40) AS r(no) WHERE status = 'read';

CREATE TABLE publication AS
SELECT as_of_date, TIMESTAMPTZ '2026-11-20 06:12:33+00' AS published_at, 'made from this' AS made_from FROM size;
"""

_INSIGHTS = r"""
CREATE TEMP TABLE figures AS
SELECT
    r.*, coalesce(sum(impressions), 0)::BIGINT AS total_impressions_60d,
    coalesce(max(distinct_users) * 3, 0)::BIGINT AS distinct_impressions_users_60d,
    coalesce(sum(impressions) FILTER (event_date > s.as_of_date - 14), 0)::BIGINT AS total_impressions_14d,
    coalesce(sum(impressions) FILTER (event_date BETWEEN s.as_of_date - 14 AND s.as_of_date - 1), 0)::BIGINT
        AS complete_impressions_14d,
    coalesce(sum(impressions) FILTER (event_date BETWEEN s.as_of_date - 28 AND s.as_of_date - 15), 0)::BIGINT
        AS previous_complete_impressions_14d,
    max(event_date)::TIMESTAMPTZ + INTERVAL 9 HOUR AS last_impression_at
FROM resources AS r
LEFT JOIN daily_impressions AS d
    ON r.workbook_url_id = d.workbook_url_id AND (r.element_id IS NULL OR r.element_id = d.element_id)
CROSS JOIN size AS s
GROUP BY ALL;

CREATE TABLE popular_resources AS
SELECT
    s.as_of_date, resource_type, workbook_url_id, element_id, name, workbook_name, path, url, owner_email,
    total_impressions_60d, distinct_impressions_users_60d,
    rank() OVER (PARTITION BY resource_type ORDER BY total_impressions_60d DESC) AS rank_by_impressions,
    rank() OVER (PARTITION BY resource_type ORDER BY distinct_impressions_users_60d DESC) AS rank_by_users,
    100 * cume_dist() OVER (PARTITION BY resource_type ORDER BY total_impressions_60d) AS percentile_by_impressions,
    100 * cume_dist() OVER (PARTITION BY resource_type ORDER BY distinct_impressions_users_60d) AS percentile_by_users,
    total_impressions_14d, s.as_of_date - 1 AS last_complete_day, complete_impressions_14d,
    previous_complete_impressions_14d,
    complete_impressions_14d / nullif(previous_complete_impressions_14d, 0) - 1 AS trend_14d,
    CASE
        WHEN complete_impressions_14d = 0 AND previous_complete_impressions_14d = 0 THEN 'none'
        WHEN previous_complete_impressions_14d = 0 THEN 'new'
        WHEN complete_impressions_14d = 0 THEN 'gone'
        WHEN complete_impressions_14d >= 1.3 * previous_complete_impressions_14d THEN 'riser'
        WHEN complete_impressions_14d <= 0.7 * previous_complete_impressions_14d THEN 'faller'
        ELSE 'steady'
    END AS movement,
    last_impression_at
FROM figures, size AS s
WHERE NOT is_archived;

CREATE TABLE underused_resources AS
SELECT
    s.as_of_date, resource_type, workbook_url_id, element_id, name, workbook_name, path, url, owner_email, created_at,
    updated_at, date_diff('day', created_at, s.as_of_date::TIMESTAMPTZ) AS age_days, total_impressions_60d,
    distinct_impressions_users_60d, last_impression_at,
    date_diff('day', last_impression_at, s.as_of_date::TIMESTAMPTZ) AS days_since_last_impression,
    CASE WHEN total_impressions_60d = 0 THEN 'never_seen' ELSE 'few_users' END AS reason_code,
    CASE WHEN total_impressions_60d = 0 THEN 'No impression is known'
        ELSE 'Only ' || distinct_impressions_users_60d || ' users in 60 days' END AS reason,
    is_archived
FROM figures, size AS s
WHERE total_impressions_60d = 0 OR distinct_impressions_users_60d < 4;

CREATE TABLE active_users AS
SELECT
    s.as_of_date, user_email,
    CASE WHEN total_impressions_14d = 0 THEN 'lapsed' WHEN active_days_60d >= 30 THEN 'power'
        WHEN active_days_60d >= 8 THEN 'regular' ELSE 'occasional' END AS tier,
    first_impression_at > s.as_of_date::TIMESTAMPTZ - INTERVAL 14 DAY AS is_new,
    total_impressions_60d AS impressions_60d, total_impressions_14d AS impressions_14d, active_days_60d,
    first_impression_at, last_impression_at, distinct_workbooks_60d,
    rank() OVER (ORDER BY total_impressions_60d DESC) AS rank,
    total_impressions_60d / sum(total_impressions_60d) OVER () AS share_of_impressions,
    sum(total_impressions_60d) OVER (ORDER BY total_impressions_60d DESC, user_email ROWS UNBOUNDED PRECEDING)
        / sum(total_impressions_60d) OVER () AS cumulative_share
FROM user_activity AS u, size AS s;

CREATE TABLE usage_by_day AS
SELECT
    day::DATE AS event_date, isodow(day) AS weekday, coalesce(sum(impressions), 0)::BIGINT AS impressions,
    least(s.users, coalesce(sum(distinct_users), 0))::BIGINT AS active_users,
    least(s.users, coalesce(sum(distinct_users), 0) * 2)::BIGINT AS weekly_active_users,
    s.users AS monthly_active_users, count(DISTINCT workbook_url_id) AS active_workbooks,
    day::DATE <> s.as_of_date - 9 AS is_captured, day::DATE < s.as_of_date AS is_complete
FROM size AS s, generate_series(s.as_of_date - INTERVAL 59 DAY, s.as_of_date::TIMESTAMP, INTERVAL 1 DAY) AS days(day)
LEFT JOIN daily_impressions AS d ON d.event_date = day::DATE
GROUP BY day, s.users, s.as_of_date
ORDER BY day;

CREATE TABLE usage_summary AS
WITH books AS (FROM popular_resources WHERE resource_type = 'sigma_workbook'),
people AS (FROM active_users)
SELECT
    s.as_of_date, metric, value::DOUBLE AS value, s.as_of_date - 1 AS last_complete_day,
    complete_value::DOUBLE AS complete_value, previous::DOUBLE AS previous_complete_value,
    NULL::VARCHAR AS not_compared_because, NULL::VARCHAR AS unknown_because
FROM size AS s, (
    SELECT 'impressions_14d' AS metric, sum(total_impressions_14d) AS value,
        sum(complete_impressions_14d) AS complete_value, sum(previous_complete_impressions_14d) AS previous FROM books
    UNION ALL SELECT 'impressions_60d', sum(total_impressions_60d), NULL, NULL FROM books
    UNION ALL SELECT 'active_users_14d', count(*) FILTER (impressions_14d > 0), count(*) - 1, count(*) FROM people
    UNION ALL SELECT 'active_workbooks_14d', count(*) FILTER (total_impressions_14d > 0),
        count(*) FILTER (complete_impressions_14d > 0), count(*) FILTER (previous_complete_impressions_14d > 0)
        FROM books
    UNION ALL SELECT 'workbooks', count(*), NULL, NULL FROM books
    UNION ALL SELECT 'used_workbooks_60d', count(*) FILTER (total_impressions_60d > 0), NULL, NULL FROM books
    UNION ALL SELECT 'underused_workbooks', count(*), NULL, NULL
        FROM underused_resources WHERE resource_type = 'sigma_workbook' AND NOT is_archived
    UNION ALL SELECT 'new_users_14d', count(*) FILTER (is_new), 4, 3 FROM people
    UNION ALL SELECT 'lapsed_users', count(*) FILTER (tier = 'lapsed'), 4, 2 FROM people
    UNION ALL SELECT 'share_of_top_10_percent_users',
        max(cumulative_share) FILTER (rank <= greatest(1, ceil(s2.users / 10))), NULL, NULL FROM people, size AS s2
);
"""
