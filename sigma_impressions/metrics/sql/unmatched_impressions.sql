-- Good impressions of the 60 days whose workbook or element no resource has.
-- Reads:      matched_impressions
-- Parameter:  $as_of
SELECT
    $as_of::DATE AS as_of_date,
    workbook_url_id,
    element_id,
    CASE WHEN workbook_is_known THEN 'unknown_element' ELSE 'unknown_workbook' END AS reason,
    sum(impressions_60d)::BIGINT AS total_impressions_60d,
    count(*) AS distinct_impressions_users_60d,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM matched_impressions
WHERE NOT resource_is_known
GROUP BY workbook_url_id, element_id, workbook_is_known
ORDER BY workbook_url_id, element_id
