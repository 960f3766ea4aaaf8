-- Impressions per resource and user in each segment of time, so that the daily rows are read once for several as-of
-- dates.
-- Reads:      numbered_impressions
CREATE OR REPLACE TEMP TABLE segment_impressions AS
SELECT
    segment,
    resource_no,
    user_no,
    sum(impressions)::BIGINT AS impressions,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM numbered_impressions
GROUP BY segment, resource_no, user_no
