-- Impressions per view and user in each segment of time, so that the daily rows are read once for several as-of dates.
-- Reads:      keyed_impressions
CREATE OR REPLACE TEMP TABLE segment_impressions AS
SELECT
    segment,
    view_key,
    user_key,
    sum(impressions)::BIGINT AS impressions,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM keyed_impressions
GROUP BY segment, view_key, user_key
