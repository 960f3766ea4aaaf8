-- The users as of the published date and those that the summary compares, each with a tier (docs/insights.md).
-- `row_rank` tells users of equal rank apart.
-- Reads:      user_activity (of the as-of date), earlier_activity
-- Parameters: $power_user_days, $regular_user_days
CREATE OR REPLACE TEMP TABLE user_tiers AS
WITH stated AS (
    SELECT * EXCLUDE (fingerprint)
    FROM user_activity
    UNION ALL BY NAME
    FROM earlier_activity
)

SELECT
    as_of_date,
    user_email,
    CASE
        WHEN active_days_30d >= $power_user_days THEN 'power'
        WHEN active_days_30d >= $regular_user_days THEN 'regular'
        WHEN active_days_30d > 0 THEN 'occasional'
        ELSE 'lapsed'
    END AS tier,
    total_impressions_60d AS impressions,
    rank() OVER (PARTITION BY as_of_date ORDER BY total_impressions_60d DESC) AS rank,
    row_number() OVER (PARTITION BY as_of_date ORDER BY total_impressions_60d DESC, user_email) AS row_rank,
    count(*) OVER (PARTITION BY as_of_date) AS users,
    sum(total_impressions_60d) OVER (PARTITION BY as_of_date) AS impressions_of_all
FROM stated
