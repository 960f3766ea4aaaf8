-- The workbooks whose last view was on one of some days, the last ones first: up to $most of them, and how many there
-- are.
-- Reads:      popular_resources
-- Parameters: $first, $last, $most
SELECT
    coalesce(name, workbook_url_id) AS name,
    last_impression_at::DATE AS last_viewed,
    count(*) OVER () AS of_them
FROM popular_resources
WHERE resource_type = 'sigma_workbook' AND last_impression_at::DATE BETWEEN $first::DATE AND $last::DATE
ORDER BY last_impression_at DESC, workbook_url_id
LIMIT $most
