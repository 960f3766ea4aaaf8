-- The impressions of each event date. They are those of the totals, which nothing that is grouped comes from: so it
-- shows if the one lacks what the other has.
-- Reads:      daily_totals
CREATE OR REPLACE TEMP TABLE impressions_of_days AS
SELECT event_date, sum(impressions)::BIGINT AS impressions
FROM daily_totals
WHERE workbook_url_id IS NOT NULL
GROUP BY event_date
