-- The rows with the keys of keys_by_hash.sql in the place of the names.
-- Reads:      named_impressions
-- Makes:      keyed_impressions
CREATE OR REPLACE TEMP VIEW keyed_impressions AS
SELECT
    hash(workbook_url_id, element_id) AS view_key,
    hash(user_email) AS user_key,
    * EXCLUDE (workbook_url_id, element_id, user_email)
FROM named_impressions
