-- The resources as of the published date in the order of their users, with how many rows of users each has.
-- Reads:      resource_impressions (of the as-of date), published.resource_users
WITH users AS (
    SELECT workbook_url_id, element_id, count(*) AS listed_users
    FROM published.resource_users
    GROUP BY workbook_url_id, element_id
)

SELECT r.* EXCLUDE (fingerprint), coalesce(u.listed_users, 0) AS listed_users
FROM resource_impressions AS r
LEFT JOIN users AS u ON r.workbook_url_id = u.workbook_url_id AND r.element_id IS NOT DISTINCT FROM u.element_id
ORDER BY r.element_id IS NULL, r.workbook_url_id, r.element_id
