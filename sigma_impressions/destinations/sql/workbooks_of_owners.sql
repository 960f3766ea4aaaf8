-- The workbooks that are there with their owners, as Sigma writes these: those first that nobody viewed, of these those
-- last that are too young to be called underused; then the most viewed.
-- Reads:      popular_resources, underused_resources
SELECT
    p.owner_email,
    coalesce(p.name, p.workbook_url_id) AS name,
    p.path,
    p.url,
    p.total_impressions_60d AS impressions_60d,
    p.distinct_impressions_users_60d AS viewers_60d,
    p.last_impression_at::DATE AS last_viewed,
    u.reason
FROM popular_resources AS p
LEFT JOIN underused_resources AS u
    ON p.resource_type = u.resource_type AND p.workbook_url_id = u.workbook_url_id AND u.element_id IS NULL
WHERE p.resource_type = 'sigma_workbook'
ORDER BY
    p.total_impressions_60d > 0,
    p.total_impressions_60d = 0 AND u.reason IS NULL,
    p.total_impressions_60d DESC,
    p.last_impression_at NULLS FIRST,
    p.workbook_url_id
