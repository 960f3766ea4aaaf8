-- What is underused, the least used first.
-- Reads:      underused_resources
SELECT
    workbook_url_id,
    resource_type,
    coalesce(name, element_id, workbook_url_id) AS name,
    CASE WHEN element_id IS NOT NULL THEN coalesce(workbook_name, workbook_url_id) END AS workbook_name,
    path,
    url,
    owner_email,
    updated_at,
    age_days,
    total_impressions_60d,
    last_impression_at,
    reason_code,
    reason,
    coalesce(is_archived, FALSE) AS is_archived
FROM underused_resources
ORDER BY
    total_impressions_60d,
    age_days DESC NULLS LAST,
    workbook_name,
    element_id NULLS FIRST,
    workbook_url_id
