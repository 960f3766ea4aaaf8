-- The event dates on which each user viewed anything.
-- Reads:      daily_totals, viewers
CREATE OR REPLACE TEMP TABLE active_days AS
SELECT t.event_date, u.user_no
FROM daily_totals AS t
INNER JOIN viewers AS u ON t.user_email = u.user_email
