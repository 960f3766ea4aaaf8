-- A number of 64 bits for everything that was viewed, as the exports name it, and for every user: a hash of the texts,
-- so that millions of daily rows need no join before they are grouped. Two texts may have the same.
-- Reads:      viewed_resources, viewers
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT hash(viewed_id, element_id) AS view_key, viewed_id, element_id, resource_no, has_several_ids
FROM viewed_resources;

CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT hash(user_email) AS user_key, user_email, user_no
FROM viewers
