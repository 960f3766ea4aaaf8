-- For how many texts too many the keys stand: 0 if each has one of its own.
-- Reads:      view_keys, user_keys
SELECT
    (SELECT count(*) - count(DISTINCT view_key) FROM view_keys)
    + (SELECT count(*) - count(DISTINCT user_key) FROM user_keys) AS shared
