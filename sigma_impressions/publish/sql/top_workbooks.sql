-- The workbooks with the most impressions of 30 days, those of their elements included.
-- Reads:      resource_impressions (of the published database)
-- Parameter:  $most, how many at most
SELECT
    coalesce(name, workbook_url_id) AS workbook,
    total_impressions_with_elements_30d AS impressions_with_elements_30d,
    distinct_impressions_users_with_elements_30d AS users_with_elements_30d
FROM resource_impressions
WHERE resource_type = 'sigma_workbook' AND total_impressions_with_elements_30d > 0
ORDER BY impressions_with_elements_30d DESC, users_with_elements_30d DESC, workbook
LIMIT $most
