-- Of each event date the impressions that the export file with the most of them has by itself.
-- Reads:      keyed_impressions
WITH parts AS (
    SELECT event_date, file_no, max(count) AS impressions
    FROM keyed_impressions
    WHERE event_id IS NOT NULL
    GROUP BY event_date, file_no, event_id, user_key, view_key
    UNION ALL
    SELECT event_date, file_no, count
    FROM keyed_impressions
    WHERE event_id IS NULL
),

claims AS (
    SELECT event_date, sum(impressions) AS impressions
    FROM parts
    GROUP BY event_date, file_no
)

SELECT event_date, max(impressions)::BIGINT AS largest_claim
FROM claims
GROUP BY event_date
