-- Impressions of the 60 days up to the as-of date, per user and workbook with its elements.
-- Reads:      matched_impressions, viewed
CREATE OR REPLACE TEMP TABLE viewed_workbooks AS
SELECT
    m.user_no,
    v.workbook_no,
    sum(m.impressions_14d)::BIGINT AS impressions_14d,
    sum(m.impressions_30d)::BIGINT AS impressions_30d,
    sum(m.impressions_60d)::BIGINT AS impressions_60d,
    count(*) FILTER (WHERE m.impressions_14d > 0) AS resources_14d,
    count(*) FILTER (WHERE m.impressions_30d > 0) AS resources_30d,
    count(*) AS resources_60d,
    min(m.first_impression_at) AS first_impression_at,
    max(m.last_impression_at) AS last_impression_at
FROM matched_impressions AS m
INNER JOIN viewed AS v USING (resource_no)
GROUP BY m.user_no, v.workbook_no
