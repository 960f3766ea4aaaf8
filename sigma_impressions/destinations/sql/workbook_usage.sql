-- Usage of every workbook that is not deleted, with that of its elements, most viewed first.
-- Reads:      resource_impressions (of the published database)
WITH latest AS (
    SELECT workbook_url_id, max(last_impression_at) AS last_impression_at
    FROM resource_impressions
    GROUP BY workbook_url_id
)

SELECT
    r.workbook_id,
    r.workbook_url_id,
    r.name,
    r.url,
    r.total_impressions_with_elements_14d,
    r.total_impressions_with_elements_30d,
    r.total_impressions_with_elements_60d,
    r.distinct_impressions_users_with_elements_14d,
    r.distinct_impressions_users_with_elements_30d,
    r.distinct_impressions_users_with_elements_60d,
    l.last_impression_at,
    rank() OVER (
        ORDER BY r.total_impressions_with_elements_30d DESC, r.total_impressions_with_elements_60d DESC
    ) AS rank
FROM resource_impressions AS r
INNER JOIN latest AS l USING (workbook_url_id)
WHERE r.resource_type = 'sigma_workbook' AND r.is_deleted IS NOT TRUE
ORDER BY rank, r.workbook_url_id
