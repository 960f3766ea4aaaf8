-- What was viewed, as the exports name it, and which resource that is (docs/tables-and-metrics.md, "Matching"): a UUID
-- is a workbook ID, in any case; anything else is a URL ID, to the letter. A data model is found as a workbook is. The
-- IDs of a tagged version name the workbook it was made from. Where no workbook has it, workbook_url_id is what the
-- exports say. Several exported IDs may name one workbook; what they name has one resource_no and workbook_no; resource_no is in the order of resource_impressions.
-- Reads:      exported_ids, resources, workbook_aliases
CREATE OR REPLACE TEMP TABLE resource_ids AS
WITH named AS (
    SELECT
        workbook_url_id AS exported_id,
        element_id,
        regexp_full_match(workbook_url_id, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}') AS is_workbook_id
    FROM exported_ids
),

workbooks AS (
    SELECT workbook_url_id, lower(workbook_id) AS workbook_id
    FROM resources
    WHERE resource_type <> 'sigma_element'
),

url_ids AS (
    SELECT workbook_url_id AS named_id, workbook_url_id
    FROM workbooks
    UNION ALL
    SELECT alias_id, workbook_url_id
    FROM workbook_aliases
),

workbook_ids AS (
    SELECT workbook_id AS named_id, workbook_url_id
    FROM workbooks
    UNION ALL
    SELECT lower(alias_id), workbook_url_id
    FROM workbook_aliases
),

elements AS (
    SELECT workbook_url_id, element_id
    FROM resources
    WHERE resource_type = 'sigma_element'
),

matched AS (
    SELECT
        n.exported_id,
        n.element_id,
        coalesce(u.workbook_url_id, i.workbook_url_id, n.exported_id) AS workbook_url_id,
        u.workbook_url_id IS NOT NULL OR i.workbook_url_id IS NOT NULL AS workbook_is_known
    FROM named AS n
    LEFT JOIN url_ids AS u ON NOT n.is_workbook_id AND n.exported_id = u.named_id
    LEFT JOIN workbook_ids AS i ON n.is_workbook_id AND lower(n.exported_id) = i.named_id
)

SELECT
    m.exported_id,
    m.element_id,
    m.workbook_url_id,
    m.workbook_is_known,
    m.workbook_is_known AND (m.element_id IS NULL OR e.element_id IS NOT NULL) AS resource_is_known,
    dense_rank() OVER (ORDER BY m.workbook_is_known, m.workbook_url_id)::INTEGER AS workbook_no,
    dense_rank() OVER (
        ORDER BY m.workbook_is_known, m.element_id IS NULL, m.workbook_url_id, m.element_id
    )::INTEGER AS resource_no,
    count(*) OVER (PARTITION BY m.workbook_is_known, m.workbook_url_id, m.element_id) > 1 AS has_several_ids
FROM matched AS m
LEFT JOIN elements AS e ON m.workbook_is_known AND m.workbook_url_id = e.workbook_url_id AND m.element_id = e.element_id
