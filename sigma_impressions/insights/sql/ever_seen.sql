-- When each user viewed anything for the first and the last time, of all that is captured up to the as-of date.
-- Reads:      user_activity (of the as-of date), earlier_users
CREATE OR REPLACE TEMP TABLE ever_seen AS
WITH views AS (
    SELECT user_email, first_impression_at, last_impression_at
    FROM user_activity
    UNION ALL
    FROM earlier_users
)

SELECT
    user_email,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM views
GROUP BY user_email
