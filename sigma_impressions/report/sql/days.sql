-- The days of the window, oldest first.
-- Reads:      usage_by_day
SELECT *
FROM usage_by_day
ORDER BY event_date
