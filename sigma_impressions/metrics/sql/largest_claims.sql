-- Of each event date the impressions that the export file with the most of them has by itself.
-- Reads:      captured_impressions
WITH parts AS (
    SELECT event_date, file_id, max(count) AS impressions
    FROM captured_impressions
    WHERE event_id IS NOT NULL
    GROUP BY event_date, file_id, event_id, user_email, workbook_url_id, element_id
    UNION ALL
    SELECT event_date, file_id, count
    FROM captured_impressions
    WHERE event_id IS NULL
),

claims AS (
    SELECT event_date, sum(impressions) AS impressions
    FROM parts
    GROUP BY event_date, file_id
)

SELECT event_date, max(impressions)::BIGINT AS largest_claim
FROM claims
GROUP BY event_date
