-- What the days add that lie in windows of some of the as-of dates only, by the rows of shared_views (row_no).
-- Reads:      keyed_impressions, view_keys, user_keys, shared_views (with row_no)
-- Parameters: $first and $last of the as-of dates
SELECT k.event_date, n.row_no, k.impressions, k.first_impression_at, k.last_impression_at
FROM keyed_impressions AS k
INNER JOIN view_keys AS v ON k.view_key = v.view_key
INNER JOIN user_keys AS u ON k.user_key = u.user_key
INNER JOIN shared_views AS n ON v.resource_no = n.resource_no AND u.user_no IS NOT DISTINCT FROM n.user_no
WHERE
    k.event_date BETWEEN $first::DATE + 1 AND $last::DATE
    OR k.event_date BETWEEN $first::DATE - 13 AND $last::DATE - 14
    OR k.event_date BETWEEN $first::DATE - 29 AND $last::DATE - 30
    OR k.event_date BETWEEN $first::DATE - 59 AND $last::DATE - 60
