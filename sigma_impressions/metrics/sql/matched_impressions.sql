-- Impressions of the 60 days up to the as-of date, per workbook, element and user, matched with the resources
-- (spec, "Matching"). workbook_url_id is the matched workbook's, or what the export says if none matches.
-- Reads:      daily_impressions, resources, workbook_matches
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE matched_impressions AS
WITH windowed AS (
    SELECT *, $as_of::DATE - event_date AS age
    FROM daily_impressions
    WHERE event_date BETWEEN $as_of::DATE - 59 AND $as_of::DATE
),

elements AS (
    SELECT workbook_url_id, element_id
    FROM resources
    WHERE resource_type = 'sigma_element'
)

SELECT
    coalesce(m.workbook_url_id, w.workbook_url_id) AS workbook_url_id,
    w.element_id,
    w.user_email,
    m.workbook_url_id IS NOT NULL AS workbook_is_known,
    m.workbook_url_id IS NOT NULL AND (w.element_id IS NULL OR e.element_id IS NOT NULL) AS resource_is_known,
    coalesce(sum(w.impressions) FILTER (WHERE w.age < 14), 0)::BIGINT AS impressions_14d,
    coalesce(sum(w.impressions) FILTER (WHERE w.age < 30), 0)::BIGINT AS impressions_30d,
    sum(w.impressions)::BIGINT AS impressions_60d,
    coalesce(sum(w.impressions) FILTER (WHERE w.age BETWEEN 14 AND 27), 0)::BIGINT AS impressions_prior_14d,
    min(w.first_impression_at) AS first_impression_at,
    max(w.last_impression_at) AS last_impression_at
FROM windowed AS w
LEFT JOIN workbook_matches AS m ON w.workbook_url_id = m.viewed_id
LEFT JOIN elements AS e ON m.workbook_url_id = e.workbook_url_id AND w.element_id = e.element_id
GROUP BY ALL
