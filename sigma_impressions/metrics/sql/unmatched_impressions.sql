-- Good impressions of the 60 days whose workbook or element no resource has.
-- Reads:      viewed_by_user, resource_numbers
-- Parameter:  $as_of
SELECT
    $as_of::DATE AS as_of_date,
    n.workbook_url_id,
    n.element_id,
    CASE WHEN n.workbook_is_known THEN 'unknown_element' ELSE 'unknown_workbook' END AS reason,
    sum(v.impressions_60d)::BIGINT AS total_impressions_60d,
    count(v.user_no) AS distinct_impressions_users_60d,
    min(v.first_impression_at) AS first_impression_at,
    max(v.last_impression_at) AS last_impression_at
FROM viewed_by_user AS v
INNER JOIN resource_numbers AS n USING (resource_no)
WHERE NOT n.resource_is_known
GROUP BY n.resource_no, n.workbook_url_id, n.element_id, n.workbook_is_known
ORDER BY n.workbook_url_id, n.element_id
