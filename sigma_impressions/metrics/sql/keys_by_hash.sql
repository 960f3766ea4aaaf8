-- A number of 64 bits for everything that was viewed, as the exports name it, for every user, and for nobody: a hash of
-- the texts, so that millions of daily rows need no join before they are grouped. Two texts may have the same.
-- Reads:      resource_ids, user_numbers
-- Makes:      view_keys, user_keys
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT hash(exported_id, element_id) AS view_key, exported_id, element_id, resource_no, has_several_ids
FROM resource_ids;

CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT hash(user_email) AS user_key, user_email, user_no
FROM user_numbers
