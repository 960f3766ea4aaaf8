-- The pages of the workbooks that are shown, in the order of these; in a workbook the most viewed first.
-- Reads:      page_usage, workbooks (as shown)
SELECT
    p.workbook_url_id,
    coalesce(p.page_name, p.page_id) AS name,
    p.elements,
    p.impressions_14d,
    p.impressions_30d,
    p.impressions_60d,
    p.viewers_14d AS users_14d,
    p.viewers_30d AS users_30d,
    p.viewers_60d AS users_60d
FROM page_usage AS p
INNER JOIN workbooks AS w USING (workbook_url_id)
ORDER BY w.workbook_no, p.impressions_60d DESC, name, p.page_id
