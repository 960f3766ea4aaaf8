-- Impressions per event date and resource where the single views are dropped: users who used several IDs of a resource
-- on the same day cannot be told apart any more, and the most that one ID had are left.
-- Reads:      daily_totals, resource_ids, resource_numbers
SELECT
    t.event_date,
    n.workbook_url_id,
    n.element_id,
    sum(t.impressions)::BIGINT AS impressions,
    max(t.distinct_users) AS distinct_users
FROM daily_totals AS t
INNER JOIN resource_ids AS r
    ON t.workbook_url_id = r.exported_id AND t.element_id IS NOT DISTINCT FROM r.element_id
INNER JOIN resource_numbers AS n USING (resource_no)
GROUP BY t.event_date, n.workbook_url_id, n.element_id
ORDER BY n.workbook_url_id, n.element_id, t.event_date
