-- The event dates before the window on which each user viewed anything, as far as they count for a day of the window.
-- Reads:      daily_totals (of these event dates)
CREATE OR REPLACE TEMP TABLE earlier_active_days AS
SELECT event_date, user_email
FROM daily_totals
WHERE user_email IS NOT NULL
