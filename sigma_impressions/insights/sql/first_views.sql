-- When each user viewed anything for the first time, of all that is captured up to the as-of date.
-- Reads:      user_activity (of the as-of date), earlier_users
CREATE OR REPLACE TEMP TABLE first_views AS
WITH views AS (
    SELECT user_email, first_impression_at
    FROM user_activity
    UNION ALL
    FROM earlier_users
)

SELECT user_email, min(first_impression_at) AS first_impression_at
FROM views
GROUP BY user_email
