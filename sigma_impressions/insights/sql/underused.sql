-- The underused resources as of the published date and those that the summary compares (docs/insights.md).
-- A resource is as old as Sigma says, and has been there at least since a snapshot first held it, unless that is the
-- first snapshot of all. Its viewers are at most its users and, for each view of nobody, one more.
-- Reads:      stated_resources, published.resource_history
-- Parameters: $below_users, $young_days
CREATE OR REPLACE TEMP TABLE underused AS
WITH beginning AS (
    SELECT min(first_seen_at) AS first_seen_at
    FROM published.resource_history
),

appeared AS (
    SELECT h.resource_type, h.workbook_url_id, h.element_id, h.first_seen_at
    FROM published.resource_history AS h
    CROSS JOIN beginning AS b
    WHERE h.first_seen_at > b.first_seen_at
)

SELECT
    s.as_of_date,
    s.resource_type,
    s.workbook_url_id,
    s.element_id,
    s.is_archived IS TRUE AS is_archived,
    s.total_impressions_with_elements_60d AS total_impressions_60d,
    s.distinct_impressions_users_with_elements_60d AS distinct_impressions_users_60d,
    s.distinct_impressions_users_with_elements_60d + s.anonymous_impressions_60d AS viewers,
    s.as_of_date - coalesce(s.created_at, a.first_seen_at)::DATE AS age_days
FROM stated_resources AS s
LEFT JOIN appeared AS a
    ON
        s.resource_type = a.resource_type
        AND s.workbook_url_id = a.workbook_url_id
        AND s.element_id IS NOT DISTINCT FROM a.element_id
WHERE
    s.is_deleted IS NOT TRUE
    AND (s.total_impressions_with_elements_60d = 0 OR viewers < $below_users)
    AND coalesce(s.as_of_date - s.created_at::DATE, $young_days) >= $young_days
    AND coalesce(s.as_of_date - a.first_seen_at::DATE, $young_days) >= $young_days
