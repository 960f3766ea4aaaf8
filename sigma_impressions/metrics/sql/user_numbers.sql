-- A number for every user, in the order of their e-mail addresses: millions of rows are grouped and sorted by numbers
-- much faster than by addresses. Nobody, whose impressions have no user, has no number, so that `count(user_no)` counts
-- users.
-- Reads:      named_users
CREATE OR REPLACE TEMP TABLE user_numbers AS
SELECT row_number() OVER (ORDER BY user_email)::INTEGER AS user_no, user_email
FROM named_users
UNION ALL
SELECT NULL, NULL
