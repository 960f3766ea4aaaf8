-- The folders that each workbook is in, those around its folder too, and its owner (docs/insights.md).
-- A workbook without a path is in the folder null of depth 0, one without an owner has the owner null.
-- Reads:      present_workbooks, owners (owner_email, user_email)
CREATE OR REPLACE TEMP TABLE workbook_groups AS
WITH paths AS (
    SELECT workbook_url_id, coalesce(regexp_extract_all(path, '[^/]+'), []) AS names
    FROM present_workbooks
),

folders AS (
    SELECT workbook_url_id, names, unnest(CASE WHEN names = [] THEN [0] ELSE range(1, len(names) + 1) END) AS depth
    FROM paths
),

groups AS (
    SELECT
        workbook_url_id,
        'folder' AS grouped_by,
        CASE WHEN depth > 0 THEN array_to_string(names[:depth], '/') END AS group_name,
        depth::INTEGER AS depth
    FROM folders
    UNION ALL BY NAME
    SELECT p.workbook_url_id, 'owner' AS grouped_by, o.user_email AS group_name
    FROM present_workbooks AS p
    LEFT JOIN owners AS o USING (owner_email)
)

SELECT *, dense_rank() OVER (ORDER BY grouped_by, group_name) AS group_no
FROM groups
