-- Impressions counted once (docs/tables-and-metrics.md, "Counted once"), per event date, workbook, element and user.
-- Reads:      captured_impressions
-- Parameter:  $overlapping_exports, 'largest' or 'sum'
WITH
-- An event that was delivered several times: the row with the largest count, then the latest, then the smallest.
identified AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, count AS impressions
    FROM captured_impressions
    WHERE event_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY event_date, event_id
        ORDER BY count DESC, request_time DESC, user_email, workbook_url_id, coalesce(element_id, '')
    ) = 1
),

-- Equal rows of one file are separate impressions ...
claimed_by_file AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, file_id, sum(count) AS impressions
    FROM captured_impressions
    WHERE event_id IS NULL
    GROUP BY ALL
),

-- ... while another file that holds them again adds nothing, unless exports are known to be disjoint.
unidentified AS (
    SELECT
        * EXCLUDE (file_id, impressions),
        CASE WHEN $overlapping_exports = 'sum' THEN sum(impressions) ELSE max(impressions) END AS impressions
    FROM claimed_by_file
    GROUP BY ALL
),

counted_once AS (
    FROM identified
    UNION ALL BY NAME
    FROM unidentified
)

SELECT
    event_date,
    workbook_url_id,
    element_id,
    user_email,
    sum(impressions)::BIGINT AS impressions,
    min(request_time) AS first_impression_at,
    max(request_time) AS last_impression_at
FROM counted_once
GROUP BY event_date, workbook_url_id, element_id, user_email
ORDER BY event_date, workbook_url_id, element_id, user_email
