-- Good impressions of the 60 days whose workbook or element no resource has.
-- Reads:      matched_impressions, viewed
-- Parameter:  $as_of
SELECT
    $as_of::DATE AS as_of_date,
    v.workbook_url_id,
    v.element_id,
    CASE WHEN v.workbook_is_known THEN 'unknown_element' ELSE 'unknown_workbook' END AS reason,
    sum(m.impressions_60d)::BIGINT AS total_impressions_60d,
    count(*) AS distinct_impressions_users_60d,
    min(m.first_impression_at) AS first_impression_at,
    max(m.last_impression_at) AS last_impression_at
FROM matched_impressions AS m
INNER JOIN viewed AS v USING (resource_no)
WHERE NOT v.resource_is_known
GROUP BY v.resource_no, v.workbook_url_id, v.element_id, v.workbook_is_known
ORDER BY v.workbook_url_id, v.element_id
