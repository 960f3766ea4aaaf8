-- The impressions of each event date, as the daily tables have them.
-- Reads:      daily_impressions
CREATE OR REPLACE TEMP TABLE impressions_of_days AS
SELECT event_date, sum(impressions)::BIGINT AS impressions
FROM daily_impressions
GROUP BY event_date
