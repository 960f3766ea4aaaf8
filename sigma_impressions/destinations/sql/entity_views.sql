-- Views of the workbooks, their pages and elements that Sigma still has, under the IDs that catalogs name them by.
-- A workbook has those of its elements too, known or not. A catalog knows an element by its element ID alone: where
-- several workbooks have it, as copies do, their views are those of one entity. A page has the views of its elements,
-- and is known by its page ID alone.
-- Reads:      daily_impressions, resource_ids, resources
CREATE OR REPLACE TEMP VIEW entity_views AS
WITH matched AS (
    SELECT d.event_date, d.user_email, d.impressions, d.last_impression_at, r.workbook_url_id, r.element_id
    FROM daily_impressions AS d
    INNER JOIN resource_ids AS r
        ON d.workbook_url_id = r.exported_id AND d.element_id IS NOT DISTINCT FROM r.element_id
    WHERE r.workbook_is_known
),

present AS (
    SELECT resource_type, workbook_id, workbook_url_id, element_id, page_id
    FROM resources
    WHERE is_deleted IS NOT TRUE
),

elements AS (
    SELECT p.element_id, p.page_id, m.event_date, m.user_email, m.impressions, m.last_impression_at
    FROM matched AS m
    INNER JOIN present AS p
        ON p.resource_type = 'sigma_element' AND m.workbook_url_id = p.workbook_url_id AND m.element_id = p.element_id
)

SELECT
    p.resource_type,
    p.workbook_id AS entity_id,
    m.event_date,
    m.user_email,
    m.impressions,
    m.last_impression_at
FROM matched AS m
INNER JOIN present AS p ON p.resource_type = 'sigma_workbook' AND m.workbook_url_id = p.workbook_url_id
WHERE p.workbook_id IS NOT NULL
UNION ALL
SELECT 'sigma_page', page_id, event_date, user_email, impressions, last_impression_at
FROM elements
WHERE page_id IS NOT NULL
UNION ALL
SELECT 'sigma_element', element_id, event_date, user_email, impressions, last_impression_at
FROM elements
