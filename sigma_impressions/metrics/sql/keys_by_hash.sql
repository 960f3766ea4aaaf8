-- A number of 64 bits for everything that was viewed, as the exports name it, for every user, and for nobody: a hash of
-- the texts, so that millions of rows need no join before they are grouped. Two texts may have the same.
-- Reads:      named_views, user_numbers
-- Makes:      view_keys, user_keys
CREATE OR REPLACE TEMP TABLE view_keys AS
SELECT hash(workbook_url_id, element_id) AS view_key, *
FROM named_views;

CREATE OR REPLACE TEMP TABLE user_keys AS
SELECT hash(user_email) AS user_key, user_email, user_no
FROM user_numbers
