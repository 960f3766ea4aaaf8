-- The users of the days that are read.
-- Reads:      daily_totals
CREATE OR REPLACE TEMP VIEW named_users AS
SELECT DISTINCT user_email
FROM daily_totals
WHERE user_email IS NOT NULL
