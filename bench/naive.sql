-- What a team would write without daily tables: count once over the raw rows of the window, and all windows at once.
-- Reads:      normalized_impressions, sigma_resources
-- Parameter:  $as_of
WITH claimed_by_file AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, file_id, sum(count) AS impressions
    FROM normalized_impressions
    WHERE event_date BETWEEN $as_of::DATE - 59 AND $as_of::DATE
    GROUP BY ALL
),

counted_once AS (
    SELECT event_date, request_time, user_email, workbook_url_id, element_id, max(impressions) AS impressions
    FROM claimed_by_file
    GROUP BY event_date, request_time, user_email, workbook_url_id, element_id
)

SELECT
    r.resource_type,
    r.workbook_url_id,
    r.element_id,
    sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 14) AS total_impressions_14d,
    sum(impressions) FILTER (WHERE event_date > $as_of::DATE - 30) AS total_impressions_30d,
    sum(impressions) AS total_impressions_60d,
    count(DISTINCT user_email) FILTER (WHERE event_date > $as_of::DATE - 14) AS distinct_impressions_users_14d,
    count(DISTINCT user_email) FILTER (WHERE event_date > $as_of::DATE - 30) AS distinct_impressions_users_30d,
    count(DISTINCT user_email) AS distinct_impressions_users_60d
FROM sigma_resources AS r
LEFT JOIN counted_once AS c
    ON r.workbook_url_id = c.workbook_url_id AND r.element_id IS NOT DISTINCT FROM c.element_id
GROUP BY ALL
