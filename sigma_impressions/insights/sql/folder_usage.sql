-- How the workbooks of each folder are used, with those of the folders in it (docs/insights.md).
-- Reads:      group_usage
-- Makes:      published.folder_usage
-- Parameter:  $as_of
CREATE TABLE published.folder_usage AS
SELECT
    $as_of::DATE AS as_of_date,
    group_name AS folder,
    * EXCLUDE (group_no, grouped_by, group_name)
FROM group_usage
WHERE grouped_by = 'folder'
ORDER BY group_name NULLS LAST
