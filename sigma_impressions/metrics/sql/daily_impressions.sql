-- Impressions counted once (docs/tables-and-metrics.md, "Counted once"), per event date, workbook, element and user;
-- of nobody, whose user_email is null, like of a user.
-- Reads:      captured_impressions
-- Parameter:  $overlapping_exports, 'largest' or 'sum'
WITH
-- An event that was delivered several times: the row with the largest count, of several the latest. One ID over
-- several users or resources is not one event.
delivered AS (
    SELECT
        event_date,
        user_email,
        workbook_url_id,
        element_id,
        max({'impressions': count, 'request_time': request_time}) AS largest
    FROM captured_impressions
    WHERE event_id IS NOT NULL
    GROUP BY event_date, event_id, user_email, workbook_url_id, element_id
),

identified AS (
    SELECT * EXCLUDE (largest), largest.request_time AS request_time, largest.impressions AS impressions
    FROM delivered
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
