-- Impressions of the 60 days up to the as-of date, per user, or nobody, and workbook with its elements.
-- Sums are of doubles, as in shared_views.sql.
-- Reads:      viewed_by_user, resource_numbers
CREATE OR REPLACE TEMP TABLE workbooks_by_user AS
SELECT
    v.user_no,
    n.workbook_no,
    sum(v.impressions_14d::DOUBLE)::BIGINT AS impressions_14d,
    sum(v.impressions_30d::DOUBLE)::BIGINT AS impressions_30d,
    sum(v.impressions_60d::DOUBLE)::BIGINT AS impressions_60d,
    count(*) FILTER (WHERE v.impressions_14d > 0) AS resources_14d,
    count(*) FILTER (WHERE v.impressions_30d > 0) AS resources_30d,
    count(*) AS resources_60d,
    min(v.first_impression_at) AS first_impression_at,
    max(v.last_impression_at) AS last_impression_at
FROM viewed_by_user AS v
INNER JOIN resource_numbers AS n USING (resource_no)
GROUP BY v.user_no, n.workbook_no
