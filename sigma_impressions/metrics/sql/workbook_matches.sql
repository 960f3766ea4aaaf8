-- Which workbook each viewed ID names (spec, "Matching"): a UUID is a workbook ID, in any case; anything else is a
-- URL ID, to the letter. IDs that no workbook has are left out.
-- Reads:      daily_impressions, resources
CREATE OR REPLACE TEMP TABLE workbook_matches AS
WITH viewed AS (
    SELECT
        viewed_id,
        regexp_full_match(viewed_id, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}') AS is_workbook_id
    FROM (SELECT DISTINCT workbook_url_id AS viewed_id FROM daily_impressions)
),

workbooks AS (
    SELECT workbook_url_id, lower(workbook_id) AS workbook_id
    FROM resources
    WHERE resource_type = 'sigma_workbook'
)

SELECT viewed_id, workbook_url_id
FROM viewed
INNER JOIN workbooks ON viewed_id = workbook_url_id
WHERE NOT is_workbook_id
UNION ALL
SELECT viewed_id, workbook_url_id
FROM viewed
INNER JOIN workbooks ON lower(viewed_id) = workbook_id
WHERE is_workbook_id
