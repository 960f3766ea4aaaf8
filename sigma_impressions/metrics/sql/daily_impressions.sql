-- Impressions counted once (spec, "Impressions are counted once"), per event date, workbook, element and user.
-- Reads:      normalized_impressions, captured_files (file_id, capture_id), dates_to_build (event_date)
-- Parameter:  $overlapping_exports, 'largest' or 'sum'
-- The captured rows are read twice, but not kept in between: of most exports the first reading finds no event IDs.
WITH captured AS NOT MATERIALIZED (
    SELECT event_date, event_id, file_id, request_time, user_email, workbook_url_id, element_id, count
    FROM normalized_impressions
    SEMI JOIN captured_files USING (file_id, capture_id)
    WHERE event_date IN (SELECT event_date FROM dates_to_build)
),

-- An event that was delivered several times: the row with the largest count, then the latest, then the smallest.
identified AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, count AS impressions
    FROM captured
    WHERE event_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY event_date, event_id
        ORDER BY count DESC, request_time DESC, user_email, workbook_url_id, coalesce(element_id, '')
    ) = 1
),

-- Equal rows of one file are separate impressions ...
claimed_by_file AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, file_id, sum(count) AS impressions
    FROM captured
    WHERE event_id IS NULL
    GROUP BY ALL
),

-- ... while another file that holds them again adds nothing, unless exports are known to be disjoint.
unidentified AS (
    SELECT
        event_date,
        request_time,
        user_email,
        workbook_url_id,
        element_id,
        CASE WHEN $overlapping_exports = 'sum' THEN sum(impressions) ELSE max(impressions) END AS impressions
    FROM claimed_by_file
    GROUP BY event_date, request_time, user_email, workbook_url_id, element_id
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
