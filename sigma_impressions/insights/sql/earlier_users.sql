-- When everybody who viewed anything before the window did so first and last.
-- Reads:      user_activity (as of earlier dates), daily_impressions (days of no window)
CREATE OR REPLACE TEMP TABLE earlier_users AS
WITH views AS (
    SELECT user_email, first_impression_at, last_impression_at
    FROM user_activity
    UNION ALL
    SELECT user_email, first_impression_at, last_impression_at
    FROM daily_impressions
    WHERE user_email IS NOT NULL
)

SELECT
    user_email,
    min(first_impression_at) AS first_impression_at,
    max(last_impression_at) AS last_impression_at
FROM views
GROUP BY user_email
