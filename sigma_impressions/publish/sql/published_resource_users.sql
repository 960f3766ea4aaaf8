-- The users of every resource as of the published date, in the order of its resources; those of a resource one after
-- the other, the most active first.
-- Reads:      viewed_by_user, resource_numbers, user_numbers, resources
-- Parameter:  $as_of
SELECT
    $as_of::DATE AS as_of_date,
    r.resource_type,
    n.workbook_url_id,
    n.element_id,
    u.user_email,
    v.impressions_14d,
    v.impressions_30d,
    v.impressions_60d,
    v.first_impression_at,
    v.last_impression_at
FROM viewed_by_user AS v
INNER JOIN resource_numbers AS n USING (resource_no)
INNER JOIN user_numbers AS u USING (user_no)
INNER JOIN resources AS r
    ON n.workbook_url_id = r.workbook_url_id AND n.element_id IS NOT DISTINCT FROM r.element_id
WHERE n.resource_is_known
ORDER BY v.resource_no, v.impressions_60d DESC, v.user_no
