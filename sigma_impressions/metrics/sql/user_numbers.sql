-- A number for every user, in the order of their e-mail addresses: millions of rows are grouped and sorted by numbers
-- much faster than by addresses. Nobody, whose impressions have no user, has no number, so that `count(user_no)` counts
-- users.
-- Reads:      daily_totals
CREATE OR REPLACE TEMP TABLE user_numbers AS
SELECT row_number() OVER (ORDER BY user_email)::INTEGER AS user_no, user_email
FROM (SELECT DISTINCT user_email FROM daily_totals WHERE user_email IS NOT NULL)
UNION ALL
SELECT NULL, NULL
