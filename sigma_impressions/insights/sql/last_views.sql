-- When each workbook and element was viewed last, of all that is captured; a workbook also through its elements.
-- Reads:      resource_impressions, unmatched_impressions (of the as-of date), earlier_views, resource_ids
CREATE OR REPLACE TEMP TABLE last_views AS
WITH views AS (
    SELECT workbook_url_id, element_id, last_impression_at
    FROM resource_impressions
    WHERE last_impression_at IS NOT NULL
    UNION ALL
    SELECT workbook_url_id, element_id, last_impression_at
    FROM unmatched_impressions
    UNION ALL
    SELECT r.workbook_url_id, r.element_id, e.last_impression_at
    FROM earlier_views AS e
    INNER JOIN resource_ids AS r
        ON e.workbook_url_id = r.exported_id AND e.element_id IS NOT DISTINCT FROM r.element_id
)

SELECT workbook_url_id, NULL AS element_id, max(last_impression_at) AS last_impression_at
FROM views
GROUP BY workbook_url_id
UNION ALL
SELECT workbook_url_id, element_id, max(last_impression_at) AS last_impression_at
FROM views
WHERE element_id IS NOT NULL
GROUP BY workbook_url_id, element_id
