-- The users of every known resource, in the order of resource_impressions; those of a resource one after the other,
-- the most active first.
-- Reads:      matched_impressions, viewed, viewers
SELECT
    m.resource_no,
    u.user_email,
    m.impressions_14d,
    m.impressions_30d,
    m.impressions_60d,
    m.first_impression_at,
    m.last_impression_at
FROM matched_impressions AS m
INNER JOIN viewed AS v USING (resource_no)
INNER JOIN viewers AS u USING (user_no)
WHERE v.resource_is_known
ORDER BY m.resource_no, m.impressions_60d DESC, m.user_no
