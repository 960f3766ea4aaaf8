-- How many keys stand for two texts or more, which must be none.
-- Reads:      view_keys, user_keys
SELECT
    (SELECT count(*) - count(DISTINCT view_key) FROM view_keys)
    + (SELECT count(*) - count(DISTINCT user_key) FROM user_keys) AS shared
