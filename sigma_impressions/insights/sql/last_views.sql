-- When each workbook and element was viewed last, of all that is captured; a workbook also through its elements.
-- Reads:      resource_impressions, unmatched_impressions (of the as-of date), earlier_views, viewed_resources
CREATE OR REPLACE TEMP TABLE last_views AS
WITH views AS (
    SELECT workbook_url_id, element_id, last_impression_at
    FROM resource_impressions
    WHERE last_impression_at IS NOT NULL
    UNION ALL
    SELECT workbook_url_id, element_id, last_impression_at
    FROM unmatched_impressions
    UNION ALL
    SELECT v.workbook_url_id, v.element_id, e.last_impression_at
    FROM earlier_views AS e
    INNER JOIN viewed_resources AS v
        ON e.workbook_url_id = v.viewed_id AND e.element_id IS NOT DISTINCT FROM v.element_id
)

SELECT workbook_url_id, NULL AS element_id, max(last_impression_at) AS last_impression_at
FROM views
GROUP BY workbook_url_id
UNION ALL
SELECT workbook_url_id, element_id, max(last_impression_at) AS last_impression_at
FROM views
WHERE element_id IS NOT NULL
GROUP BY workbook_url_id, element_id
