-- The event dates on which each user viewed anything.
-- Reads:      daily_impressions, viewers
CREATE OR REPLACE TEMP TABLE active_days AS
SELECT DISTINCT d.event_date, u.user_no
FROM daily_impressions AS d
INNER JOIN viewers AS u ON d.user_email = u.user_email
