-- The elements that are there or were viewed in the 60 days, in the order of their workbooks; in a workbook the most
-- viewed first. How they moved is known of those that are there.
-- Reads:      resource_impressions, popular_resources, sigma_resources, workbooks (as shown)
SELECT
    r.workbook_url_id,
    coalesce(r.name, r.element_id) AS name,
    r.url,
    s.page_name,
    r.total_impressions_with_elements_14d AS impressions_14d,
    r.total_impressions_with_elements_30d AS impressions_30d,
    r.total_impressions_with_elements_60d AS impressions_60d,
    r.distinct_impressions_users_with_elements_14d AS users_14d,
    r.distinct_impressions_users_with_elements_30d AS users_30d,
    r.distinct_impressions_users_with_elements_60d AS users_60d,
    p.complete_impressions_14d AS now,
    p.previous_complete_impressions_14d AS before,
    p.trend_14d,
    p.movement,
    coalesce(p.last_impression_at, r.last_impression_at) AS last_impression_at
FROM resource_impressions AS r
INNER JOIN workbooks AS w USING (workbook_url_id)
LEFT JOIN popular_resources AS p USING (workbook_url_id, element_id)
LEFT JOIN sigma_resources AS s USING (workbook_url_id, element_id)
WHERE r.element_id IS NOT NULL AND (p.element_id IS NOT NULL OR r.total_impressions_with_elements_60d > 0)
ORDER BY w.workbook_no, r.total_impressions_with_elements_60d DESC, name, r.element_id
