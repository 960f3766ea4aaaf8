-- The users of every known resource, in the order of resource_impressions; those of a resource one after the other,
-- the most active first.
-- Reads:      viewed_by_user, resource_numbers, user_numbers
SELECT
    v.resource_no,
    u.user_email,
    v.impressions_14d,
    v.impressions_30d,
    v.impressions_60d,
    v.first_impression_at,
    v.last_impression_at
FROM viewed_by_user AS v
INNER JOIN resource_numbers AS n USING (resource_no)
INNER JOIN user_numbers AS u USING (user_no)
WHERE n.resource_is_known
ORDER BY v.resource_no, v.impressions_60d DESC, v.user_no
