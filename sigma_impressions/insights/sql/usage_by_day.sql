-- Impressions, active users and active workbooks of every day of the window (docs/insights.md).
-- The days on which a user was active are the bits of one number, day 0 being the first that a month of the window
-- holds: so a user's week or month is one look at that number.
-- Reads:      counted_days (event_date, impressions, distinct_users), captured_days (event_date), daily_totals,
--             earlier_active_days, published.daily_impressions, resources, what_is_known
-- Makes:      published.usage_by_day
-- Parameter:  $as_of
CREATE TABLE published.usage_by_day AS
WITH days AS (
    SELECT day_no, $as_of::DATE - 88 + day_no AS event_date
    FROM (SELECT unnest(range(29, 89))::INTEGER AS day_no)
),

active_days AS (
    SELECT event_date, user_email
    FROM daily_totals
    WHERE user_email IS NOT NULL
    UNION ALL
    FROM earlier_active_days
),

users AS (
    SELECT bit_or(1::HUGEINT << (event_date - ($as_of::DATE - 88))) AS active_on
    FROM active_days
    GROUP BY user_email
),

active AS (
    SELECT
        d.day_no,
        count(*) FILTER (WHERE (u.active_on >> (d.day_no - 6)) & ((1 << 7) - 1) > 0) AS weekly_active_users,
        count(*) FILTER (WHERE (u.active_on >> (d.day_no - 29)) & ((1 << 30) - 1) > 0) AS monthly_active_users
    FROM users AS u
    CROSS JOIN days AS d
    GROUP BY d.day_no
),

workbooks AS (
    SELECT event_date, count(DISTINCT workbook_url_id) AS active_workbooks
    FROM published.daily_impressions
    WHERE workbook_url_id NOT IN (SELECT workbook_url_id FROM resources WHERE resource_type = 'sigma_data_model')
    GROUP BY event_date
)

SELECT
    d.event_date,
    isodow(d.event_date)::INTEGER AS weekday,
    coalesce(c.impressions, 0)::BIGINT AS impressions,
    coalesce(c.distinct_users, 0)::BIGINT AS active_users,
    coalesce(a.weekly_active_users, 0)::BIGINT AS weekly_active_users,
    coalesce(a.monthly_active_users, 0)::BIGINT AS monthly_active_users,
    coalesce(w.active_workbooks, 0)::BIGINT AS active_workbooks,
    p.event_date IS NOT NULL AS is_captured,
    coalesce(d.event_date <= k.last_complete_day, FALSE) AS is_complete
FROM days AS d
CROSS JOIN what_is_known AS k
LEFT JOIN active AS a USING (day_no)
LEFT JOIN counted_days AS c USING (event_date)
LEFT JOIN workbooks AS w USING (event_date)
LEFT JOIN captured_days AS p USING (event_date)
ORDER BY d.event_date
