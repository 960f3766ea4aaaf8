-- Impressions of the 60 days up to the as-of date, per resource and user.
-- Reads:      segment_impressions
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE matched_impressions AS
SELECT
    resource_no,
    user_no,
    coalesce(sum(impressions) FILTER (WHERE segment > $as_of::DATE - 14), 0)::BIGINT AS impressions_14d,
    coalesce(sum(impressions) FILTER (WHERE segment > $as_of::DATE - 30), 0)::BIGINT AS impressions_30d,
    sum(impressions)::BIGINT AS impressions_60d,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM segment_impressions
WHERE segment BETWEEN $as_of::DATE - 59 AND $as_of::DATE
GROUP BY resource_no, user_no
