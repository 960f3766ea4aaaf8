-- When everything that was viewed before the window was viewed last, under the IDs that it had then.
-- Reads:      resource_impressions, unmatched_impressions (as of earlier dates), daily_impressions (days of no window)
CREATE OR REPLACE TEMP TABLE earlier_views AS
WITH views AS (
    SELECT workbook_url_id, element_id, last_impression_at
    FROM resource_impressions
    WHERE last_impression_at IS NOT NULL
    UNION ALL
    SELECT workbook_url_id, element_id, last_impression_at
    FROM unmatched_impressions
    UNION ALL
    SELECT workbook_url_id, element_id, last_impression_at
    FROM daily_impressions
)

SELECT workbook_url_id, element_id, max(last_impression_at) AS last_impression_at
FROM views
GROUP BY workbook_url_id, element_id
