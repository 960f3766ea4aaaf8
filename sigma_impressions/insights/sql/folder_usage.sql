-- How the workbooks of each folder are used, with those of the folders in it (docs/insights.md).
-- Reads:      group_usage, what_is_known
-- Makes:      published.folder_usage
-- Parameter:  $as_of
CREATE TABLE published.folder_usage AS
SELECT
    $as_of::DATE AS as_of_date,
    g.group_name AS folder,
    g.depth,
    g.workbooks,
    g.used_workbooks_60d,
    g.unused_workbooks_60d,
    g.underused_workbooks,
    g.impressions_14d,
    g.impressions_30d,
    g.impressions_60d,
    g.viewers_14d,
    g.viewers_30d,
    g.viewers_60d,
    g.top_workbook.url_id AS top_workbook_url_id,
    g.top_workbook.name AS top_workbook_name,
    g.top_workbook.impressions AS top_workbook_impressions_60d,
    k.last_complete_day,
    g.complete_impressions_14d,
    g.previous_complete_impressions_14d,
    g.complete_impressions_14d::DOUBLE / nullif(g.previous_complete_impressions_14d, 0) - 1 AS trend_14d
FROM group_usage AS g
CROSS JOIN what_is_known AS k
WHERE g.grouped_by = 'folder'
ORDER BY g.group_name NULLS LAST
