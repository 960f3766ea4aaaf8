-- The event dates on which each user viewed anything.
-- Reads:      daily_totals, user_numbers
CREATE OR REPLACE TEMP TABLE active_days AS
SELECT t.event_date, u.user_no
FROM daily_totals AS t
INNER JOIN user_numbers AS u ON t.user_email = u.user_email
