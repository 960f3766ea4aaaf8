-- The rows of the usage, and the workbooks without a workbook_id, which no catalog could name.
-- Reads:      entity_usage, resources
SELECT (SELECT count(*) FROM entity_usage) AS rows, count(*) AS unnamed
FROM resources
WHERE resource_type = 'sigma_workbook' AND workbook_id IS NULL AND is_deleted IS NOT TRUE
