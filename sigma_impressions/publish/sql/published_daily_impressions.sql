-- Impressions and users per event date and resource, for the published database.
-- A view that named the workbook by its UUID stands under the workbook's URL ID, as in the metric tables.
-- Reads:      daily_totals, daily_impressions, resource_ids, resource_numbers
WITH counted AS (
    SELECT t.event_date, r.resource_no, t.impressions, t.distinct_users
    FROM daily_totals AS t
    INNER JOIN resource_ids AS r
        ON t.workbook_url_id = r.exported_id AND t.element_id IS NOT DISTINCT FROM r.element_id
    WHERE NOT r.has_several_ids
    UNION ALL
    -- A user may have used several IDs of a resource on the same day, and counts once.
    SELECT
        d.event_date,
        r.resource_no,
        sum(d.impressions)::BIGINT AS impressions,
        count(DISTINCT d.user_email) AS distinct_users
    FROM daily_impressions AS d
    INNER JOIN resource_ids AS r
        ON d.workbook_url_id = r.exported_id AND d.element_id IS NOT DISTINCT FROM r.element_id
    WHERE r.has_several_ids
    GROUP BY d.event_date, r.resource_no
)

SELECT c.event_date, n.workbook_url_id, n.element_id, c.impressions, c.distinct_users
FROM counted AS c
INNER JOIN resource_numbers AS n USING (resource_no)
ORDER BY c.resource_no, c.event_date
