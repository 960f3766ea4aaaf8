-- Impressions and users per event date and resource, for the published database.
-- A view that named the workbook by its UUID stands under the workbook's URL ID, as in the metric tables.
-- Reads:      daily_impressions, workbook_matches
SELECT
    d.event_date,
    coalesce(m.workbook_url_id, d.workbook_url_id) AS workbook_url_id,
    d.element_id,
    sum(d.impressions)::BIGINT AS impressions,
    count(DISTINCT d.user_email) AS distinct_users
FROM daily_impressions AS d
LEFT JOIN workbook_matches AS m ON d.workbook_url_id = m.viewed_id
GROUP BY ALL
ORDER BY ALL
