-- What was viewed and no resource has, most viewed first.
-- Reads:      unmatched_impressions
SELECT
    reason,
    workbook_url_id,
    element_id,
    total_impressions_60d AS impressions,
    distinct_impressions_users_60d AS users,
    last_impression_at
FROM unmatched_impressions
ORDER BY impressions DESC, workbook_url_id, element_id NULLS FIRST
