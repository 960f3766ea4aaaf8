-- Impressions counted once (docs/tables-and-metrics.md, "Counted once"), per event date, workbook and element
-- (view_no), and user (user_no); of nobody, who has no user_no, like of a user.
-- Reads:      keyed_impressions, view_keys, user_keys
-- Parameter:  $overlapping_exports, 'largest' or 'sum'
WITH
-- An event that was delivered several times: the row with the largest count, of several the latest. One ID over
-- several users or resources is not one event.
delivered AS (
    SELECT
        event_date,
        user_key,
        view_key,
        max({'impressions': count, 'request_time': request_time}) AS largest
    FROM keyed_impressions
    WHERE event_id IS NOT NULL
    GROUP BY event_date, event_id, user_key, view_key
),

identified AS (
    SELECT * EXCLUDE (largest), largest.request_time AS request_time, largest.impressions AS impressions
    FROM delivered
),

-- Equal rows of one file are separate impressions ...
claimed_by_file AS (
    SELECT event_date, request_time, user_key, view_key, file_no, sum(count) AS impressions
    FROM keyed_impressions
    WHERE event_id IS NULL
    GROUP BY ALL
),

-- ... while another file that holds them again adds nothing, unless exports are known to be disjoint.
unidentified AS (
    SELECT
        * EXCLUDE (file_no, impressions),
        CASE WHEN $overlapping_exports = 'sum' THEN sum(impressions) ELSE max(impressions) END AS impressions
    FROM claimed_by_file
    GROUP BY ALL
),

counted_once AS (
    FROM identified
    UNION ALL BY NAME
    FROM unidentified
),

keyed AS (
    SELECT
        event_date,
        view_key,
        user_key,
        sum(impressions)::BIGINT AS impressions,
        min(request_time) AS first_impression_at,
        max(request_time) AS last_impression_at
    FROM counted_once
    GROUP BY event_date, view_key, user_key
)

SELECT k.event_date, v.view_no, u.user_no, k.impressions, k.first_impression_at, k.last_impression_at
FROM keyed AS k
INNER JOIN view_keys AS v ON k.view_key = v.view_key
INNER JOIN user_keys AS u ON k.user_key = u.user_key
ORDER BY k.event_date, v.view_no, u.user_no
