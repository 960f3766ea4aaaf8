-- Impressions per event date, workbook and user, elements included: of the kept pairs, and of nobody. What a user has
-- more on the day is of the workbook null.
-- Reads:      daily_impressions, daily_totals, exported_workbooks, kept_pairs
WITH exported_pairs AS (
    SELECT e.exported_id, k.user_email, k.pair_no
    FROM kept_pairs AS k
    INNER JOIN exported_workbooks AS e USING (workbook_url_id)
),

-- Of doubles, as in shared_views.sql.
of_users AS (
    SELECT d.event_date, p.pair_no, sum(d.impressions::DOUBLE)::BIGINT AS impressions
    FROM daily_impressions AS d
    INNER JOIN exported_pairs AS p ON d.workbook_url_id = p.exported_id AND d.user_email = p.user_email
    GROUP BY d.event_date, p.pair_no
),

of_nobody AS (
    SELECT d.event_date, e.workbook_url_id, sum(d.impressions)::BIGINT AS impressions
    FROM daily_impressions AS d
    INNER JOIN exported_workbooks AS e ON d.workbook_url_id = e.exported_id
    WHERE d.user_email IS NULL
    GROUP BY d.event_date, e.workbook_url_id
),

of_other_workbooks AS (
    SELECT event_date, user_email, sum(impressions)::BIGINT AS impressions
    FROM (
        SELECT event_date, user_email, impressions
        FROM daily_totals
        WHERE user_email IS NOT NULL
        UNION ALL
        SELECT u.event_date, k.user_email, -u.impressions
        FROM of_users AS u
        INNER JOIN kept_pairs AS k USING (pair_no)
    )
    GROUP BY event_date, user_email
    HAVING sum(impressions) > 0
)

SELECT u.event_date, k.workbook_url_id, k.user_email, u.impressions
FROM of_users AS u
INNER JOIN kept_pairs AS k USING (pair_no)
UNION ALL
SELECT event_date, workbook_url_id, NULL AS user_email, impressions
FROM of_nobody
UNION ALL
SELECT event_date, NULL AS workbook_url_id, user_email, impressions
FROM of_other_workbooks
ORDER BY workbook_url_id, user_email, event_date
