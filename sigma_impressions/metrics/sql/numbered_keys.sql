-- What hashed_keys.sql makes, with numbers that are given one after the other, so that no two texts have the same.
-- Reads:      viewed_resources, viewers
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT row_number() OVER ()::UBIGINT AS view_key, viewed_id, element_id, resource_no, has_several_ids
FROM viewed_resources;

CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT user_no::UBIGINT AS user_key, user_email, user_no
FROM viewers
