-- Impressions of each viewed workbook, elements included, on each day of the window, oldest day first.
-- Reads:      usage_by_day, daily_impressions
WITH counted AS (
    SELECT workbook_url_id, event_date, sum(impressions)::BIGINT AS impressions
    FROM daily_impressions
    GROUP BY workbook_url_id, event_date
),

workbooks AS (
    SELECT DISTINCT workbook_url_id
    FROM counted
)

SELECT w.workbook_url_id, list(coalesce(c.impressions, 0) ORDER BY u.event_date) AS days
FROM workbooks AS w
CROSS JOIN usage_by_day AS u
LEFT JOIN counted AS c USING (workbook_url_id, event_date)
GROUP BY w.workbook_url_id
