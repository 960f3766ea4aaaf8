-- A number for every user: millions of rows are grouped by numbers much faster than by e-mail addresses.
-- Reads:      daily_impressions
CREATE OR REPLACE TEMP TABLE viewers AS
SELECT row_number() OVER ()::INTEGER AS user_no, user_email
FROM (SELECT DISTINCT user_email FROM daily_impressions)
