-- What keys_by_hash.sql makes, with numbers that are given one after the other, so that no two texts have the same.
-- Reads:      named_views, user_numbers
-- Makes:      view_keys, user_keys
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT row_number() OVER ()::UBIGINT AS view_key, *
FROM named_views;

CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT coalesce(user_no, 0)::UBIGINT AS user_key, user_email, user_no
FROM user_numbers
