-- Impressions of the 60 days up to the as-of date, per resource and user; those of nobody have no user_no.
-- Sums are of doubles: the query takes a fifth less time than with sums of integers, which DuckDB makes of 128 bits.
-- They are exact up to 2^53 impressions, which nobody has; conservation.sql would tell.
-- Reads:      segment_impressions, view_keys, user_keys
-- Parameter:  $as_of
CREATE OR REPLACE TEMP TABLE viewed_by_user AS
WITH keyed AS (
    SELECT
        view_key,
        user_key,
        sum(CASE WHEN segment > $as_of::DATE - 14 THEN impressions::DOUBLE ELSE 0 END)::BIGINT AS impressions_14d,
        sum(CASE WHEN segment > $as_of::DATE - 30 THEN impressions::DOUBLE ELSE 0 END)::BIGINT AS impressions_30d,
        sum(impressions::DOUBLE)::BIGINT AS impressions_60d,
        min(first_impression_at) AS first_impression_at,
        max(last_impression_at) AS last_impression_at
    FROM segment_impressions
    WHERE segment BETWEEN $as_of::DATE - 59 AND $as_of::DATE
    GROUP BY view_key, user_key
),

named AS (
    SELECT v.resource_no, u.user_no, v.has_several_ids, k.* EXCLUDE (view_key, user_key)
    FROM keyed AS k
    INNER JOIN view_keys AS v ON k.view_key = v.view_key
    INNER JOIN user_keys AS u ON k.user_key = u.user_key
)

SELECT * EXCLUDE (has_several_ids)
FROM named
WHERE NOT has_several_ids
UNION ALL BY NAME
-- A user may have used several IDs of a resource.
SELECT
    resource_no,
    user_no,
    sum(impressions_14d)::BIGINT AS impressions_14d,
    sum(impressions_30d)::BIGINT AS impressions_30d,
    sum(impressions_60d)::BIGINT AS impressions_60d,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM named
WHERE has_several_ids
GROUP BY resource_no, user_no
